"""The flow table: a flow goes on to the group that it began with, whatever `steer` says now. XDP alone has it."""

from __future__ import annotations

from dataclasses import dataclass

from abi.gen.packet import (
    FLOW_STATE_CLIENT_CLOSING,
    FLOW_STATE_CONFIRMED,
    TCP_FIN,
    TCP_RST,
    TCP_SYN,
    FlowKey,
    FlowValue,
)
from abi.gen.reasons import Reason
from dpu_app.model.plan_packet import PlanFlows
from dpu_app.replay.parse import TCP, Segment, key_address

NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Way:
    """Where a frame goes: listener group and port, both 0 where nothing is steered."""

    group: int = 0
    port: int = 0


@dataclass(slots=True)
class Flow:
    """One entry. Nothing confirms it here: a replay sees no answers of ours."""

    way: Way
    service: int
    epoch: int
    first_ns: int
    last_ns: int = 0
    packets_in: int = 0
    bytes_in: int = 0
    flags_in: int = 0
    state: int = 0

    def count(self, segment: Segment, clock_ns: int) -> None:
        """One more frame of the client."""
        self.packets_in += 1
        self.bytes_in += len(segment.frame)
        self.last_ns = clock_ns
        self.flags_in |= segment.tcp_flags
        if segment.tcp_flags & (TCP_FIN | TCP_RST):
            self.state |= FLOW_STATE_CLIENT_CLOSING

    @property
    def closing(self) -> bool:
        """FIN or RST was seen from the client."""
        return bool(self.state & FLOW_STATE_CLIENT_CLOSING)

    def value(self) -> FlowValue:
        """As it lies in XDP's map."""
        return FlowValue(
            packets_in=self.packets_in,
            bytes_in=self.bytes_in,
            packets_out=0,
            bytes_out=0,
            first_ns=self.first_ns,
            last_ns=self.last_ns,
            epoch=self.epoch,
            service=self.service,
            group=self.way.group,
            port=self.way.port,
            reason=Reason.NONE,
            flags_in=self.flags_in,
            flags_out=0,
            state=self.state,
        )


def flow_key(segment: Segment) -> FlowKey:
    """The five-tuple as the client wrote it."""
    source, destination = key_address(segment.source), key_address(segment.destination)
    return FlowKey(source, destination, segment.source_port, segment.destination_port, segment.protocol)


class Flows:
    """The table. It outlives plans; `ended` counts entries whose tuple was used again."""

    def __init__(self, entries_max: int) -> None:
        self.entries_max = entries_max
        self.entries: dict[FlowKey, Flow] = {}
        self.ended = 0

    def pin(self, segment: Segment, service: int, epoch: int, way: Way, clock_ns: int) -> tuple[Way, Reason]:
        """Where the frame goes, `way` being that of its bucket; the reason says whether the table was full."""
        key = flow_key(segment)
        flow = self.entries.get(key)
        syn = segment.protocol == TCP and bool(segment.tcp_flags & TCP_SYN)
        if flow and syn and flow.closing:
            del self.entries[key]
            self.ended += 1
            flow = None
        if not flow:
            if syn or segment.tcp_flags & TCP_RST:
                return way, Reason.NONE
            if len(self.entries) >= self.entries_max:
                return way, Reason.PACKET_FLOW_FULL
            flow = self.entries[key] = Flow(way, service, epoch, clock_ns)
        flow.count(segment, clock_ns)
        return flow.way, Reason.NONE

    def forget_service(self, services: set[int]) -> None:
        """Entries of services that are not among `services`."""
        self.entries = {key: flow for key, flow in self.entries.items() if flow.service in services}

    def age(self, limits: PlanFlows, clock_ns: int) -> int:
        """Removes entries that had no frame for too long, as the agent does; how many."""
        before = len(self.entries)
        self.entries = {
            key: flow
            for key, flow in self.entries.items()
            if clock_ns - flow.last_ns <= timeout_ms(flow, limits) * NS_PER_MS
        }
        return before - len(self.entries)


def timeout_ms(flow: Flow, limits: PlanFlows) -> int:
    """How long the flow may be without a frame."""
    if flow.closing:
        return limits.closing_timeout_ms
    return limits.idle_timeout_ms if flow.state & FLOW_STATE_CONFIRMED else limits.unconfirmed_timeout_ms
