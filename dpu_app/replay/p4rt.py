"""A P4 switch as a target: frames go out through its controller port, and come back with their verdict."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Protocol

from abi.gen.packet import VERDICT_PASS
from dpu_app.replay.answer import Answer
from dpu_app.replay.target import TargetFailed, Timed

WINDOW_FRAMES = 32
"""On their way at the same time; the switch answers in order."""
ANSWER_TIMEOUT_S = 10.0
WIRE_PORT = 0


class PacketIo(Protocol):
    """The part of a P4Runtime client that is needed: frames out and in, with the fields of their headers."""

    def packet_out(self, payload: bytes, **metadata: int) -> None:
        """Sends one to the switch."""
        ...

    def packet_in(self, timeout_s: float) -> tuple[bytes, dict[str, int]] | None:
        """The next one from the switch, None where none came in time."""
        ...


class P4Switch:
    """A v1model switch that runs our program; its tables are already what they should be."""

    blind: tuple[str, ...] = ("service",)
    notes: tuple[str, ...] = ("a P4 switch has no flow table, its own clock, and does not say the service",)

    def __init__(self, name: str, io: PacketIo) -> None:
        self.name = name
        self._io = io

    def judge(self, frames: Sequence[Timed]) -> list[Answer | None]:
        """An answer to every frame. Raises TargetFailed where one does not come back."""
        answers: list[Answer | None] = []
        rest = iter(frames)
        while window := list(islice(rest, WINDOW_FRAMES)):
            for _, frame in window:
                self._io.packet_out(frame, ingress=WIRE_PORT)
            answers += [self._answer() for _ in window]
        return answers

    def _answer(self) -> Answer:
        received = self._io.packet_in(ANSWER_TIMEOUT_S)
        if received is None:
            raise TargetFailed(
                f"{self.name} took a frame and sent none back in {ANSWER_TIMEOUT_S:.0f} s: "
                "only the v1model program with packet-out answers; start the switch with --cpu-port 510"
            )
        frame, fields = received
        passed = fields["verdict"] == VERDICT_PASS
        return Answer(passed, fields["reason"], 0, fields["group"], fields["port"], frame if passed else b"")

    def close(self) -> None:
        """The session is its maker's."""
