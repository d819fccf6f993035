"""Flows on the XDP target: pinned, confirmed, aged, ended with a record; every table that frames fill, full."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from scapy.layers.inet import TCP, UDP

from abi.gen.packet import (
    FLOW_ENDED,
    FLOW_IDLE,
    FLOW_STATE_CONFIRMED,
    FLOW_STATE_SERVER_CLOSING,
    FLOW_UNCONFIRMED,
)
from deploy.local import netns
from dpu_app.model.plan_packet import PlanFlows
from dpu_app.targets.packet.ageing import FlowAger
from tests.integration.packet_lab import needs_packet
from tests.integration.xdp_bench import (
    BLUE,
    CLIENT,
    GREEN,
    SIZES,
    VIP,
    Bench,
    bench,
    bucket_of,
    checksum_is_good,
    key_of,
    tcp,
    tcp_back,
    udp,
    udp_back,
)

pytestmark = needs_packet
FAMILIES = pytest.mark.parametrize("family", [4, 6])
RECORD_BYTES = 128
"""In the ring: a record of 120 bytes and its header of 8."""
TIMES = PlanFlows(
    1_024, idle_timeout_ms=60_000, closing_timeout_ms=5_000, unconfirmed_timeout_ms=2_000, records_bytes_max=4_096
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A programmed target."""
    with bench(tmp_path_factory.mktemp("flows")) as made:
        yield made


@pytest.fixture
def wire(shared: Bench) -> Bench:
    """The same one with all weight on blue and no flow."""
    shared.program(green=0)
    shared.forget_flows()
    return shared


def ager(wire: Bench, later_s: float) -> FlowAger:
    """One whose clock is ahead."""
    return FlowAger(wire.maps, wire.generation.program_fd("age"), lambda: time.monotonic_ns() + int(later_s * 1e9))


# --- pinned -------------------------------------------------------------------------------------------------------


@FAMILIES
def test_flow_stays_with_its_group_when_the_weights_move(wire: Bench, family: int) -> None:
    assert wire.ask(tcp(family, 1001, "A"))[1][TCP].dport == BLUE
    assert wire.ask(udp(family, 1001))[1][UDP].dport == BLUE
    wire.program(green=100)
    assert wire.ask(tcp(family, 1001, "PA"))[1][TCP].dport == BLUE
    assert wire.ask(udp(family, 1001))[1][UDP].dport == BLUE
    assert wire.ask(tcp(family, 1002, "A"))[1][TCP].dport == GREEN
    flow = wire.flows()[key_of(family, 1001)]
    assert (flow.packets_in, flow.port, flow.epoch) == (2, BLUE, wire.plan.epoch - 1)


@FAMILIES
def test_syn_opens_no_flow(wire: Bench, family: int) -> None:
    reason, frame = wire.ask(tcp(family, 1003, "S"))
    assert (reason, frame[TCP].dport, wire.flows()) == ("none", BLUE, {})


@FAMILIES
def test_group_of_an_answered_syn_holds_when_the_weights_move_in_mid_handshake(wire: Bench, family: int) -> None:
    for port in (1004, 1005):
        assert wire.ask(tcp(family, port, "S"))[1][TCP].dport == BLUE
    wire.answer(tcp_back(family, BLUE, 1004, "SA"))
    wire.program(green=100)
    assert wire.ask(tcp(family, 1004, "A"))[1][TCP].dport == BLUE
    assert wire.ask(tcp(family, 1005, "A"))[1][TCP].dport == GREEN, "nobody answered this one"
    assert wire.flows()[key_of(family, 1004)].port == BLUE


@FAMILIES
def test_tuple_that_is_used_again_after_its_end_goes_by_the_weights(wire: Bench, family: int) -> None:
    for flags in ("A", "FA"):
        wire.push(tcp(family, 1006, flags))
    wire.program(green=100)
    assert wire.ask(tcp(family, 1006, "S"))[1][TCP].dport == GREEN
    assert wire.flows() == {}
    assert [record.end for record in wire.target.records_read()] == [FLOW_ENDED]


