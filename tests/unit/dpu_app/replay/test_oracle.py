"""The oracle says what the packet cases say, and what the contract says beyond them."""

from __future__ import annotations

import ipaddress

import pytest

from abi.gen.packet import FLOW_STATE_CLIENT_CLOSING
from abi.gen.reasons import Reason
from dpu_app.replay.oracle import Oracle
from tests.packets.case import FAMILIES, IPV4, Case, Family, Step
from tests.packets.config import TEXT, plan, split_weights
from tests.packets.tables import CASES, TOGETHER, wrong, wrong_together

NS_PER_S = 1_000_000_000


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    now = plan(case.config or TEXT)
    assert list(wrong(case, Oracle(now), now)) == []


def test_cases_that_may_follow_each_other_do_not_disturb_each_other() -> None:
    assert wrong_together(Oracle(plan())) == []


def test_names_of_cases_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_packet_reason_has_a_case() -> None:
    covered = {step.reason for case in CASES for step in case.steps if isinstance(step, Step)}
    assert {reason for reason in Reason if reason < 100} <= covered


def test_every_case_of_one_family_has_its_twin() -> None:
    names = {
        case.name for case in TOGETHER if case.name.startswith(("ipv4-tcp", "ipv4-udp", "ipv4-acl", "ipv4-source"))
    }
    twins = {case.name for case in TOGETHER if case.name.startswith("ipv6-")}
    alone = {
        "no-entry",
        "port-entry-alone",
        "port-entry-alone-other-port",
        "all-of-the-family",
        "of-another-service",
        "after-sanity",
    }
    assert {n for n in names if n.replace("ipv4", "ipv6") not in twins} <= {f"ipv4-acl-{n}" for n in alone}


def test_without_flow_table_a_flow_follows_the_weights_as_in_p4() -> None:
    oracle = Oracle(plan(), flow_table=False)
    frame = bytes(IPV4.tcp(13, sport=49001))
    assert oracle.judge(frame, 0).port == 8443
    oracle.program(plan(split_weights(0), plan()), 2)
    assert oracle.judge(frame, 0).port == 9443


def test_meters_outlive_a_plan() -> None:
    oracle = Oracle(plan())
    frame = bytes(IPV4.tcp(21))
    assert [oracle.judge(frame, 0).reason for _ in range(2)] == [Reason.NONE] * 2
    oracle.program(plan(previous=plan()), 2)
    assert oracle.judge(frame, 0).reason == Reason.METER_SOURCE_PACKETS


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_flow_entry_says_what_was_seen(family: Family) -> None:
    oracle = Oracle(plan(), epoch=7)
    frames = [bytes(family.tcp(13, sport=49001, flags=flags)) for flags in ("A", "PA", "FA")]
    for second, frame in enumerate(frames):
        oracle.judge(frame, second * NS_PER_S)
    assert oracle.flows
    [(key, flow)] = oracle.flows.entries.items()
    value = flow.value()
    assert (key.source_port, key.destination_port, key.protocol) == (49001, 443, 6)
    mapped = "::ffff:" if family is IPV4 else ""
    assert key.source == ipaddress.ip_address(mapped + family.client(1)).packed
    assert (value.packets_in, value.bytes_in) == (3, sum(map(len, frames)))
    assert (value.first_ns, value.last_ns, value.epoch, value.port) == (0, 2 * NS_PER_S, 7, 8443)
    assert (value.flags_in, value.state) == (0x19, FLOW_STATE_CLIENT_CLOSING)


# (flags of the frames, seconds since the last, removed): nobody confirms a flow in a replay
AGES = [
    (("A",), 5, 0),
    (("A",), 5.000000001, 1),
    (("A", "FA"), 10, 0),
    (("A", "FA"), 10.000000001, 1),
    (("A", "R"), 10.000000001, 1),
]


@pytest.mark.parametrize(("flags", "seconds", "removed"), AGES)
def test_flow_without_frames_is_forgotten(flags: tuple[str, ...], seconds: float, removed: int) -> None:
    oracle = Oracle(plan())
    for flag in flags:
        oracle.judge(bytes(IPV4.tcp(13, sport=49001, flags=flag)), NS_PER_S)
    assert oracle.age(NS_PER_S + round(seconds * NS_PER_S)) == removed


def test_flows_of_a_removed_service_are_forgotten() -> None:
    oracle = Oracle(plan())
    oracle.judge(bytes(IPV4.tcp(13, sport=49001)), 0)
    oracle.judge(bytes(IPV4.tcp(10, sport=49001)), 0)
    only = "packet:\n  interface: wire0\n  vips: [{ service: web, address: 192.0.2.10, port: 443 }]\n"
    oracle.program(plan(only, plan()), 2)
    assert oracle.flows and [key.destination[-1] for key in oracle.flows.entries] == [10]
