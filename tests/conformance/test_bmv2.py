"""BMv2 with our P4 answers as the contract says: packet cases, random and broken frames, meters, ports, counters."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw
from scapy.utils import wrpcap

from abi.gen.reasons import Reason
from dpu_app.model.plan_packet import PlanPacket
from dpu_app.replay.answer import Answer
from dpu_app.replay.oracle import Oracle
from tests.conformance.bmv2 import HOST, Bmv2, frames_of, installed, settled, switch_of_files
from tests.packets import tables
from tests.packets.case import ETHERNET, FAMILIES, IPV4, Family, Step
from tests.packets.config import TEXT, plan, split_weights

pytestmark = pytest.mark.skipif(not installed(), reason="no simple_switch_grpc on PATH: p4/README.md")

HAS = frozenset({"reload"})
"""What P4 has of what a case may need: no flow table, and a clock that nobody sets."""
FRAMES = sorted(
    {step.frame for case in tables.CASES for step in case.steps if isinstance(step, Step)}, key=lambda f: (len(f), f)
)
NEVER_FULL = TEXT.replace("per_s: 2", "per_s: 0")


def without_meters() -> PlanPacket:
    """The cases' plan, so that no answer depends on the frames before."""
    found = plan()
    return dataclasses.replace(found, tables=dataclasses.replace(found.tables, meters=()))


@pytest.fixture
def switch() -> Iterator[Bmv2]:
    """A switch of its own."""
    with Bmv2() as found:
        yield found


@pytest.fixture(scope="module")
def unmetered() -> Iterator[Bmv2]:
    """A switch whose answers do not depend on what came before."""
    with Bmv2() as found:
        found.program(without_meters())
        yield found


def anonymous(answers: list[Answer]) -> list[Answer]:
    """Without the service, which a packet-in does not say."""
    return [answer._replace(service=0) for answer in answers]


def test_every_packet_case_that_needs_no_flows_and_no_clock(switch: Bmv2) -> None:
    switch.program(plan())
    assert tables.wrong_together(switch, HAS) == []


@st.composite
def broken_frames(draw: st.DrawFn) -> bytes:
    """A case's frame with bytes overwritten, cut off or appended."""
    frame = bytearray(draw(st.sampled_from(FRAMES)))
    for _ in range(draw(st.integers(0, 3))):
        # Headers are where it matters: most hits are in the first 80 bytes.
        at = draw(st.integers(0, min(len(frame), 80) - 1))
        frame[at] = draw(st.sampled_from([0, 1, 4, 5, 6, 17, 44, 60, 255]) | st.integers(0, 255))
    if draw(st.booleans()):
        frame = frame[: draw(st.integers(1, len(frame)))]
    return bytes(frame) + draw(st.binary(max_size=24))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(broken_frames(), min_size=20, max_size=60))
def test_broken_frames_get_the_answer_of_the_model(unmetered: Bmv2, frames: list[bytes]) -> None:
    model = Oracle(without_meters(), flow_table=False)
    assert unmetered.ask_all(frames) and anonymous(unmetered.ask_all(frames)) == anonymous(
        [model.judge(frame, 0) for frame in frames]
    )


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(st.binary(min_size=1, max_size=200), min_size=10, max_size=40))
def test_random_bytes_get_the_answer_of_the_model(unmetered: Bmv2, frames: list[bytes]) -> None:
    model = Oracle(without_meters(), flow_table=False)
    assert anonymous(unmetered.ask_all(frames)) == anonymous([model.judge(frame, 0) for frame in frames])


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_random_flows_are_steered_as_the_model_steers_them(unmetered: Bmv2, family: Family) -> None:
    model = Oracle(without_meters(), flow_table=False)
    chance = random.Random(family.name)
    kinds = (family.tcp, family.udp)
    frames = [
        bytes(chance.choice(kinds)(13, client=chance.randrange(1, 256), sport=chance.randrange(1, 65536)))
        for _ in range(500)
    ]
    answers = anonymous(unmetered.ask_all(frames))
    assert answers == anonymous([model.judge(frame, 0) for frame in frames])
    assert {answer.port for answer in answers} == {8443, 9443}


def test_meters_at_zero_refill_are_those_of_the_model(switch: Bmv2) -> None:
    packet = plan(NEVER_FULL)
    switch.program(packet)
    model = Oracle(packet, flow_table=False)
    chance = random.Random("meters")
    metered = range(21, 30)
    frames = [
        bytes(
            chance.choice(FAMILIES).tcp(
                chance.choice(metered), client=chance.randrange(1, 40), flags=chance.choice(["S", "A"])
            )
            / bytes(chance.randrange(60))
        )
        for _ in range(1_000)
    ]
    answers = anonymous(switch.ask_all(frames))
    assert answers == anonymous([model.judge(frame, 0) for frame in frames])
    metered_reasons = {number for number in Reason if number.name.startswith("METER_")}
    assert metered_reasons <= {answer.reason for answer in answers}