# --- the way back -------------------------------------------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize("group_port", [BLUE, GREEN])
def test_answers_carry_the_port_of_the_vip_and_a_good_checksum(wire: Bench, family: int, group_port: int) -> None:
    for frame in (tcp_back(family, group_port, 1007, "PA"), udp_back(family, group_port, 1007)):
        layer = TCP if TCP in frame else UDP
        left = wire.answer(frame)
        assert left[layer].sport == 443 and checksum_is_good(left)


@FAMILIES
def test_udp_answer_without_a_checksum_stays_without_one(wire: Bench, family: int) -> None:
    frame = udp_back(family, BLUE, 1008)
    frame[UDP].chksum = 0
    left = wire.answer(frame)
    assert (left[UDP].sport, left[UDP].chksum) == (443, 0)


@FAMILIES
def test_datagrams_cross_real_kernels_both_ways_with_good_checksums(wire: Bench, family: int) -> None:
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    names = wire.network.names
    with netns.inside(names.dpu):
        server = socket.socket(kind, socket.SOCK_DGRAM)
    with netns.inside(names.client):
        client = socket.socket(kind, socket.SOCK_DGRAM)
    with server, client:
        for end in (server, client):
            end.settimeout(5)
        server.bind((VIP[family], BLUE))
        client.connect((VIP[family], 443))
        for size in (0, 1, 2, 1_000):
            client.send(bytes(range(256)) * 4 if size == 1_000 else b"x" * size)
            asked, source = server.recvfrom(2_048)
            assert source[0] == CLIENT[family]
            server.sendto(asked + b"!", source)
            assert client.recv(2_048) == asked + b"!", "a connected socket hears port 443 alone"
        assert wire.flows()[key_of(family, client.getsockname()[1], 17)].packets_out == 4


def test_answers_of_other_ports_are_left_alone(wire: Bench) -> None:
    frame = tcp_back(4, 9999, 1009, "A")
    assert bytes(wire.answer(frame)) == bytes(frame)


@FAMILIES
def test_answer_confirms_and_counts_a_flow_and_fin_marks_it(wire: Bench, family: int) -> None:
    wire.push(tcp(family, 1010, "A"))
    assert wire.flows()[key_of(family, 1010)].state == 0
    wire.answer(tcp_back(family, BLUE, 1010, "A"))
    flow = wire.flows()[key_of(family, 1010)]
    assert (flow.state, flow.packets_out) == (FLOW_STATE_CONFIRMED, 1)
    wire.answer(tcp_back(family, BLUE, 1010, "FA"))
    flow = wire.flows()[key_of(family, 1010)]
    assert (flow.state, flow.flags_out) == (FLOW_STATE_CONFIRMED | FLOW_STATE_SERVER_CLOSING, 0x11)


@FAMILIES
def test_reset_of_ours_ends_a_flow_with_a_record(wire: Bench, family: int) -> None:
    wire.push(tcp(family, 1011, "A"))
    wire.answer(tcp_back(family, BLUE, 1011, "R"))
    (record,) = wire.target.records_read()
    assert wire.flows() == {} and record.key == key_of(family, 1011)
    assert (record.end, record.value.packets_in, record.value.packets_out) == (FLOW_ENDED, 1, 1)


# --- ageing -------------------------------------------------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize(
    ("frames", "young_s", "old_s", "end"),
    [
        (("A",), 1, 3, FLOW_UNCONFIRMED),
        (("A", "back A"), 50, 70, FLOW_IDLE),
        (("A", "back A", "FA"), 4, 6, FLOW_ENDED),
        (("A", "back A", "RA"), 4, 6, FLOW_ENDED),
    ],
)
def test_flow_is_aged_by_its_state(
    wire: Bench, family: int, frames: tuple[str, ...], young_s: float, old_s: float, end: int
) -> None:
    for flags in frames:
        if flags.startswith("back"):
            wire.answer(tcp_back(family, BLUE, 1012, flags.split()[1]))
        else:
            wire.push(tcp(family, 1012, flags))
    young = ager(wire, young_s).round(TIMES)
    assert (young.flows, young.ended) == (1, 0)
    assert ager(wire, old_s).round(TIMES).ended == 1
    assert wire.flows() == {} and [record.end for record in wire.target.records_read()] == [end]


