"""Tenants: who may ask, for which models, and how much."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from dpu_app.model.credentials import CertificateMatch, Jwt
from dpu_app.model.limits import GrantTokensMin, TokenRate
from dpu_app.model.part import Duration, Items, ModelName, Name, Part, refusal, shorter_than

KEY = re.compile(r"sha256:[0-9a-f]{64}")


def key_reference(text: str) -> str:
    """`sha256:` and 64 lower-case hex digits. Raises a refusal, which never repeats the text: it may be a key."""
    if KEY.fullmatch(text) is None:
        raise refusal(
            "is not a reference to an API key", 'write sha256:<64 hex digits>, from: printf %s "$KEY" | sha256sum'
        )
    return text


KeyReference = Annotated[
    str, AfterValidator(key_reference), WithJsonSchema({"type": "string", "pattern": f"^{KEY.pattern}$"})
]


class RequestRate(Part):
    """So many requests in each interval (GCRA: they come back evenly, not all at once)."""

    requests: Annotated[int, Field(ge=1, le=1_000_000_000)]
    """Requests in one interval."""
    per: Duration
    """The interval."""
    burst: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Requests that may come at once after a pause; as many as `requests` when left out."""


class TenantLimits(Part):
    """What a tenant may use. A limit that is left out does not apply."""

    request_rate: RequestRate | None = None
    """Requests per interval; above it 429 with retry-after."""
    concurrency_max: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Requests in flight at the same time; above it 429."""
    token_rate: TokenRate | None = None
    """Tokens per interval, prompts and completions together; above it 429 with retry-after, and a stream that reaches
    what was granted ends with finish_reason `length`."""
    grant_tokens_min: GrantTokensMin | None = None
    """As the `grant_tokens_min` for all; that one when left out."""


class Tenant(Part):
    """Somebody who pays for tokens."""

    name: Name
    """Short and unique; metrics and logs carry it."""
    keys: Annotated[Items[KeyReference], Field(max_length=64)] = ()
    """SHA-256 of each API key: `printf %s "$KEY" | sha256sum`. Several, so that a key can be changed at leisure."""
    client_certificates: Annotated[Items[CertificateMatch], Field(max_length=64)] = ()
    """Client certificates that speak for the tenant, on listeners that ask for them. An `authorization` header wins."""
    jwt: Annotated[Items[Jwt], Field(max_length=16)] = ()
    """Tokens that speak for the tenant."""
    models: Annotated[Items[ModelName], Field(min_length=1, max_length=256)]
    """Models that the tenant may use, by name (their aliases come with them)."""
    limits: TenantLimits = TenantLimits()
    """No limit when left out."""
    priority: Annotated[int, Field(ge=0, le=255)] = 0
    """0 is lowest; a higher one leaves the queue for a worker first, and workers see it."""
    queue_weight: Annotated[int, Field(ge=1, le=100)] = 1
    """Places in the queue's turn beside tenants of the same priority: 2 is served twice as often as 1."""
    arm_override: bool = False
    """Its requests may name their arm with the header `x-dpu-arm`, for testers; without it such a request gets 403."""


Tenants = Annotated[Items[Tenant], Field(min_length=1), shorter_than(10_000)]
