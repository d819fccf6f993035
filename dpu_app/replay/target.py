"""What dpu-replay asks: a thing that has an answer to each of some frames."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from dpu_app.model.plan_packet import PlanPacket
from dpu_app.replay.answer import Answer
from dpu_app.replay.oracle import Oracle

Timed = tuple[int, bytes]
"""A frame with its time in nanoseconds."""


class TargetFailed(Exception):
    """A target cannot be asked at all; the text says the fix."""


class FrameTarget(Protocol):
    """Somewhere that frames are judged. Used by one thread, in the order of the frames."""

    name: str
    notes: tuple[str, ...]
    """What its answers do not say, for people."""
    blind: tuple[str, ...]
    """Fields of Answer that it cannot see: they are not compared."""

    def judge(self, frames: Sequence[Timed]) -> list[Answer | None]:
        """One answer a frame; None where this target cannot be asked about it. Raises TargetFailed."""
        ...

    def close(self) -> None:
        """Lets go of everything that it made."""
        ...


class Model:
    """The oracle as a target."""

    name = "model"
    blind: tuple[str, ...] = ()

    def __init__(self, packet: PlanPacket, *, capture_clock: bool, flow_table: bool = True) -> None:
        """With `capture_clock` a frame's time is its own, else it is now."""
        self._oracle = Oracle(packet, flow_table=flow_table)
        self._capture_clock = capture_clock
        self.notes: tuple[str, ...] = () if flow_table else ("the model has no flow table here, as P4 has none",)

    def judge(self, frames: Sequence[Timed]) -> list[Answer | None]:
        """An answer to every frame."""
        if self._capture_clock:
            return [self._oracle.judge(frame, clock_ns) for clock_ns, frame in frames]
        return [self._oracle.judge(frame, time.monotonic_ns()) for _, frame in frames]

    def close(self) -> None:
        """Nothing to let go of."""
