"""The ACL as the XDP program walks it: classes, a trie of blocks for IPv4, LPM entries for IPv6. Pure."""

from __future__ import annotations

import ipaddress
from array import array
from dataclasses import dataclass, field

from dpu_app.model.plan_packet import PlanAcl, PlanTables, PlanVip

CELLS = 256
ROOT_BLOCKS = 256
IS_BLOCK = 0x8000_0000
IPV6_PREFIX_BEFORE = 32
"""Bits of an LPM key that stand before the address: class, bank, padding."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass
class AclTables:
    """`classes` gives (service, destination port) its class, 0 where no entry can apply."""

    classes: dict[tuple[int, int], int] = field(default_factory=dict)
    blocks: list[array[int]] = field(default_factory=list)
    """Blocks of 256 cells; class c begins with blocks (c - 1) * 256 to c * 256 - 1."""
    ipv6: dict[tuple[int, int, bytes], int] = field(default_factory=dict)
    """(class, prefix length, address) -> reason, 0 to permit."""


def acl_tables(tables: PlanTables) -> AclTables:
    """The walkable form of a bank's ACL."""
    entries: dict[int, list[PlanAcl]] = {}
    for entry in tables.acl:
        entries.setdefault(entry.service, []).append(entry)
    found = AclTables()
    made: dict[tuple[int, int], int] = {}
    rules: list[dict[Network, int]] = []
    for vip in tables.vips:
        mine = entries.get(vip.service, [])
        port = port_class(vip, mine)
        if not mine:
            found.classes[vip.service, vip.port] = 0
            continue
        if (vip.service, port) not in made:
            rules.append(resolved(mine, port))
            made[vip.service, port] = len(rules)
        found.classes[vip.service, vip.port] = made[vip.service, port]
    fill(found, rules)
    return found


def port_class(vip: PlanVip, entries: list[PlanAcl]) -> int:
    """The VIP's port where an entry names it, else 0: all such ports are treated alike."""
    return vip.port if any(entry.port == vip.port for entry in entries) else 0


def resolved(entries: list[PlanAcl], port: int) -> dict[Network, int]:
    """Prefix -> reason for one destination port; the entry with the port goes before the one without."""
    chosen: dict[Network, int] = {}
    for entry in sorted(entries, key=lambda item: item.port != 0):
        if entry.port in (0, port):
            chosen[ipaddress.ip_network(entry.source)] = entry.deny
    return chosen


def fill(found: AclTables, rules: list[dict[Network, int]]) -> None:
    """Lays out blocks and LPM entries of all classes."""
    found.blocks = [array("I", bytes(4 * CELLS)) for _ in range(ROOT_BLOCKS * len(rules))]
    for number, chosen in enumerate(rules, start=1):
        ipv4 = [(n.prefixlen, int(n.network_address), deny) for n, deny in chosen.items() if n.version == 4]
        # Shorter prefixes first: a longer one writes over its part, and blocks inherit what they lie under.
        for length, address, deny in sorted(ipv4):
            put(found.blocks, (number - 1) * ROOT_BLOCKS, length, address, deny)
        for network, deny in chosen.items():
            if network.version == 6:
                found.ipv6[number, network.prefixlen, network.network_address.packed] = deny


def put(blocks: list[array[int]], base: int, length: int, address: int, deny: int) -> None:
    """Writes one IPv4 prefix into the class that begins at block `base`."""
    octets = address.to_bytes(4, "big")
    if length <= 8:
        for block in range(octets[0], octets[0] + (1 << (8 - length))):
            blocks[base + block] = array("I", [deny]) * CELLS
        return
    block = base + octets[0]
    level = 1
    while length > 8 * (level + 1):
        block = below(blocks, block, octets[level])
        level += 1
    count = 1 << (8 * (level + 1) - length)
    blocks[block][octets[level] : octets[level] + count] = array("I", [deny]) * count


def below(blocks: list[array[int]], block: int, cell: int) -> int:
    """The block under a cell, made where there is none."""
    value = blocks[block][cell]
    if value & IS_BLOCK:
        return value & ~IS_BLOCK
    blocks.append(array("I", [value]) * CELLS)
    blocks[block][cell] = IS_BLOCK | (len(blocks) - 1)
    return len(blocks) - 1
