"""The flat ACL trie says what the longest prefix says."""

from __future__ import annotations

import ipaddress
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpu_app.model.plan_packet import PlanAcl, PlanTables, PlanVip
from dpu_app.targets.packet.acl import IS_BLOCK, AclTables, acl_tables
from tests.unit.dpu_app.p4rt.packet_samples import ipv4_prefixes

VIPS = (PlanVip(1, "192.0.2.10", 6, 443), PlanVip(1, "192.0.2.10", 6, 80), PlanVip(2, "192.0.2.11", 6, 443))


def walk(found: AclTables, service: int, port: int, source: str) -> int:
    """What `bpf/lib/acl.h` does."""
    number = found.classes[service, port]
    if number == 0:
        return 0
    octets = ipaddress.IPv4Address(source).packed
    cell = found.blocks[(number - 1) * 256 + octets[0]][octets[1]]
    for octet in octets[2:]:
        if not cell & IS_BLOCK:
            break
        cell = found.blocks[cell & ~IS_BLOCK][octet]
    return cell


def longest(entries: list[PlanAcl], service: int, port: int, source: str) -> int:
    """The contract, word for word."""
    address = ipaddress.ip_address(source)
    mine = [e for e in entries if e.service == service and e.port in (0, port)]
    holding = [e for e in mine if address in ipaddress.ip_network(e.source)]
    best = max(holding, key=lambda e: (ipaddress.ip_network(e.source).prefixlen, e.port != 0), default=None)
    return best.deny if best else 0


@given(
    st.lists(
        st.builds(PlanAcl, st.just(1), ipv4_prefixes, st.sampled_from([0, 443, 80]), st.sampled_from([0, 40, 41, 42])),
        max_size=12,
        unique_by=lambda entry: (entry.source, entry.port),
    ),
    st.integers(0, (1 << 32) - 1),
)
def test_walk_is_the_longest_prefix(entries: list[PlanAcl], random_source: int) -> None:
    found = acl_tables(PlanTables(vips=VIPS, acl=tuple(entries)))
    edges = [int(ipaddress.ip_network(entry.source).network_address) for entry in entries]
    edges += [int(ipaddress.ip_network(entry.source).broadcast_address) for entry in entries]
    near = [edge + step for edge in edges for step in (-1, 0, 1) if 0 <= edge + step < 1 << 32]
    for number in [random_source, *near]:
        source = str(ipaddress.IPv4Address(number))
        for port in (443, 80):
            assert walk(found, 1, port, source) == longest(entries, 1, port, source)


def test_ten_thousand_prefixes_are_walked_right() -> None:
    chosen = random.Random(7)
    networks = {
        ipaddress.ip_network((chosen.getrandbits(32), chosen.randint(8, 32)), strict=False) for _ in range(10_000)
    }
    entries = [PlanAcl(1, str(network), 0, 40 + index % 3) for index, network in enumerate(sorted(networks))]
    found = acl_tables(PlanTables(vips=VIPS, acl=tuple(entries)))
    for entry in chosen.sample(entries, 50):
        source = str(ipaddress.ip_network(entry.source).network_address)
        assert walk(found, 1, 443, source) == longest(entries, 1, 443, source)


def test_service_without_entries_is_in_no_class() -> None:
    found = acl_tables(PlanTables(vips=VIPS, acl=(PlanAcl(1, "10.0.0.0/8", 0, 40),)))
    assert found.classes == {(1, 443): 1, (1, 80): 1, (2, 443): 0}
    assert len(found.blocks) == 256


def test_port_with_an_entry_of_its_own_is_a_class_of_its_own() -> None:
    entries = (PlanAcl(1, "10.0.0.0/8", 0, 40), PlanAcl(1, "10.0.0.0/8", 443, 0))
    found = acl_tables(PlanTables(vips=VIPS, acl=entries))
    assert found.classes[1, 443] != found.classes[1, 80]


@pytest.mark.parametrize(("source", "length"), [("::/0", 0), ("2001:db8::/32", 32), ("2001:db8::1/128", 128)])
def test_ipv6_prefix_is_an_lpm_entry(source: str, length: int) -> None:
    found = acl_tables(PlanTables(vips=VIPS, acl=(PlanAcl(1, source, 0, 41),)))
    assert found.ipv6 == {(1, length, ipaddress.ip_network(source).network_address.packed): 41}
