"""The same packets, the same answers: the cases and random frames over every target that can be asked here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Protocol

import pytest
from hypothesis import given, settings
from pyroute2 import netns

from dpu_app.model.plan_packet import PlanPacket
from dpu_app.replay.answer import Answer
from dpu_app.replay.native import NativeTarget, XdpProgram
from dpu_app.replay.oracle import Oracle
from dpu_app.replay.target import TargetFailed
from dpu_app.replay.wire import Wire
from dpu_app.targets.base import TargetUnavailable
from dpu_app.targets.packet.rig import XdpRig
from tests.packets.config import plan
from tests.packets.strategies import sequences
from tests.packets.tables import wrong_alone, wrong_together


class Asked(Protocol):
    """A FrameTarget's part that is needed."""

    def judge(self, frames: Sequence[tuple[int, bytes]]) -> list[Answer | None]: ...


class Subject:
    """A target with the oracle's interface. What cannot be asked is answered by the oracle."""

    def __init__(self, rig: XdpRig, asked: Asked, now: PlanPacket) -> None:
        self.rig = rig
        self.asked = asked
        self.oracle = Oracle(now)

    def judge(self, frame: bytes, clock_ns: int) -> Answer:
        expected = self.oracle.judge(frame, clock_ns)
        [answer] = self.asked.judge([(clock_ns, frame)])
        return answer or expected

    def program(self, packet: PlanPacket, epoch: int) -> None:
        self.oracle.program(packet, epoch)
        self.rig.program(packet, epoch)


class Kind:
    """How a target is made afresh. Programs stay loaded for plans with a flow table of the same size."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries_max = 0
        self.rig: XdpRig | None = None
        self.asked: NativeTarget | Wire | None = None

    def fresh(self, now: PlanPacket) -> Subject:
        """A target without flows. Skips where this machine has no privilege for it."""
        if self.rig is None or self.asked is None or self.entries_max != now.flows.entries_max:
            self.close()
            try:
                self.rig = XdpRig((now,), capture_clock=True)
                self.asked = self.ask(self.rig)
            except TargetUnavailable as error:
                pytest.skip(f"the packet programs cannot be loaded here: {error}")
            except TargetFailed as error:
                if os.geteuid() == 0:
                    raise
                pytest.skip(f"{self.name} cannot be asked here: {error}")
            self.entries_max = now.flows.entries_max
        flow = self.rig.loaded.maps["flow"]
        for key in [key for key, _ in flow.items()]:
            flow.delete(key)
        self.rig.program(now, 1)
        return Subject(self.rig, self.asked, now)

    def ask(self, rig: XdpRig) -> NativeTarget | Wire:
        return (
            NativeTarget(XdpProgram(rig.program_fd, rig.io_fd)) if self.name == "xdp" else Wire(rig.program_fd, rig.io)
        )

    def close(self) -> None:
        for opened in (self.asked, self.rig):
            if opened is not None:
                opened.close()
        self.asked = self.rig = None


@pytest.fixture(scope="module", params=["xdp", "wire"])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    made = Kind(request.param)
    yield made
    made.close()


def test_cases_that_may_follow_each_other(kind: Kind) -> None:
    assert wrong_together(kind.fresh(plan())) == []


def test_cases_that_want_a_target_of_their_own(kind: Kind) -> None:
    assert wrong_alone(kind.fresh) == []


def test_random_frames(kind: Kind) -> None:
    kind.close()
    # One target for all examples: its state is the oracle's, as they have seen the same frames.
    subject = kind.fresh(plan())

    @settings(max_examples=200)
    @given(sequences)
    def same(sequence: list[tuple[int, bytes]]) -> None:
        expected = [subject.oracle.judge(frame, clock_ns) for clock_ns, frame in sequence]
        answered = subject.asked.judge(sequence)
        assert [answer or known for answer, known in zip(answered, expected, strict=True)] == expected

    same()


def test_wire_leaves_no_namespace_behind() -> None:
    kind = Kind("wire")
    kind.fresh(plan())
    ours = f"dpu-replay-{os.getpid()}-"
    assert [name for name in netns.listnetns() if name.startswith(ours)]
    kind.close()
    assert [name for name in netns.listnetns() if name.startswith(ours)] == []
