"""Models: the names that clients use, and the arms (versions side by side) that answer for them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dpu_app.model.limits import TokenRate
from dpu_app.model.part import Items, Labels, ModelName, Name, Part, Percent, shorter_than


class Arm(Part):
    """One version of a model, with its share of the conversations."""

    name: Name
    """Unique in its model: stable, canary, ..."""
    weight_percent: Percent
    """Share of conversations in steps of 0.01; the arms of a model add up to 100. 0 keeps an arm ready, unused."""
    engine_model: ModelName | None = None
    """The name that the worker's engine knows; the model's own name when left out."""
    worker_labels: Labels = Field(default_factory=dict)
    """A worker must have all of these; empty means any worker."""
    max_tokens_default: Annotated[int, Field(ge=1, le=10_000_000)] = 256
    """Completion tokens when the request names no maximum."""
    max_tokens_max: Annotated[int, Field(ge=1, le=10_000_000)] = 4_096
    """A larger maximum in a request is clamped to this, and the edit is recorded."""


class ModelLimits(Part):
    """What all tenants together may use of a model. A limit that is left out does not apply."""

    token_rate: TokenRate | None = None
    """Tokens per interval, prompts and completions together, of all tenants."""


class Model(Part):
    """A model as clients know it."""

    name: ModelName
    """Unique among names and aliases."""
    aliases: Annotated[Items[ModelName], shorter_than(64)] = ()
    """Other names for it, for clients that cannot be changed."""
    arms: Annotated[Items[Arm], Field(min_length=1, max_length=255)]
    """One arm with weight 100, or several that share."""
    limits: ModelLimits = ModelLimits()
    """No limit when left out."""


Models = Annotated[Items[Model], Field(min_length=1), shorter_than(256)]
