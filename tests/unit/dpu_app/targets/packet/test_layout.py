"""Sizes, pins, text of the programs, CRC tables, and records of the ring: what needs no kernel."""

from __future__ import annotations

import mmap
import re
import zlib
from dataclasses import fields, replace

import pytest

from abi.gen.packet import FlowKey, FlowRecord, FlowValue
from dpu_app.model.plan_packet import PlanBucket, PlanTables
from dpu_app.targets.packet import records
from dpu_app.targets.packet.acl import acl_tables
from dpu_app.targets.packet.crc import crc_tables
from dpu_app.targets.packet.generation import folder_of, sizes_from, sizes_text
from dpu_app.targets.packet.layout import MAPS, Sizes, memory_bytes, power_of_two, sizes_of
from dpu_app.targets.packet.render import NEVER_NS, bucket_bytes, contents
from dpu_app.targets.packet.source import Options, body, pin_names, program_pin, text
from tests.unit.dpu_app.p4rt.packet_samples import TABLES, packet


@pytest.mark.parametrize(("count", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (1024, 1024), (1025, 2048)])
def test_power_of_two_is_the_next_one(count: int, power: int) -> None:
    assert power_of_two(count) == power


def test_sizes_are_powers_of_two_and_survive_their_name() -> None:
    sizes = sizes_of(packet(), acl_tables(TABLES))
    assert all(value & (value - 1) == 0 for value in vars(sizes).values())
    assert sizes_from(sizes_text(sizes)) == sizes


@pytest.mark.parametrize("name", ["", "1-2", "a-b-c-d-e-f-g-h", "1-2-3-4-5-6-7-99"])
def test_name_that_is_none_gives_no_sizes(name: str) -> None:
    assert sizes_from(name) is None


def test_map_of_another_size_has_another_pin_and_the_others_keep_theirs() -> None:
    small, large = pin_names(Sizes()), pin_names(Sizes(max_flows=2_048))
    assert [name for name in small if small[name] != large[name]] == ["flow"]
    assert program_pin("ingress", Sizes()) != program_pin("ingress", Sizes(max_flows=2_048))


def test_pins_have_no_dots_and_no_colons() -> None:
    assert re.fullmatch(r"[\w%-]+", folder_of("eth0.100:1").name)
    assert folder_of("a.b") != folder_of("a%2Eb")


def test_every_declared_map_is_known() -> None:
    declared = set(re.findall(r"^DPU_MAP\([^,]+,[^,]+,[^,]+, (\w+),", body(), flags=re.MULTILINE)) | {"records"}
    assert declared == {item.name for item in MAPS}


def test_text_defines_every_size_and_every_pin() -> None:
    found = text(Sizes(), Options(replay=True), {"flow": "/sys/fs/bpf/dpu/x/flow-1"})
    for field in fields(Sizes):
        assert f"#define {field.name.upper()} " in found
    assert '#define PIN_flow ":/sys/fs/bpf/dpu/x/flow-1"' in found
    assert '#define PIN_vip ""' in found
    assert '#include "' not in found
    assert "#define DPU_REPLAY\n" in found


def test_memory_grows_with_the_flow_table() -> None:
    less, more = memory_bytes(Sizes(), 2), memory_bytes(Sizes(max_flows=2_048), 2)
    assert {name: more[name] - less[name] for name in less if more[name] != less[name]} == {
        "flow": 1_024 * (40 + 104 + 48)
    }


def crc_by_words(data: bytes) -> int:
    """What `bpf/lib/crc32.h` does."""
    tables = memoryview(crc_tables()).cast("I")
    state = 0xFFFFFFFF
    for at in range(0, len(data) & ~3, 4):
        state ^= int.from_bytes(data[at : at + 4], "little")
        state = (
            tables[768 + (state & 0xFF)]
            ^ tables[512 + (state >> 8 & 0xFF)]
            ^ tables[256 + (state >> 16 & 0xFF)]
            ^ tables[state >> 24]
        )
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize("data", [b"", b"1234", b"12345678", bytes(range(36))])
def test_crc_tables_give_the_crc_of_zlib(data: bytes) -> None:
    assert crc_by_words(data) == zlib.crc32(data)


@pytest.mark.parametrize(
    ("per_s", "burst", "full_after_ns"),
    [(0, 5, NEVER_NS), (1, 1, 10**9), (3, 10, 3_333_333_334), (10**11, 10**10, 10**8)],
)
def test_idle_time_after_which_a_bucket_is_full_overflows_nothing(per_s: int, burst: int, full_after_ns: int) -> None:
    data = bucket_bytes(PlanBucket(per_s, burst))
    assert int.from_bytes(data[16:24], "little") == full_after_ns
    assert per_s * (full_after_ns - 1) < 1 << 64 or per_s == 0


def test_contents_tell_tables_apart() -> None:
    def digest(tables: PlanTables) -> bytes:
        return contents(tables, acl_tables(tables), 0, 64).digest()

    others = [
        replace(TABLES, acl=TABLES.acl[1:]),
        replace(TABLES, acl=TABLES.acl[:2]),
        replace(TABLES, vips=TABLES.vips[:2]),
        replace(TABLES, meters=()),
        replace(TABLES, steer=()),
    ]
    assert len({digest(TABLES), *map(digest, others)}) == 6
    assert digest(TABLES) == digest(replace(TABLES))


KEY = FlowKey(bytes(16), bytes(16), 1, 2, 6)
VALUE = FlowValue(*range(1, 15))


def ring(entries: list[tuple[int, bytes]], size: int = 4_096) -> records.RecordReader:
    """A reader over memory as the kernel lays it out: (header flags, body) one after the other."""
    reader = records.RecordReader.__new__(records.RecordReader)
    reader.size = size
    reader.consumer = mmap.mmap(-1, records.PAGE)
    reader.producer = mmap.mmap(-1, records.PAGE + 2 * size)
    at = 0
    for flags, data in entries:
        start = records.PAGE + at
        reader.producer[start : start + 8] = records.HEADER.pack(len(data) | flags, 0)
        reader.producer[start + 8 : start + 8 + len(data)] = data
        at += (len(data) + 8 + 7) // 8 * 8
    reader.producer[:8] = records.POSITION.pack(at)
    return reader


def test_records_are_read_once_and_discarded_ones_passed_over() -> None:
    one = FlowRecord(KEY, VALUE, 1)
    reader = ring([(0, one.pack()), (records.DISCARDED, one.pack()), (0, one.pack()), (0, b"of another version")])
    assert reader.read() == [one, one]
    assert reader.read() == []


def test_reading_stops_at_a_record_that_is_being_written() -> None:
    one = FlowRecord(KEY, VALUE, 2)
    reader = ring([(0, one.pack()), (records.BUSY, one.pack()), (0, one.pack())])
    assert reader.read() == [one]
    assert reader.read() == []
