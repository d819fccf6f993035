"""The packet stage's part of a plan: its tables as docs/stages/packet.md names them, without the bank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

NO_GROUP = 255
"""In `PlanSteer.buckets`: nothing is steered here."""


@dataclass(frozen=True)
class PlanVip:
    """`protocol` is the IANA number; `address` in its shortest form."""

    service: int
    address: str
    protocol: int
    port: int


@dataclass(frozen=True)
class PlanAcl:
    """`port` 0 is any; `deny` is the number of the reason, 0 permits."""

    service: int
    source: str
    port: int
    deny: int


@dataclass(frozen=True)
class PlanBucket:
    """Tokens gained a second, and tokens that it holds."""

    per_s: int
    burst: int


@dataclass(frozen=True)
class PlanMeter:
    """The cells of the service's sources are `cell_base` to `cell_base + cells - 1`."""

    service: int
    ipv4_prefix_length: int
    ipv6_prefix_length: int
    cell_base: int
    cells: int
    source_packets: PlanBucket | None = None
    source_bytes: PlanBucket | None = None
    source_connections: PlanBucket | None = None
    service_packets: PlanBucket | None = None
    service_bytes: PlanBucket | None = None
    service_connections: PlanBucket | None = None


METER_BUCKETS = (
    "source_packets",
    "source_bytes",
    "source_connections",
    "service_packets",
    "service_bytes",
    "service_connections",
)
"""The buckets of a PlanMeter, in the order in which they are asked."""


@dataclass(frozen=True)
class PlanGroup:
    """A listener group; `id` follows the names of service and group, and stays when a plan changes."""

    id: int
    name: str
    port: int


@dataclass(frozen=True)
class PlanSteer:
    """`buckets` has STEER_BUCKETS bytes, each the index of a group or NO_GROUP."""

    # Bytes as base64 where a plan is written as JSON.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    service: int
    groups: tuple[PlanGroup, ...]
    buckets: bytes


@dataclass(frozen=True)
class PlanTables:
    """What one bank holds. The entries that mark VIP addresses (protocol 0, port 0) follow from `vips`."""

    vips: tuple[PlanVip, ...] = ()
    acl: tuple[PlanAcl, ...] = ()
    meters: tuple[PlanMeter, ...] = ()
    steer: tuple[PlanSteer, ...] = ()


@dataclass(frozen=True)
class PlanService:
    """`id` follows the name, and stays when a plan changes."""

    id: int
    name: str


@dataclass(frozen=True)
class PlanFlows:
    """The flow table; none of it is zero."""

    entries_max: int
    idle_timeout_ms: int
    closing_timeout_ms: int
    unconfirmed_timeout_ms: int
    records_bytes_max: int


@dataclass(frozen=True)
class PlanPacket:
    """The packet stage of one interface. With `programmed_by` p4runtime the tables are empty and not to be touched."""

    interface: str
    mode: str
    programmed_by: str
    services: tuple[PlanService, ...]
    tables: PlanTables
    flows: PlanFlows


def reverse(tables: PlanTables) -> dict[tuple[str, int, int], int]:
    """(address, protocol, source port of an answer) -> the VIP's port, where the two differ."""
    ports = {steer.service: [group.port for group in steer.groups] for steer in tables.steer}
    return {
        (vip.address, vip.protocol, port): vip.port
        for vip in tables.vips
        for port in ports.get(vip.service, ())
        if port != vip.port
    }
