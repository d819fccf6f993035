"""Whether the parts of `packet` fit together. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from abi.gen.packet import METER_CELLS_MAX, SERVICES_MAX
from dpu_app.model.packet import Packet
from dpu_app.model.problem import Finding, Location, Named, twice

TABLES = ("vips", "acl", "meters", "steer")


def findings(packet: Packet | None) -> Iterator[Finding]:
    """Everything that does not fit."""
    if packet is None:
        return
    if packet.programmed_by == "p4runtime":
        yield from programmed_elsewhere(packet)
        return
    for check in (services, unknown_services, doubles, weights, meter_cells, return_ways):
        yield from check(packet)


def programmed_elsewhere(packet: Packet) -> Iterator[Finding]:
    """One writer for the tables."""
    for table in TABLES:
        if getattr(packet, table):
            what = f"'{table}' is written here and programmed_by is p4runtime: the tables have one writer"
            yield Finding(("packet", table), what, "remove it, or set programmed_by: agent")


def services(packet: Packet) -> Iterator[Finding]:
    """As many services as there are ids."""
    names = list(dict.fromkeys(vip.service for vip in packet.vips))
    for name in names[SERVICES_MAX - 1 :]:
        index = next(i for i, vip in enumerate(packet.vips) if vip.service == name)
        what = f"'{name}' is one service too many: there may be {SERVICES_MAX - 1}"
        yield Finding(("packet", "vips", index, "service"), what, "join services that are treated alike")


def unknown_services(packet: Packet) -> Iterator[Finding]:
    """ACL, meters and steering are of services that have a VIP."""
    known = {vip.service for vip in packet.vips}
    for table in TABLES[1:]:
        for index, entry in enumerate(getattr(packet, table)):
            if entry.service not in known:
                fix = f"use one of: {', '.join(sorted(known)[:8])}" if known else "add a VIP of it"
                what = f"no VIP belongs to a service '{entry.service}'"
                yield Finding(("packet", table, index, "service"), what, fix)


def doubles(packet: Packet) -> Iterator[Finding]:
    """Nothing is said twice."""
    vips: list[Named] = [
        (("packet", "vips", i), vip_text(v.address, v.protocol, v.port)) for i, v in enumerate(packet.vips)
    ]
    yield from twice("the VIP", "name each address, protocol and port once", vips)
    acl = [(("packet", "acl", i), f"{a.service} {a.source} port {a.port or 'any'}") for i, a in enumerate(packet.acl)]
    yield from twice("the ACL entry", "keep one of them", acl)
    for table in ("meters", "steer"):
        entries: list[Named] = [
            (("packet", table, i, "service"), entry.service) for i, entry in enumerate(getattr(packet, table))
        ]
        yield from twice("an entry of the service", "join them into one", entries)
    for s, steer in enumerate(packet.steer):
        groups: list[Named] = [
            (("packet", "steer", s, "groups", g, "name"), x.name) for g, x in enumerate(steer.groups)
        ]
        yield from twice("the group", "give each its own name", groups)
        ports: list[Named] = [
            (("packet", "steer", s, "groups", g, "port"), str(x.port)) for g, x in enumerate(steer.groups)
        ]
        yield from twice("the port", "give each group its own port", ports)


def vip_text(address: str, protocol: str, port: int) -> str:
    """`192.0.2.10:443/tcp`."""
    host = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    return f"{host}:{port}/{protocol}"


def weights(packet: Packet) -> Iterator[Finding]:
    """The groups of a service share exactly 100 %."""
    for index, steer in enumerate(packet.steer):
        total = sum(group.weight_percent for group in steer.groups)
        if total != 100:
            shares = " + ".join(f"{group.name} {group.weight_percent.normalize():f}" for group in steer.groups[:8])
            what = f"the weights of '{steer.service}' add up to {total:f} %: {shares}"
            yield Finding(("packet", "steer", index, "groups"), what, "make them add up to 100")


def meter_cells(packet: Packet) -> Iterator[Finding]:
    """All cells together are as many as every target has."""
    if packet.meter_cells * len(packet.meters) > METER_CELLS_MAX:
        what = f"{packet.meter_cells} cells for each of {len(packet.meters)} services are more than {METER_CELLS_MAX}"
        yield Finding(("packet", "meter_cells"), what, "lower meter_cells, or meter fewer services")


def return_ways(packet: Packet) -> Iterator[Finding]:
    """An answer's source port says which VIP port it came from."""
    groups = {steer.service: steer.groups for steer in packet.steer}
    owners: dict[tuple[str, str, int], int] = {}
    for index, vip in enumerate(packet.vips):
        loc: Location = ("packet", "vips", index)
        for port in [vip.port, *(group.port for group in groups.get(vip.service, ()))]:
            first = owners.setdefault((vip.address, vip.protocol, port), vip.port)
            if first != vip.port:
                answers = f"answers from {vip_text(vip.address, vip.protocol, port)}"
                what = f"{answers} could be of port {first} or of {vip.port}"
                yield Finding(loc, what, "give the groups of the two services ports of their own")
                break
