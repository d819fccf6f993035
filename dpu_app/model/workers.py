"""Workers: the inference hosts that requests are handed to."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from abi.gen.worker_frame import STREAM_CREDIT_BYTES
from dpu_app.model.part import Address, Items, Labels, Name, Part, shorter_than


class Worker(Part):
    """One host-worker process."""

    name: Name
    """Short and unique; metrics and logs carry it."""
    address: Address
    """Its UCX listener, IP:PORT."""
    labels: Labels = Field(default_factory=dict)
    """What arms select by: gpu: l40s, rack: r12, ..."""
    requests_max: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Requests that it has at most; more wait. Its own slots times `queue.requests_per_slot` when left out."""
    stream_window_bytes: Annotated[int, Field(ge=STREAM_CREDIT_BYTES, le=524_288)] = 262_144
    """Bytes of one stream that this worker may be ahead of the client that reads it; beyond it the engine waits. Every
    stream begins with the 65536 of the worker frames, so less cannot be said."""


Workers = Annotated[Items[Worker], Field(min_length=1), shorter_than(1_024)]
