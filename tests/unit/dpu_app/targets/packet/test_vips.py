"""The table of VIPs: every entry is found in its bucket, also after the table has grown."""

from __future__ import annotations

import pytest

from dpu_app.model.plan_packet import PlanTables, PlanVip
from dpu_app.targets.packet.acl import acl_tables
from dpu_app.targets.packet.layout import power_of_two
from dpu_app.targets.packet.vips import BUCKET_BYTES, ENTRY, Key, buckets_for, entries, grown, laid_out, vip_hash


def tables(count: int) -> PlanTables:
    return PlanTables(vips=tuple(PlanVip(1, f"10.0.{i >> 8}.{i & 255}", 6, 443 + i % 3) for i in range(1, count + 1)))


def found_in(table: bytes, key: Key, seed: int) -> bool:
    """What `bpf/lib/vip.h` does."""
    start = vip_hash(key, seed) % (len(table) // BUCKET_BYTES) * BUCKET_BYTES
    ways = [ENTRY.unpack(table[at : at + ENTRY.size]) for at in range(start, start + BUCKET_BYTES, ENTRY.size)]
    return any((a, proto, int.from_bytes(port, "big")) == key and used for a, port, proto, used, *_ in ways)


@pytest.mark.parametrize("count", [1, 50, 1_024])
def test_every_vip_and_every_mark_is_found(count: int) -> None:
    wanted = entries(tables(count), acl_tables(tables(count)))
    assert len(wanted) == 2 * count
    table, seed = laid_out(wanted, power_of_two(buckets_for(tables(count))))
    assert all(found_in(table, key, seed) for key in wanted)
    assert not found_in(table, (bytes(16), 6, 443), seed)


def test_table_that_grew_keeps_seed_and_entries() -> None:
    wanted = entries(tables(100), acl_tables(tables(100)))
    table, seed = laid_out(wanted, 512)
    larger = grown(table, 2_048, seed)
    assert len(larger) == 4 * len(table)
    assert all(found_in(larger, key, seed) for key in wanted)


def test_table_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        laid_out(entries(tables(100), acl_tables(tables(100))), 16)


def test_no_vip_is_an_empty_table() -> None:
    table, seed = laid_out({}, 16)
    assert (table, seed) == (bytes(16 * BUCKET_BYTES), 0)
