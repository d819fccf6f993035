"""The hash table of VIPs that the XDP program looks into, laid out with a seed that gives every entry a place."""

from __future__ import annotations

import struct

from dpu_app.model.plan_packet import PlanTables
from dpu_app.targets.packet.acl import AclTables
from dpu_app.targets.packet.keys import packed, port_bytes

WAYS = 4
ENTRY = struct.Struct("=16s2sBB4xHHBB2x")
BUCKET_BYTES = WAYS * ENTRY.size
HASH_1 = 0x9E37_79B9_7F4A_7C15
HASH_2 = 0xC2B2_AE3D_27D4_EB4F
WORD = (1 << 64) - 1
SEEDS = 4_096
Key = tuple[bytes, int, int]
"""Address in 16 bytes, protocol, port; (address, 0, 0) marks an address that has a VIP."""


def buckets_for(tables: PlanTables) -> int:
    """How many buckets the VIPs want: twice as many as entries, so that one of the first seeds does."""
    return max(2 * (len(tables.vips) + len({vip.address for vip in tables.vips})), 16)


def entries(tables: PlanTables, acl: AclTables) -> dict[Key, bytes]:
    """VIPs, and for each of their addresses the entry that marks it."""
    metered = {item.service for item in tables.meters}
    steered = {item.service for item in tables.steer}
    found: dict[Key, bytes] = {}
    for vip in tables.vips:
        address, port = packed(vip.address), port_bytes(vip.port)
        flags = (vip.service in metered, vip.service in steered)
        number = acl.classes.get((vip.service, vip.port), 0)
        value = ENTRY.pack(address, port, vip.protocol, 1, vip.service, number, *flags)
        found[address, vip.protocol, vip.port] = value
        found[address, 0, 0] = ENTRY.pack(address, bytes(2), 0, 1, 0, 0, 0, 0)
    return found


def laid_out(found: dict[Key, bytes], buckets: int) -> tuple[bytes, int]:
    """The table and its seed. Raises ValueError where no seed will do: the table is too small."""
    for seed in range(SEEDS):
        table = try_seed(found, buckets, seed)
        if table is not None:
            return table, seed
    raise ValueError(f"{len(found)} VIPs do not fit into {buckets} buckets")


def grown(table: bytes, buckets: int, seed: int) -> bytes:
    """The same entries in a table of more buckets. The seed still does: each bucket is split, none is joined."""
    found: dict[Key, bytes] = {}
    for start in range(0, len(table), ENTRY.size):
        entry = table[start : start + ENTRY.size]
        address, port, protocol, used, *_ = ENTRY.unpack(entry)
        if used:
            found[address, protocol, int.from_bytes(port, "big")] = entry
    fitted = try_seed(found, buckets, seed)
    if fitted is None:
        raise ValueError(f"{len(found)} VIPs do not fit into {buckets} buckets with seed {seed}")
    return fitted


def try_seed(found: dict[Key, bytes], buckets: int, seed: int) -> bytes | None:
    """The table, None where a bucket would hold more than WAYS."""
    table: list[list[bytes]] = [[] for _ in range(buckets)]
    for key in sorted(found):
        bucket = table[vip_hash(key, seed) % buckets]
        if len(bucket) == WAYS:
            return None
        bucket.append(found[key])
    return b"".join(b"".join(bucket).ljust(BUCKET_BYTES, b"\0") for bucket in table)


def vip_hash(key: Key, seed: int) -> int:
    """`vip_hash` of `bpf/lib/vip.h`: words as a little-endian machine loads them."""
    address, protocol, port = key
    first, second = int.from_bytes(address[:8], "little"), int.from_bytes(address[8:], "little")
    swapped = int.from_bytes(port_bytes(port), "little")
    value = (((first * HASH_1 & WORD) ^ second) + (swapped << 8 | protocol) + seed) & WORD
    value = value * HASH_2 & WORD
    value ^= value >> 29
    return (value * HASH_1 & WORD) >> 40
