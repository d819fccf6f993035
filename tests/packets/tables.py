"""All cases, and how a target is asked about one. Every target's test runs over this."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from dpu_app.model.plan_packet import PlanPacket
from dpu_app.replay.answer import Answer
from tests.packets import (
    acl_pkts,
    icmp_pkts,
    ipv4_pkts,
    ipv6_pkts,
    meter_pkts,
    steer_pkts,
    tcp_pkts,
    udp_pkts,
    vip_pkts,
    vlan_pkts,
)
from tests.packets.case import Case, Reload, Step
from tests.packets.config import TEXT, plan

MODULES = (
    vip_pkts,
    vlan_pkts,
    ipv4_pkts,
    ipv6_pkts,
    tcp_pkts,
    udp_pkts,
    icmp_pkts,
    acl_pkts,
    meter_pkts,
    steer_pkts,
)
CASES: list[Case] = [case for module in MODULES for case in module.CASES]
TOGETHER = [case for case in CASES if not case.alone]
ALONE = [case for case in CASES if case.alone]


class Judge(Protocol):
    """What is tested: the oracle, XDP, a P4 switch."""

    def judge(self, frame: bytes, clock_ns: int) -> Answer: ...

    def program(self, packet: PlanPacket, epoch: int) -> None: ...


@dataclass(frozen=True)
class Wrong:
    """An answer that is not what the case says."""

    case: str
    step: int
    expected: Answer
    answered: Answer


def expected(step: Step, now: PlanPacket, answered: Answer) -> Answer:
    """What every target has to say. Its word is taken for ids, as far as service, group and port belong together."""
    groups = {
        group.id
        for steer in now.tables.steer
        for group in steer.groups
        if group.port == step.port and answered.service in (0, steer.service)
    }
    group = answered.group if answered.group in groups else min(groups, default=0)
    return Answer(step.reason <= 9, int(step.reason), answered.service, group, step.port, step.frame_after)


def wrong(case: Case, target: Judge, now: PlanPacket) -> Iterator[Wrong]:
    """Runs a case on a target that is programmed with `now`; what it answers that it should not."""
    epoch = 1
    for index, step in enumerate(case.steps):
        if isinstance(step, Reload):
            epoch += 1
            now = plan(step.text, now)
            target.program(now, epoch)
            continue
        answered = target.judge(step.frame, step.clock_ns)
        said = expected(step, now, answered)
        if answered != said:
            yield Wrong(case.name, index, said, answered)


def wrong_together(target: Judge, has: frozenset[str] = frozenset({"flow", "clock", "reload"})) -> list[Wrong]:
    """All cases that may follow each other, on one target that is programmed with `plan()`."""
    now = plan()
    return [found for case in TOGETHER if case.needs <= has for found in wrong(case, target, now)]


def wrong_alone(
    make: Callable[[PlanPacket], Judge], has: frozenset[str] = frozenset({"flow", "clock", "reload"})
) -> list[Wrong]:
    """The others, each on a target of its own."""
    found: list[Wrong] = []
    for case in ALONE:
        if case.needs <= has:
            now = plan(case.config or TEXT)
            found += wrong(case, make(now), now)
    return found
