"""The tables of a plan as the bytes that lie in the maps of one bank (`bpf/maps/config.h`). Pure."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from abi.gen.packet import SERVICES_MAX, STEER_BUCKETS
from dpu_app.model.plan_packet import (
    METER_BUCKETS,
    NO_GROUP,
    PlanBucket,
    PlanMeter,
    PlanSteer,
    PlanTables,
    reverse,
)
from dpu_app.targets.packet.acl import IPV6_PREFIX_BEFORE, AclTables
from dpu_app.targets.packet.keys import packed, port_bytes
from dpu_app.targets.packet.vips import BUCKET_BYTES, entries, laid_out

SEED = struct.Struct("=Q")
ACL6_KEY = struct.Struct("=IHBx16s")
BUCKET = struct.Struct("=QQQ")
METER_HEAD = struct.Struct("=16s4sIII")
METER_BYTES = 176
STEER_VALUE = struct.Struct("=H2s")
STEER_BYTES = STEER_BUCKETS * STEER_VALUE.size
REVERSE_KEY = struct.Struct("=16s2sBx")
REVERSE_VALUE = struct.Struct("=2sH")
BLOCK_BYTES = 1_024
ARRAYS = {
    "vip": BUCKET_BYTES,
    "bank": SEED.size,
    "acl4": BLOCK_BYTES,
    "meter_source": METER_BYTES,
    "steer": STEER_BYTES,
}
"""Memory-mapped arrays of two halves, and the bytes of an element."""
NANO = 1_000_000_000
NEVER_NS = (1 << 64) - 1


@dataclass(frozen=True)
class Contents:
    """Everything of one bank. Keys of `acl6` hold the bank; arrays are the bank's half."""

    vip: bytes
    bank: bytes
    acl4: bytes
    acl6: dict[bytes, bytes]
    meter_source: bytes
    steer: bytes
    reverse: dict[bytes, bytes]

    def digest(self) -> bytes:
        """SHA-256 over all of it but `reverse`, which both banks share."""
        total = hashlib.sha256()
        for key in sorted(self.acl6):
            total.update(key + self.acl6[key])
        for data in (self.vip, self.bank, self.acl4, self.meter_source, self.steer):
            total.update(hashlib.sha256(data).digest())
        return total.digest()


def contents(tables: PlanTables, acl: AclTables, bank: int, vip_buckets: int) -> Contents:
    """What `bank` has to hold for these tables. Raises ValueError where `vip_buckets` are too few."""
    vip, seed = laid_out(entries(tables, acl), vip_buckets)
    return Contents(
        vip=vip,
        bank=SEED.pack(seed),
        acl4=b"".join(block.tobytes() for block in acl.blocks),
        acl6=acl6(acl, bank),
        meter_source=meters(tables),
        steer=steering(tables),
        reverse=ways_back(tables),
    )


def acl6(acl: AclTables, bank: int) -> dict[bytes, bytes]:
    """LPM entries; the prefix length counts what stands before the address too."""
    return {
        ACL6_KEY.pack(IPV6_PREFIX_BEFORE + length, number, bank, address): struct.pack("=I", deny)
        for (number, length, address), deny in acl.ipv6.items()
    }


def meters(tables: PlanTables) -> bytes:
    """One `struct meter_config` for each service id."""
    slots = [bytes(METER_BYTES)] * SERVICES_MAX
    for item in tables.meters:
        slots[item.service] = meter(item)
    return b"".join(slots)


def meter(item: PlanMeter) -> bytes:
    """`struct meter_config`."""
    used = [getattr(item, name) for name in METER_BUCKETS]
    mask6 = ((1 << 128) - 1) ^ ((1 << (128 - item.ipv6_prefix_length)) - 1)
    mask4 = ((1 << 32) - 1) ^ ((1 << (32 - item.ipv4_prefix_length)) - 1)
    bits = sum(1 << number for number, bucket in enumerate(used) if bucket)
    head = METER_HEAD.pack(mask6.to_bytes(16, "big"), mask4.to_bytes(4, "big"), item.cell_base, item.cells - 1, bits)
    return head + b"".join(bucket_bytes(bucket) for bucket in used)


def bucket_bytes(bucket: PlanBucket | None) -> bytes:
    """`struct meter_bucket`: after `full_after_ns` any bucket is full, so that no product overflows."""
    if bucket is None:
        return bytes(BUCKET.size)
    nano = bucket.burst * NANO
    return BUCKET.pack(bucket.per_s, nano, -(-nano // bucket.per_s) if bucket.per_s else NEVER_NS)


def steering(tables: PlanTables) -> bytes:
    """`struct steer_buckets` for each service id."""
    slots = [bytes(STEER_BYTES)] * SERVICES_MAX
    for item in tables.steer:
        slots[item.service] = buckets(item)
    return b"".join(slots)


def buckets(item: PlanSteer) -> bytes:
    """Group and port of every bucket."""
    values = {index: STEER_VALUE.pack(group.id, port_bytes(group.port)) for index, group in enumerate(item.groups)}
    values[NO_GROUP] = STEER_VALUE.pack(0, bytes(2))
    return b"".join(values[index] for index in item.buckets)


def ways_back(tables: PlanTables) -> dict[bytes, bytes]:
    """Source port of an answer -> the VIP's port; also where the two are equal, so that the flow is found."""
    groups = {(item.service, group.port): group.id for item in tables.steer for group in item.groups}
    ports = {(vip.address, vip.protocol, vip.port): vip.port for vip in tables.vips} | reverse(tables)
    services = {(vip.address, vip.protocol, vip.port): vip.service for vip in tables.vips}
    found = {}
    for (address, protocol, port), vip_port in ports.items():
        group = groups.get((services[address, protocol, vip_port], port), 0)
        key = REVERSE_KEY.pack(packed(address), port_bytes(port), protocol)
        found[key] = REVERSE_VALUE.pack(port_bytes(vip_port), group)
    return found
