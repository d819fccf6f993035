"""The packet tables of a plan as table entries of one bank, and back. Pure. docs/stages/packet.md has the names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from abi.gen.packet import STEER_BUCKETS
from dpu_app.model.plan_packet import (
    METER_BUCKETS,
    NO_GROUP,
    PlanAcl,
    PlanBucket,
    PlanGroup,
    PlanMeter,
    PlanSteer,
    PlanTables,
    PlanVip,
    reverse,
)
from dpu_app.p4rt import addresses
from dpu_app.p4rt.codec import Call, EntityError, Entries, Key
from dpu_app.p4rt.stubs import code

BANKED = ("vip", "acl", "meter_source", "steer", "reverse")
"""The tables whose keys begin with the bank."""
PORT_MASK = 0xFFFF
PERMIT = Call("permit")
ALL_OF_IPV4 = (addresses.MAPPED, 96, 0)
"""0.0.0.0/0 with any port: first address, length of 128, port."""
GROUPS_MAX = NO_GROUP
"""Listener groups of a service: a bucket names one in a byte."""

Cells = dict[str, dict[int, PlanBucket]]
"""Meter -> cell -> its bucket; cells without one let everything through."""


class Row(NamedTuple):
    """An entry and the place in the plan that asks for it."""

    key: Key
    call: Call
    path: str


def entries(tables: PlanTables, bank: int) -> Entries:
    """Every entry of a bank."""
    return {row.key: row.call for row in rows(tables, bank)}


def of_bank(found: Entries, bank: int) -> Entries:
    """The same entries in another bank."""
    return {key._replace(match=(bank, *key.match[1:])): call for key, call in found.items()}


def rows(tables: PlanTables, bank: int) -> Iterator[Row]:
    """Every entry of a bank with its place in the plan."""
    yield from vip_rows(tables.vips, bank)
    yield from acl_rows(tables.acl, bank)
    for i, meter in enumerate(tables.meters):
        masks = addresses.mask(meter.ipv4_prefix_length, 32), addresses.mask(meter.ipv6_prefix_length)
        call = Call("meters", (*masks, meter.cell_base, meter.cells))
        yield Row(Key("meter_source", (bank, meter.service)), call, f"packet.meters[{i}]")
    for i, steer in enumerate(tables.steer):
        calls = [Call("listener_group", (group.id, group.port)) for group in steer.groups]
        for bucket, group in enumerate(steer.buckets):
            if group != NO_GROUP:
                yield Row(Key("steer", (bank, steer.service, bucket)), calls[group], f"packet.steer[{i}]")
    for (address, protocol, port), vip_port in reverse(tables).items():
        key = Key("reverse", (bank, addresses.address_to_int(address), protocol, port))
        yield Row(key, Call("from_vip", (vip_port,)), "packet.steer")


def vip_rows(vips: Iterable[PlanVip], bank: int) -> Iterator[Row]:
    """VIPs, and one marker for each address: protocol and port 0."""
    marked: set[str] = set()
    for i, vip in enumerate(vips):
        path, address = f"packet.vips[{i}]", addresses.address_to_int(vip.address)
        yield Row(Key("vip", (bank, address, vip.protocol, vip.port)), Call("service", (vip.service,)), path)
        if vip.address not in marked:
            marked.add(vip.address)
            yield Row(Key("vip", (bank, address, 0, 0)), Call("service", (0,)), path)


def acl_key(bank: int, service: int, first: int, length: int, port: int) -> Key:
    """The key of an ACL entry with the priority that makes the longest prefix win, then the specific port."""
    ports = (port, PORT_MASK) if port else (0, 0)
    return Key("acl", (bank, service, (first, addresses.mask(length)), ports), acl_priority(length, port))


def acl_priority(length: int, port: int) -> int:
    """`length` is that of 128 bits; `port` 0 is any."""
    return 2 * length + (1 if port else 0) + 1


def acl_rows(acl: Iterable[PlanAcl], bank: int) -> Iterator[Row]:
    """ACL entries. A prefix of a plan holds addresses of its own family only, and the key of 128 bits cannot say that:
    where an IPv6 prefix holds ::ffff:0:0/96, an entry that permits all of IPv4 stands before it."""
    guarded: dict[int, str] = {}
    open_ipv4: set[int] = set()
    for i, item in enumerate(acl):
        first, length = addresses.prefix_to_key(item.source)
        if addresses.never_matches(item.source, first, length):
            continue
        call = Call("deny", (int(item.deny),)) if item.deny else PERMIT
        yield Row(acl_key(bank, item.service, first, length, item.port), call, f"packet.acl[{i}]")
        if addresses.holds_ipv4(first, length):
            guarded.setdefault(item.service, f"packet.acl[{i}]")
        if (first, length, item.port) == ALL_OF_IPV4:
            open_ipv4.add(item.service)
    for service, path in guarded.items():
        if service not in open_ipv4:
            yield Row(acl_key(bank, service, *ALL_OF_IPV4), PERMIT, path)


def cells(tables: PlanTables) -> Cells:
    """The configured cells of every meter."""
    found: Cells = {name: {} for name in METER_BUCKETS}
    for meter in tables.meters:
        for name in METER_BUCKETS:
            bucket: PlanBucket | None = getattr(meter, name)
            if bucket is not None:
                found[name].update(dict.fromkeys(cells_of(meter, name), bucket))
    return found


def cells_of(meter: PlanMeter, name: str) -> range:
    """The cells of one bucket: the block of the service's sources, or the one of the service itself."""
    if name.startswith("source_"):
        return range(meter.cell_base, meter.cell_base + meter.cells)
    return range(meter.service, meter.service + 1)