def test_flow_that_lives_again_while_it_is_judged_stays(wire: Bench) -> None:
    wire.push(tcp(4, 1013, "A"))
    key = key_of(4, 1013).pack()
    found = replace(wire.flows()[key_of(4, 1013)], last_ns=1)
    wire.maps["flow"].update(key, found.pack())
    asked = ager(wire, 0)
    head = (time.monotonic_ns(), 10**9, 10**9, 10**9)
    wire.push(tcp(4, 1013, "A"))
    assert asked.end([key], head, 0) == 0 and len(wire.flows()) == 1
    wire.maps["flow"].update(key, found.pack())
    assert asked.end([key], head, 0) == 1


def test_many_old_flows_are_ended_in_one_round(wire: Bench) -> None:
    for port in range(2_000, 2_200):
        wire.push(udp(4, port))
    assert ager(wire, 10).round(TIMES).ended == 200 and wire.flows() == {}


def test_flows_of_a_service_that_goes_are_removed(wire: Bench) -> None:
    wire.push(tcp(4, 1014, "A"))
    wire.push(udp(4, 1014))
    whole = wire.planned().packet
    assert whole is not None
    services = {service.name: service.id for service in whole.services}
    removed = FlowAger(wire.maps, wire.generation.program_fd("age")).keep_services({services["https"]})
    assert removed == 1 and list(wire.flows()) == [key_of(4, 1014)]


# --- full ---------------------------------------------------------------------------------------------------------


def test_full_flow_table_steers_by_bucket_passes_and_counts(wire: Bench) -> None:
    full = SIZES["flows"]
    for port in range(10_000, 10_000 + full):
        wire.push(udp(4, port))
    assert len(wire.flows()) == full
    before = wire.maps.events()["flows_full"]
    plan = wire.program(green=50)
    assert plan.packet is not None
    ports = {index: group.port for index, group in enumerate(plan.packet.tables.steer[0].groups)}
    buckets = plan.packet.tables.steer[0].buckets
    seen = set()
    for family in (4, 6):
        for port in range(30_000, 30_010):
            reason, frame = wire.ask(tcp(family, port, "A"))
            assert (reason, frame[TCP].dport) == ("packet_flow_full", ports[buckets[bucket_of(family, port)]])
            assert checksum_is_good(frame)
            seen.add(frame[TCP].dport)
    assert seen == {BLUE, GREEN} and wire.maps.events()["flows_full"] == before + 20
    assert wire.ask(udp(4, 10_000))[0] == "none", "flows that are there go on"


def test_full_ring_loses_records_and_counts_them_and_the_flows_still_end(wire: Bench) -> None:
    ended = 100
    for port in range(5_000, 5_000 + ended):
        wire.push(tcp(4, port, "A"))
    before = wire.maps.events()["records_lost"]
    assert ager(wire, 10).round(TIMES).ended == ended
    lost = wire.maps.events()["records_lost"] - before
    kept = len(wire.target.records_read())
    assert wire.flows() == {} and kept + lost == ended
    assert 0 < kept <= SIZES["records"] // RECORD_BYTES


def test_full_table_of_answered_syns_forgets_the_oldest(wire: Bench) -> None:
    full = SIZES["pending"]
    for port in range(20_000, 20_000 + 2 * full):
        wire.answer(tcp_back(4, BLUE, port, "SA"))
    assert len(list(wire.maps["flow_pending"].items())) <= full
    wire.program(green=100)
    assert wire.ask(tcp(4, 20_000 + 2 * full - 1, "A"))[1][TCP].dport == BLUE
    assert wire.ask(tcp(4, 20_000, "A"))[1][TCP].dport == GREEN


def test_denied_source_leaves_no_trace_in_the_flow_table(wire: Bench) -> None:
    for family, source in ((4, "203.0.113.9"), (6, "2001:db8:bad::9")):
        assert wire.ask(tcp(family, 1015, "A", source))[0] == "acl_denied"
        assert wire.ask(tcp(family, 1015, "A", CLIENT[family]))[0] == "none"
    assert set(wire.flows()) == {key_of(4, 1015), key_of(6, 1015)}
