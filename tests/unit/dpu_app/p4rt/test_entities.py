"""Plans as table entries and back; the ternary ACL decides as the longest prefix would."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from dpu_app.model.plan_packet import PlanAcl, PlanBucket, PlanTables
from dpu_app.p4rt import addresses, schema
from dpu_app.p4rt.codec import Call, Entries, Key, decode_call, decode_key, encode
from dpu_app.p4rt.entities import cells, entries, rows, tables_of
from tests.unit.dpu_app.p4rt.packet_samples import DENIED, TABLES, acls, with_acl

SCHEMA = schema.load()
VIP = (0xFFFF << 32) | 0xC000020A


def best(found: Entries, service: int, source: str, port: int) -> int | None:
    """What a ternary table says: the deny reason of the entry of the highest priority that matches."""
    address = addresses.address_to_int(source)
    hits = []
    for key, call in found.items():
        if key.table != "acl":
            continue
        _bank, of, (value, mask), (want, port_mask) = key.match  # type: ignore[misc]  # a ternary field is a pair
        if of == service and address & mask == value and port & port_mask == want:
            hits.append((key.priority, call.params[0] if call.params else 0))
    return max(hits)[1] if hits else None


def longest(acl: tuple[PlanAcl, ...], service: int, source: str, port: int) -> int:
    """What docs/stages/packet.md says: the longest prefix of the family, then the specific port; else permit."""
    address = ipaddress.ip_address(source)
    hits = [
        (ipaddress.ip_network(item.source).prefixlen, item.port != 0, item.deny)
        for item in acl
        if item.service == service and item.port in (0, port) and address in ipaddress.ip_network(item.source)
    ]
    return max(hits)[2] if hits else 0


def test_sample_has_the_entries_of_the_contract() -> None:
    found = entries(TABLES, 1)
    assert found[Key("vip", (1, VIP, 6, 443))] == Call("service", (1,))
    assert found[Key("vip", (1, VIP, 0, 0))] == Call("service", (0,))
    assert found[Key("steer", (1, 1, 1000))] == Call("listener_group", (2, 9443))
    assert Key("steer", (1, 1, 1023)) not in found
    assert found[Key("reverse", (1, VIP, 6, 8443))] == Call("from_vip", (443,))
    assert found[Key("meter_source", (1, 1))].params == (0xFFFFFFFF, (1 << 128) - (1 << 64), 0, 16)
    source = (addresses.MAPPED | 0xC6336407, (1 << 128) - 1)
    assert found[Key("acl", (1, 1, source, (443, 0xFFFF)), 2 * 128 + 1 + 1)] == Call("permit")


def test_every_entry_goes_through_the_wire_form_unchanged() -> None:
    for key, call in entries(TABLES, 0).items():
        message = encode(SCHEMA, key, call)
        assert (decode_key(SCHEMA, message), decode_call(SCHEMA, message)) == (key, call)


def test_rows_name_the_place_in_the_plan() -> None:
    paths = {row.path for row in rows(TABLES, 0) if row.key.table == "acl"}
    assert paths == {"packet.acl[0]", "packet.acl[1]", "packet.acl[2]"}


def test_cells_are_those_of_the_block_and_of_the_service() -> None:
    found = cells(TABLES)
    assert found["source_packets"] == dict.fromkeys(range(16), PlanBucket(0, 5))
    assert found["service_bytes"] == {1: PlanBucket(1_000_000, 2_000_000)}
    assert found["source_bytes"] == {}


def test_tables_come_back_from_their_entries() -> None:
    back = tables_of(entries(TABLES, 1), 1, cells(TABLES))
    assert sorted(back.vips, key=repr) == sorted(TABLES.vips, key=repr)
    assert set(back.acl) == set(TABLES.acl)
    assert back.meters == TABLES.meters
    assert back.steer[0].buckets == TABLES.steer[0].buckets
    assert [(group.id, group.port) for group in back.steer[0].groups] == [(1, 8443), (2, 9443)]
    assert tables_of(entries(TABLES, 1), 0, cells(TABLES)) == PlanTables()


@given(acls)
@example((PlanAcl(1, "::/0", 0, DENIED), PlanAcl(1, "0.0.0.0/0", 443, 0)))
def test_reading_back_and_writing_again_changes_no_entry(acl: tuple[PlanAcl, ...]) -> None:
    found = entries(with_acl(*acl), 0)
    assert entries(tables_of(found, 0, cells(TABLES)), 0) == found


@given(acls, st.sampled_from(["198.51.100.7", "0.0.0.1", "2001:db8::1", "::1"]), st.sampled_from([53, 80, 443]))
@example((PlanAcl(1, "::/0", 0, DENIED),), "198.51.100.7", 443)
@example((PlanAcl(1, "::/0", 0, DENIED), PlanAcl(1, "0.0.0.0/0", 443, 0)), "198.51.100.7", 80)
@example((PlanAcl(1, "::ffff:0:0/96", 0, DENIED),), "198.51.100.7", 80)
def test_ternary_acl_decides_like_the_longest_prefix(acl: tuple[PlanAcl, ...], source: str, port: int) -> None:
    assert (best(entries(with_acl(*acl), 0), 1, source, port) or 0) == longest(acl, 1, source, port)


@given(acls, st.sampled_from(["198.51.100.7", "2001:db8::1"]), st.sampled_from([53, 80, 443]))
@example((PlanAcl(1, "::/33", 53, DENIED), PlanAcl(1, "::/0", 0, 0)), "198.51.100.7", 53)
def test_entries_without_a_guard_mean_the_same_as_tables(acl: tuple[PlanAcl, ...], source: str, port: int) -> None:
    """A controller writes `::/0` for both families: it is read as the two prefixes that it is."""
    raw = {row.key: row.call for item in acl for row in rows(PlanTables(acl=(item,)), 0)}
    guards = {key for key, call in raw.items() if call.action == "permit" and key.priority == 193}
    raw = {key: call for key, call in raw.items() if key not in guards}
    tables = replace(TABLES, acl=tables_of(raw, 0, {}).acl)
    assert longest(tables.acl, 1, source, port) == (best(raw, 1, source, port) or 0)