def test_meters_keep_what_they_hold_over_a_reload(switch: Bmv2) -> None:
    first = plan(NEVER_FULL)
    switch.program(first)
    frame = bytes(IPV4.tcp(21, client=7))
    assert [switch.judge(frame).passed for _ in range(3)] == [True, True, False]
    switch.program(plan(split_weights(80).replace("per_s: 2", "per_s: 0"), first))
    assert switch.judge(frame).reason == Reason.METER_SOURCE_PACKETS


def test_a_reload_flips_all_tables_at_once(switch: Bmv2) -> None:
    before = without_meters()
    after = dataclasses.replace(
        before, tables=dataclasses.replace(before.tables, vips=before.tables.vips[:1], acl=(), steer=())
    )
    switch.program(before)
    for packet in (after, before, after):
        switch.program(packet)
        model = Oracle(packet, flow_table=False)
        assert anonymous(switch.ask_all(FRAMES)) == anonymous([model.judge(frame, 0) for frame in FRAMES])


def test_reasons_count_frames_and_their_own_bytes(switch: Bmv2) -> None:
    switch.program(without_meters())
    model = Oracle(without_meters(), flow_table=False)
    wanted: dict[int, tuple[int, int]] = {}
    for frame in FRAMES:
        reason = model.judge(frame, 0).reason
        packets, size = wanted.get(reason, (0, 0))
        wanted[reason] = (packets + 1, size + len(frame))
    switch.ask_all(FRAMES)
    assert settled(switch.reasons, wanted) == wanted


@pytest.mark.parametrize("layer", [TCP, UDP], ids=["tcp", "udp"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_an_answer_of_the_host_gets_the_port_of_its_vip(unmetered: Bmv2, family: Family, layer: type[TCP]) -> None:
    addresses = {"src": family.vip(10), "dst": family.client(9)}
    answer = ETHERNET / family.layer(**addresses) / layer(sport=8443, dport=40000) / b"answer"
    wanted = ETHERNET / family.layer(**addresses) / layer(sport=443, dport=40000) / b"answer"
    assert unmetered.ask_all([bytes(answer)], HOST) == [Answer(True, 0, frame=bytes(wanted))]


FROM_HOST = {
    "of-no-vip": ETHERNET / IP(src="192.0.2.99", dst=IPV4.client(9)) / TCP(sport=8443),
    "from-another-port": ETHERNET / IP(src=IPV4.vip(10), dst=IPV4.client(9)) / TCP(sport=8444),
    "to-a-vip": IPV4.tcp(10, flags="SF"),
    "neither-tcp-nor-udp": ETHERNET / IP(src=IPV4.vip(10), proto=89) / bytes(40),
    "broken": ETHERNET / IPv6(plen=900) / bytes(8),
    "short": b"\x00\x01",
    "fragment": ETHERNET / IP(src=IPV4.vip(10), flags="MF") / TCP(sport=8443),
    "udp-without-checksum-elsewhere": ETHERNET / IP(src="192.0.2.99") / UDP(sport=8443, chksum=0),
}


@pytest.mark.parametrize("name", FROM_HOST)
def test_other_frames_of_the_host_pass_untouched(unmetered: Bmv2, name: str) -> None:
    frame = bytes(FROM_HOST[name])
    assert unmetered.ask_all([frame], HOST) == [Answer(True, 0, frame=frame)]


def test_frames_of_the_host_are_not_counted(switch: Bmv2) -> None:
    switch.program(without_meters())
    switch.ask_all([bytes(IPV4.tcp(10))] * 5, HOST)
    switch.ask_all([bytes(IPV4.tcp(10))])
    assert switch.reasons() == {Reason.NONE: (1, len(bytes(IPV4.tcp(10))))}


def test_frames_leave_by_the_other_port_and_dropped_ones_by_none(tmp_path: Path) -> None:
    # Without a controller: the tables are empty, so frames pass as not ours, or are dropped by what they look like.
    other, short = bytes(IPV4.tcp(99)), bytes(ETHERNET)[:13]
    answer = bytes(ETHERNET / IP(src="192.0.2.99") / TCP(sport=443))
    wrpcap(str(tmp_path / "wire_in.pcap"), [Raw(frame) for frame in (other, short, other)], linktype=1)
    wrpcap(str(tmp_path / "host_in.pcap"), [Raw(answer)], linktype=1)
    with switch_of_files(tmp_path, ["0@wire", "1@host"]):
        assert settled(lambda: frames_of(tmp_path / "host_out.pcap"), [other, other]) == [other, other]
        assert settled(lambda: frames_of(tmp_path / "wire_out.pcap"), [answer]) == [answer]
