"""Which maps there are, how large a plan wants them, and what that costs in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from abi.gen.packet import REASONS_MAX, SERVICES_MAX, FlowKey, FlowValue, ReplayIo
from dpu_app.model.plan_packet import PlanPacket, reverse
from dpu_app.targets.packet.acl import AclTables
from dpu_app.targets.packet.vips import BUCKET_BYTES, buckets_for

BANKS = 2
EVENTS_MAX = 8
ACL_ROOT_BLOCKS = 256
"""Blocks of 256 cells that a class begins with."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Entries of maps whose size follows from the desired state; powers of two. The names are macros of `bpf/`."""

    max_vip_buckets: int = 16
    max_acl_blocks: int = 256
    max_acl6: int = 64
    max_meter_cells: int = 16
    max_flows: int = 1_024
    max_pending: int = 1_024
    max_reverse: int = 64
    records_bytes: int = 4_096

    def at_least(self, other: Sizes) -> Sizes:
        """Large enough for both: a map that shrinks would be a new generation for nothing."""
        return Sizes(**{item.name: max(getattr(self, item.name), getattr(other, item.name)) for item in fields(self)})


def power_of_two(count: int) -> int:
    """The smallest power of two that is not below `count`."""
    return 1 << max(count - 1, 0).bit_length()


def sizes_of(packet: PlanPacket, acl: AclTables) -> Sizes:
    """What a plan needs. Hash maps have room for both banks and for half as much again."""
    tables = packet.tables
    defaults = Sizes()
    # With a controller elsewhere the tables come later: room for what it may bring.
    room = 1_024 if packet.programmed_by == "p4runtime" else 0
    wanted = Sizes(
        max_vip_buckets=power_of_two(buckets_for(tables) + 4 * room),
        max_acl_blocks=power_of_two(len(acl.blocks) + 4 * room),
        max_acl6=power_of_two(3 * len(acl.ipv6) + room),
        max_meter_cells=power_of_two(max((m.cell_base + m.cells for m in tables.meters), default=16 * room or 16)),
        max_flows=packet.flows.entries_max,
        max_pending=min(max(packet.flows.entries_max // 8, 1_024), 65_536),
        max_reverse=power_of_two(3 * (len(reverse(tables)) + len(tables.vips)) + room),
        records_bytes=packet.flows.records_bytes_max,
    )
    return wanted.at_least(defaults)


@dataclass(frozen=True)
class MapSpec:
    """One map of `bpf/maps`: how many entries it has and about how many bytes each takes in the kernel."""

    name: str
    entries: Callable[[Sizes], int]
    bytes_each: int
    is_pinned: bool = True


HASH_OVERHEAD_BYTES = 48  # struct htab_elem and its bucket
LPM_OVERHEAD_BYTES = 64
MAPS = (
    MapSpec("epoch", lambda _: 1, 8),
    MapSpec("vip", lambda s: BANKS * s.max_vip_buckets, BUCKET_BYTES),
    MapSpec("bank", lambda _: BANKS, 8),
    MapSpec("acl4", lambda s: BANKS * s.max_acl_blocks, 1_024),
    MapSpec("acl6", lambda s: s.max_acl6, 28 + LPM_OVERHEAD_BYTES),
    MapSpec("meter_source", lambda _: BANKS * SERVICES_MAX, 176),
    MapSpec("steer", lambda _: BANKS * SERVICES_MAX, 4_096),
    MapSpec("reverse", lambda s: s.max_reverse, 24 + HASH_OVERHEAD_BYTES),
    MapSpec("programmed", lambda _: 1, 80),
    MapSpec("crc", lambda _: 1, 4_096),
    MapSpec("reasons", lambda _: REASONS_MAX, 16),
    MapSpec("events", lambda _: EVENTS_MAX, 8),
    MapSpec("source_cells", lambda s: s.max_meter_cells, 64),
    MapSpec("service_cells", lambda _: SERVICES_MAX, 64),
    MapSpec("flow", lambda s: s.max_flows, FlowKey.SIZE + FlowValue.SIZE + HASH_OVERHEAD_BYTES),
    MapSpec("flow_pending", lambda s: s.max_pending, FlowKey.SIZE + 4 + HASH_OVERHEAD_BYTES + 16),
    MapSpec("records", lambda s: s.records_bytes, 1),
    MapSpec("replay_io", lambda _: 1, ReplayIo.SIZE, is_pinned=False),
)


def memory_bytes(sizes: Sizes, cpus: int) -> dict[str, int]:
    """About what each map takes. The kernel reserves it when the map is made, but for `acl6`, which grows."""
    per_cpu = {"reasons", "events"}
    return {
        item.name: item.entries(sizes) * item.bytes_each * (cpus if item.name in per_cpu else 1)
        for item in MAPS
        if item.is_pinned
    }
