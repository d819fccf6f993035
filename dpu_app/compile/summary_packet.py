"""What the packet stage of a plan would program, as rows for people."""

from __future__ import annotations

from collections.abc import Iterator

from abi.gen.reasons import Reason
from dpu_app.model.plan_packet import METER_BUCKETS, PlanPacket

PROTOCOLS = {6: "tcp", 17: "udp"}
Row = tuple[str, ...]


def vip_rows(packet: PlanPacket) -> Iterator[Row]:
    """Service, address, protocol, port, listener groups."""
    names = {service.id: service.name for service in packet.services}
    groups = {steer.service: ", ".join(f"{g.name} :{g.port}" for g in steer.groups) for steer in packet.tables.steer}
    for vip in packet.tables.vips:
        steered = groups.get(vip.service, "as it comes")
        yield (names[vip.service], vip.address, PROTOCOLS[vip.protocol], str(vip.port), steered)


def acl_rows(packet: PlanPacket) -> Iterator[Row]:
    """Service, source, port, what happens; longest prefix first, as it is decided."""
    names = {service.id: service.name for service in packet.services}
    for entry in sorted(packet.tables.acl, key=lambda item: (item.service, -int(item.source.split("/")[1]))):
        what = f"deny ({Reason(entry.deny).name.lower()})" if entry.deny else "permit"
        yield (names[entry.service], entry.source, str(entry.port or "any"), what)


def meter_rows(packet: PlanPacket) -> Iterator[Row]:
    """Service, of whom, what, per second, burst."""
    names = {service.id: service.name for service in packet.services}
    for meter in packet.tables.meters:
        senders = f"each /{meter.ipv4_prefix_length}, /{meter.ipv6_prefix_length} ({meter.cells} cells)"
        for bucket in METER_BUCKETS:
            limit = getattr(meter, bucket)
            whose, what = bucket.split("_")
            if limit:
                of = senders if whose == "source" else "all together"
                yield (names[meter.service], of, what, str(limit.per_s), str(limit.burst))


def steer_rows(packet: PlanPacket) -> Iterator[Row]:
    """Service, group, id, port, buckets."""
    names = {service.id: service.name for service in packet.services}
    for steer in packet.tables.steer:
        for index, group in enumerate(steer.groups):
            yield (names[steer.service], group.name, str(group.id), str(group.port), str(steer.buckets.count(index)))
