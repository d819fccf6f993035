"""The packet stage in plain Python: docs/stages/packet.md as a program. XDP and P4 are compared with it."""

from __future__ import annotations

import ipaddress
import zlib
from dataclasses import dataclass

from abi.gen.packet import STEER_BUCKETS
from abi.gen.reasons import Reason
from dpu_app.model.plan_packet import NO_GROUP, PlanMeter, PlanPacket, PlanSteer
from dpu_app.replay.acl import Acl
from dpu_app.replay.answer import Answer, answer
from dpu_app.replay.flow import Flows, Way
from dpu_app.replay.meter import Meters
from dpu_app.replay.parse import IfOurs, Segment, parse
from dpu_app.replay.rewrite import rewrite
from dpu_app.replay.sanity import insane


@dataclass(frozen=True)
class Tables:
    """A plan's tables as they are looked up. Addresses have 4 or 16 bytes."""

    vips: dict[tuple[bytes, int, int], int]
    """(address, protocol, port) -> service"""
    vip_addresses: frozenset[bytes]
    acl: Acl
    meters: dict[int, PlanMeter]
    steer: dict[int, PlanSteer]

    @classmethod
    def of(cls, packet: PlanPacket) -> Tables:
        """The tables of a plan."""
        tables = packet.tables
        vips = {(ipaddress.ip_address(v.address).packed, v.protocol, v.port): v.service for v in tables.vips}
        return cls(
            vips=vips,
            vip_addresses=frozenset(address for address, _, _ in vips),
            acl=Acl(tables.acl),
            meters={meter.service: meter for meter in tables.meters},
            steer={steer.service: steer for steer in tables.steer},
        )


class Oracle:
    """One interface's packet stage. Meters and flows outlive the plan; `flow_table` False is how P4 does it."""

    def __init__(self, packet: PlanPacket, epoch: int = 1, flow_table: bool = True) -> None:
        self.meters = Meters()
        self.flows = Flows(packet.flows.entries_max) if flow_table else None
        self.program(packet, epoch)

    def program(self, packet: PlanPacket, epoch: int) -> None:
        """From the next frame on, this plan. Flows keep their group; those of services that are gone are removed."""
        self.packet = packet
        self.epoch = epoch
        self.tables = Tables.of(packet)
        if self.flows:
            self.flows.entries_max = packet.flows.entries_max
            self.flows.forget_service({service.id for service in packet.services})

    def judge(self, frame: bytes, clock_ns: int) -> Answer:
        """What happens to a frame from the wire at `clock_ns`. Any bytes are a frame."""
        parsed = parse(frame)
        if isinstance(parsed, Reason):
            return answer(parsed, frame)
        if isinstance(parsed, IfOurs):
            ours = parsed.destination in self.tables.vip_addresses
            return answer(parsed.reason if ours else Reason.PACKET_NOT_VIP, frame)
        service = self.tables.vips.get((parsed.destination, parsed.protocol, parsed.destination_port))
        if service is None:
            return answer(Reason.PACKET_NOT_VIP, frame)
        refused = self.refused(parsed, service, clock_ns)
        if refused:
            return answer(refused, frame, service)
        return self.steered(parsed, service, clock_ns)

    def refused(self, segment: Segment, service: int, clock_ns: int) -> int | None:
        """Why a segment of ours is dropped, if it is."""
        reason = insane(segment)
        if reason:
            return reason
        entry = self.tables.acl.entry(service, segment.source, segment.destination_port)
        if entry and entry.deny:
            return entry.deny
        meter = self.tables.meters.get(service)
        return self.meters.refuse(meter, segment, clock_ns) if meter else None

    def steered(self, segment: Segment, service: int, clock_ns: int) -> Answer:
        """The way of the flow, or of the bucket, with the port rewritten."""
        way, reason = bucket_way(self.tables.steer.get(service), segment), Reason.NONE
        if self.flows:
            way, reason = self.flows.pin(segment, service, self.epoch, way, clock_ns)
        frame = rewrite(segment, way.port) if way.port else segment.frame
        return answer(reason, frame, service, way.group, way.port)

    def age(self, clock_ns: int) -> int:
        """Removes the flows that the agent would remove now; how many."""
        return self.flows.age(self.packet.flows, clock_ns) if self.flows else 0


def bucket_way(steer: PlanSteer | None, segment: Segment) -> Way:
    """What `steer` says about the bucket of a segment."""
    index = steer.buckets[hash_bucket(segment)] if steer else NO_GROUP
    if steer is None or index == NO_GROUP:
        return Way()
    return Way(steer.groups[index].id, steer.groups[index].port)


def hash_bucket(segment: Segment) -> int:
    """CRC-32 over source, destination and both ports as they stand in the packet."""
    ports = segment.frame[segment.start : segment.start + 4]
    return zlib.crc32(segment.source + segment.destination + ports) % STEER_BUCKETS