def tables_of(found: Entries, bank: int, configured: Cells) -> PlanTables:
    """What the entries of one bank mean; `configured` are the meters' cells. A group's name is made from its id.

    A block of cells has one rate, that of its first cell. Entries that `rows` would not write (a ternary source that
    is no prefix) have to be refused before; markers and `reverse` follow from the rest, so they are not looked at.
    """
    by_table: dict[str, Entries] = {name: {} for name in BANKED}
    for key, call in found.items():
        if key.match and key.match[0] == bank:
            by_table[key.table][key] = call
    return PlanTables(
        vips=tuple(
            sorted(vips_of(by_table["vip"]), key=lambda vip: (vip.service, vip.address, vip.protocol, vip.port))
        ),
        acl=acl_of(by_table["acl"]),
        meters=tuple(meter_of(key, call, configured) for key, call in sorted(by_table["meter_source"].items())),
        steer=steer_of(by_table["steer"]),
    )


def numbers(key: Key) -> tuple[int, ...]:
    """The match of a table whose fields are all exact."""
    return tuple(value if isinstance(value, int) else value[0] for value in key.match)


def vips_of(found: Entries) -> Iterator[PlanVip]:
    """VIPs without the markers."""
    for key, call in found.items():
        _bank, address, protocol, port = numbers(key)
        if protocol:
            yield PlanVip(call.params[0], addresses.address_from_int(address), protocol, port)


def acl_of(found: Entries) -> tuple[PlanAcl, ...]:
    """ACL entries; what an IPv6 prefix says of IPv4, whose keys it holds, is said for IPv4."""
    explicit: dict[tuple[int, str, int], int] = {}
    covering: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for key, call in found.items():
        _bank, service, source, ports = key.match
        assert isinstance(service, int) and isinstance(source, tuple) and isinstance(ports, tuple)
        length, deny = source[1].bit_count(), call.params[0] if call.params else 0
        explicit[service, addresses.prefix_from_key(source[0], length), ports[0]] = deny
        if addresses.holds_ipv4(source[0], length):
            covering[service].append((acl_priority(length, ports[0]), ports[0], deny))
    for service, wide in covering.items():
        if (service, "0.0.0.0/0", 0) in explicit:
            continue  # above all of them
        for port, deny in said_of_ipv4(wide).items():
            explicit.setdefault((service, "0.0.0.0/0", port), deny)
    return tuple(PlanAcl(*place, deny) for place, deny in sorted(explicit.items()))


def said_of_ipv4(wide: list[tuple[int, int, int]]) -> dict[int, int]:
    """Port -> what decides there, 0 being any: of (priority, port, deny) the highest for that port or for any."""
    best: dict[int, int] = {}
    for port in {port for _priority, port, _deny in wide}:
        best[port] = max((item for item in wide if item[1] in (port, 0)), key=lambda item: item[0])[2]
    return best


def meter_of(key: Key, call: Call, configured: Cells) -> PlanMeter:
    """The meters of one service."""
    mask_ipv4, mask_ipv6, cell_base, count = call.params
    service = numbers(key)[1]
    bare = PlanMeter(service, mask_ipv4.bit_count(), mask_ipv6.bit_count(), cell_base, count)
    buckets = {name: configured.get(name, {}).get(cells_of(bare, name).start) for name in METER_BUCKETS}
    return PlanMeter(service, bare.ipv4_prefix_length, bare.ipv6_prefix_length, cell_base, count, **buckets)


def steer_of(found: Entries) -> tuple[PlanSteer, ...]:
    """Buckets by service. A group is an id with a port; there may be GROUPS_MAX of a service."""
    services: dict[int, dict[int, tuple[int, int]]] = defaultdict(dict)
    for key, call in found.items():
        _bank, service, bucket = numbers(key)
        services[service][bucket] = (call.params[0], call.params[1])
    return tuple(plan_steer(service, buckets) for service, buckets in sorted(services.items()))


def plan_steer(service: int, buckets: dict[int, tuple[int, int]]) -> PlanSteer:
    """The buckets of one service. Raises EntityError where there are too many groups."""
    groups = {group: index for index, group in enumerate(sorted(set(buckets.values())))}
    if len(groups) > GROUPS_MAX:
        what = f"steer: service {service} has {len(groups)} listener groups; there may be {GROUPS_MAX}"
        raise EntityError(code.RESOURCE_EXHAUSTED, what)
    layout = bytearray([NO_GROUP]) * STEER_BUCKETS
    for bucket, group in buckets.items():
        layout[bucket] = groups[group]
    named = tuple(PlanGroup(number, f"group-{number}", port) for number, port in groups)
    return PlanSteer(service, named, bytes(layout))
