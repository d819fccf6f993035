"""Steering: which worker gets a request, when a worker is left alone, and who waits while all of them are busy."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from dpu_app.model.part import Duration, Part


class Queue(Part):
    """Requests that wait while every worker of their arm is busy. Beyond a bound: 503 with retry-after."""

    requests_max: Annotated[int, Field(ge=1, le=65_536)] = 4_096
    """Requests that may wait at the same time, over all tenants and cores; one more is `queue_full`."""
    requests_max_per_tenant: Annotated[int, Field(ge=1, le=65_536)] = 1_024
    """Of these from one tenant; one more is `queue_full_tenant`."""
    bytes_max: Annotated[int, Field(ge=1_048_576, le=68_719_476_736)] = 268_435_456
    """Bytes of bodies that may wait; more is `queue_full`."""
    wait_max: Duration = timedelta(seconds=30)
    """Longest wait; then `queue_timeout`."""
    passes_max: Annotated[int, Field(ge=1, le=1_000_000)] = 8
    """A higher priority goes first, but a priority that was passed over so often gets the next free place."""
    requests_per_slot: Annotated[int, Field(ge=1, le=64)] = 1
    """A worker without a `requests_max` of its own is busy at so many times the slots that it tells of itself."""


class Warm(Part):
    """Which worker a conversation met last, whose prefix cache may still hold its prompt."""

    entries_max: Annotated[int, Field(ge=64, le=16_777_216)] = 65_536
    """Conversations remembered (8 bytes each, a power of two is used); those longest unused make room."""
    ttl: Duration = timedelta(minutes=5)
    """A conversation unused for longer counts as cold."""
    lead_tokens_max: Annotated[int, Field(ge=0, le=100_000_000)] = 2_048
    """The warm worker is taken while it has at most so many outstanding tokens more than the least loaded one."""


class Breaker(Part):
    """When a worker that fails is left alone for a while. Only what the worker caused counts as a failure."""

    failures: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    """Failures in a row that open it."""
    ratio_percent: Annotated[int, Field(ge=1, le=100)] = 50
    """Share of failed requests in a window that opens it."""
    requests_min: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Requests in a window below which the share says nothing."""
    window: Duration = timedelta(seconds=10)
    """A window begins with its first failure."""
    open_min: Duration = timedelta(seconds=1)
    """How long it stays open the first time; doubles with each probe that fails."""
    open_max: Duration = timedelta(minutes=1)
    """Longest time open."""


class Steering(Part):
    """How workers are chosen."""

    conversation_id_bytes_max: Annotated[int, Field(ge=16, le=8_192)] = 256
    """Bytes of the header x-conversation-id; a longer one is refused with 400."""
    warm: Warm = Warm()
    """The prefix cache of workers."""
    breaker: Breaker = Breaker()
    """Workers that fail."""
    slow_start: Duration | None = timedelta(seconds=10)
    """A worker that comes to others, or back, gets a share that grows for so long; null switches it off."""
