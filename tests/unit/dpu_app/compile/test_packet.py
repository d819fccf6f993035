"""Compiling the packet stage: ids that stay, buckets that hardly move, cells that keep what they know."""

from __future__ import annotations

from collections import Counter

import pytest

from abi.gen.packet import STEER_BUCKETS
from abi.gen.reasons import Reason
from dpu_app.compile.packet import ids, whole_buckets
from dpu_app.compile.summary import tables
from dpu_app.model.plan import Plan, plan_from_json, plan_to_json
from dpu_app.model.plan_packet import PlanPacket, reverse
from tests.unit.dpu_app.model.test_packet import PACKET
from tests.unit.dpu_app.samples import TEXT, plan

FIRST = plan(text=TEXT + PACKET)


def packet(text: str = PACKET, previous: Plan = FIRST) -> PlanPacket:
    found = plan(2, previous, TEXT + text).packet
    assert found is not None
    return found


def test_without_a_packet_section_there_is_none() -> None:
    assert plan().packet is None


def test_plan_with_packet_survives_json() -> None:
    assert plan_from_json(plan_to_json(FIRST)) == FIRST


def test_names_become_ids_and_reasons_numbers() -> None:
    found = packet()
    assert [(item.id, item.name) for item in found.services] == [(1, "api"), (2, "dns")]
    assert [(entry.service, entry.source, entry.port, entry.deny) for entry in found.tables.acl] == [
        (1, "203.0.113.0/24", 0, Reason.ACL_DENIED)
    ]


def test_service_keeps_its_id_when_another_goes_before_it() -> None:
    text = (
        "packet:\n  interface: uplink\n  vips:\n    - { service: dns, address: 192.0.2.10, protocol: udp, port: 53 }\n"
    )
    assert [(item.id, item.name) for item in packet(text).services] == [(2, "dns")]


@pytest.mark.parametrize(
    ("names", "before", "last", "expected"),
    [
        ("ab", {}, 5, {"a": 1, "b": 2}),
        ("ba", {"a": 1}, 5, {"b": 2, "a": 1}),
        ("c", {"a": 1, "b": 2}, 5, {"c": 3}),
        ("bc", {"a": 1, "b": 2}, 2, {"b": 2, "c": 1}),
    ],
)
def test_number_that_was_given_up_is_taken_last(
    names: str, before: dict[str, int], last: int, expected: dict[str, int]
) -> None:
    assert ids(names, before, last) == expected


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"a": 10_000}, {"a": 1_024}),
        ({"a": 5_000, "b": 5_000}, {"a": 512, "b": 512}),
        ({"a": 9_999, "b": 1}, {"a": 1_023, "b": 1}),
        ({"a": 10_000, "b": 0}, {"a": 1_024, "b": 0}),
        ({"a": 3_333, "b": 3_333, "c": 3_334}, {"a": 341, "b": 341, "c": 342}),
    ],
)
def test_shares_become_whole_buckets(weights: dict[str, int], expected: dict[str, int]) -> None:
    assert whole_buckets(weights) == expected


def test_every_group_of_many_has_a_bucket() -> None:
    counts = whole_buckets({f"g{i}": 1 for i in range(63)} | {"rest": 10_000 - 63})
    assert min(counts.values()) == 1
    assert sum(counts.values()) == STEER_BUCKETS


def test_buckets_move_only_to_the_group_that_grows() -> None:
    before = FIRST.packet
    assert before is not None
    moved = packet(
        PACKET.replace("weight_percent: 90", "weight_percent: 80").replace("weight_percent: 10", "weight_percent: 20")
    )
    pairs = Counter(zip(before.tables.steer[0].buckets, moved.tables.steer[0].buckets, strict=True))
    assert pairs[1, 0] == 0
    assert pairs[0, 1] == moved.tables.steer[0].buckets.count(1) - before.tables.steer[0].buckets.count(1) > 0


def test_group_keeps_its_id_when_its_port_moves() -> None:
    moved = packet(PACKET.replace("port: 8444", "port: 9444"))
    assert [(group.id, group.port) for group in moved.tables.steer[0].groups] == [(1, 8443), (2, 9444)]


def test_metered_service_keeps_its_cells() -> None:
    both = PACKET.replace(
        "  steer:", "    - { service: dns, per_source: { packets: { per_s: 1, burst: 1 } } }\n  steer:"
    )
    second = plan(2, FIRST, TEXT + both)
    assert second.packet is not None
    assert [(m.service, m.cell_base, m.cells) for m in second.packet.tables.meters] == [
        (1, 0, 4_096),
        (2, 4_096, 4_096),
    ]
    alone = both.replace("    - { service: api, per_source: { packets: { per_s: 0, burst: 10 } } }\n", "")
    assert [(m.service, m.cell_base) for m in packet(alone, second).tables.meters] == [(2, 4_096)]


def test_answers_of_a_group_lead_back_to_the_vip() -> None:
    assert reverse(packet().tables) == {
        (address, 6, port): 443 for address in ("192.0.2.10", "2001:db8::10") for port in (8443, 8444)
    }


def test_summary_shows_what_is_programmed() -> None:
    rows = {table.title: table.rows for table in tables(FIRST)}
    assert rows["VIPs on uplink"][0] == ("api", "192.0.2.10", "tcp", "443", "blue :8443, green :8444")
    assert rows["ACL"] == (("api", "203.0.113.0/24", "any", "deny (acl_denied)"),)
    assert rows["listener groups"] == (("api", "blue", "1", "8443", "922"), ("api", "green", "2", "8444", "102"))
    assert rows["meters"][0][2:] == ("packets", "0", "10")
