"""The XDP target as a source of flows: it ages them, and what the kernel refuses looks like nothing."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from typing import cast

import pytest

from abi.gen.packet import FlowRecord
from dpu_app.agent import flows
from dpu_app.agent.flows import XdpFlows
from dpu_app.targets.base import TargetUnavailable
from dpu_app.targets.packet.ageing import Aged
from dpu_app.targets.packet.generation import Generation
from dpu_app.targets.packet.target import XdpTarget
from tests.integration.processes import until


class FakeXdp:
    """A target that answers slowly, or not at all."""

    packet = None

    def __init__(self) -> None:
        self.rounds = 0
        self.may_answer = threading.Event()
        self.refuses = False

    def age(self) -> Aged:
        self.rounds += 1
        self.may_answer.wait(10)
        if self.refuses:
            raise TargetUnavailable("no")
        return Aged(5, 2)

    def records_read(self) -> list[FlowRecord]:
        raise TargetUnavailable("no")

    def held(self) -> AbstractContextManager[Generation | None]:
        raise TargetUnavailable("no")


def flows_of(xdp: FakeXdp) -> XdpFlows:
    return XdpFlows(cast(XdpTarget, xdp))


def test_round_that_waited_for_a_busy_target_does_not_put_off_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "AGE_INTERVAL_S", 0.01)
    xdp = FakeXdp()
    source = flows_of(xdp)
    source.start()
    until(lambda: xdp.rounds == 1, "it asks the target", 5)
    time.sleep(1)  # What a target does that compiles: ten times this is longer than what follows waits.
    xdp.may_answer.set()
    until(lambda: xdp.rounds >= 3, "it goes on", 5)
    source.stop()
    assert source.table().entries == 3


def test_target_that_refuses_to_age_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "AGE_INTERVAL_S", 0.01)
    xdp = FakeXdp()
    xdp.refuses = True
    xdp.may_answer.set()
    source = flows_of(xdp)
    source.start()
    until(lambda: xdp.rounds >= 3, "it goes on", 5)
    source.stop()
    assert source.table().entries == 0


def test_what_the_kernel_refuses_looks_like_nothing() -> None:
    source = flows_of(FakeXdp())
    assert (source.poll(0.0), list(source.active()), source.lost(), source.counters()) == ([], [], 0, {})
