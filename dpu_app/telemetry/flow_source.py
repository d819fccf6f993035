"""Where records of flows come from: what a target that keeps flows offers to telemetry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from abi.gen.packet import FlowRecord


@dataclass(frozen=True)
class FlowNames:
    """Names by id, of the plan that is programmed. An id that is not in here is written as its number."""

    services: Mapping[int, str] = field(default_factory=dict)
    groups: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FlowTable:
    """How full the table of flows is."""

    entries: int
    entries_max: int


class FlowSource(Protocol):
    """A packet stage that keeps flows (docs/stages/packet.md). Times in its records are CLOCK_MONOTONIC.

    `poll`, `active` and `names` are called by one thread, `lost`, `counters` and `table` by any. None of them raises
    for what traffic does.
    """

    def poll(self, timeout_s: float) -> list[FlowRecord]:
        """Flows that ended since the last call, a few thousand at most; waits so long for the first of them."""
        ...

    def active(self) -> Iterator[FlowRecord]:
        """Flows that go on (`end` is FLOW_ACTIVE). It is read to its end before the next `poll`; the table may change
        meanwhile: a flow that came or went may be missing, one may come twice. Empty where flows cannot be listed."""
        ...

    def names(self) -> FlowNames:
        """Services and listener groups by id."""
        ...

    def lost(self) -> int:
        """Records that were lost on their way here, since start."""
        ...

    def counters(self) -> Mapping[int, tuple[int, int]]:
        """(frames, bytes) by number of the reason, over all processors, since the program was loaded."""
        ...

    def table(self) -> FlowTable:
        """How full the table of flows is."""
        ...
