"""Token buckets, counted exactly: in 10^-9 tokens and nanoseconds, as XDP counts them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from abi.gen.packet import TCP_ACK, TCP_SYN
from abi.gen.reasons import Reason
from dpu_app.model.plan_packet import PlanBucket, PlanMeter
from dpu_app.replay.parse import Segment

TOKEN = 1_000_000_000
KINDS = ("packets", "bytes", "connections")


@dataclass(slots=True)
class Cell:
    """The three buckets of one source cell, or of one service. What lacks is what was taken and not yet refilled."""

    last_ns: int = 0
    lacks: list[int] = field(default_factory=lambda: [0, 0, 0])

    def refill(self, buckets: list[PlanBucket | None], clock_ns: int) -> None:
        """To `clock_ns`. A clock that runs backwards refills nothing, and does not move the cell's."""
        elapsed_ns = max(0, clock_ns - self.last_ns)
        self.last_ns += elapsed_ns
        for index, bucket in enumerate(buckets):
            if bucket:
                self.lacks[index] = max(0, self.lacks[index] - bucket.per_s * elapsed_ns)

    def take(self, index: int, bucket: PlanBucket, cost: int) -> bool:
        """All of `cost`, or nothing. A cost of 0 is always there."""
        lacks = self.lacks[index] + cost * TOKEN
        if cost and lacks > bucket.burst * TOKEN:
            return False
        self.lacks[index] = lacks
        return True


class Meters:
    """The meters' state. It outlives plans, as cells do on the targets."""

    def __init__(self) -> None:
        self.sources: dict[int, Cell] = {}
        self.services: dict[int, Cell] = {}

    def refuse(self, meter: PlanMeter, segment: Segment, clock_ns: int) -> Reason | None:
        """Takes what the frame costs; the reason of the first bucket that has too little. What was taken stays so."""
        opens = segment.tcp_flags & (TCP_SYN | TCP_ACK) == TCP_SYN
        costs = (1, len(segment.frame), int(opens))
        source = self.sources.setdefault(source_cell(meter, segment.source), Cell())
        refused = ask(source, "source", meter, costs, clock_ns)
        if refused:
            return refused
        return ask(self.services.setdefault(meter.service, Cell()), "service", meter, costs, clock_ns)


def ask(cell: Cell, side: str, meter: PlanMeter, costs: tuple[int, ...], clock_ns: int) -> Reason | None:
    """The three buckets of `side`, one after the other."""
    buckets: list[PlanBucket | None] = [getattr(meter, f"{side}_{kind}") for kind in KINDS]
    cell.refill(buckets, clock_ns)
    for index, (kind, bucket, cost) in enumerate(zip(KINDS, buckets, costs, strict=True)):
        if bucket and not cell.take(index, bucket, cost):
            return Reason[f"METER_{side}_{kind}".upper()]
    return None


def source_cell(meter: PlanMeter, source: bytes) -> int:
    """The cell of a source address in 4 or 16 bytes; prefixes share cells by hash."""
    bits = len(source) * 8
    length = meter.ipv4_prefix_length if len(source) == 4 else meter.ipv6_prefix_length
    masked = int.from_bytes(source, "big") >> (bits - length) << (bits - length)
    key = meter.service.to_bytes(2, "big") + masked.to_bytes(len(source), "big")
    return meter.cell_base + zlib.crc32(key) % meter.cells
