"""Token limits: the same words for a tenant, a model and everybody together."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from dpu_app.model.part import Duration, Part, duration_ms, refusal

TOKENS_MAX = 1_000_000_000
TOKENS_PER_S_MAX = 1_000_000_000
"""Counted exactly in 63 bits for centuries; no model is within four orders of magnitude of it."""


class TokenRate(Part):
    """A token bucket: it holds `burst` tokens at most and fills up evenly with `tokens` in each interval."""

    tokens: Annotated[int, Field(ge=1, le=TOKENS_MAX)]
    """Tokens in one interval, of prompts and completions together."""
    per: Duration
    """The interval."""
    burst: Annotated[int, Field(ge=1, le=TOKENS_MAX)] | None = None
    """Tokens that may be used at once after a pause; as many as `tokens` when left out."""

    @model_validator(mode="after")
    def countable(self) -> Self:
        """Raises a refusal for a rate that cannot be counted exactly."""
        if self.tokens * 1000 > TOKENS_PER_S_MAX * duration_ms(self.per):
            raise refusal("is more than 1,000,000,000 tokens a second", "lower 'tokens' or lengthen 'per'")
        return self


GrantTokensMin = Annotated[int, Field(ge=1, le=1_000_000)]


class GlobalLimits(Part):
    """What all tenants together may use. A limit that is left out does not apply."""

    token_rate: TokenRate | None = None
    """Tokens per interval, prompts and completions together, of all tenants and models."""
    grant_tokens_min: GrantTokensMin = 16
    """Completion tokens that the buckets must have left for a request to begin, for each choice; fewer is 429. A
    request that asks for less than this needs no more than it asks for. 16 is about a sentence: an answer that is cut
    off before it costs its whole prompt and helps nobody."""
