"""What XDP's maps cannot say is refused with its code; what they can goes to the back end in one write a bank."""

from __future__ import annotations

from typing import Any

import pytest

from abi.gen.packet import METER_CELLS_MAX
from dpu_app.model.packet import BURST_MAX, PER_S_MAX
from dpu_app.model.plan_packet import PlanBucket, PlanMeter, PlanTables
from dpu_app.p4rt.backend import BackendFull, Words
from dpu_app.p4rt.codec import Call, Key
from dpu_app.p4rt.entities import entries
from dpu_app.p4rt.memory import MemoryBackend
from dpu_app.p4rt.meters import Rate
from dpu_app.p4rt.stubs import code, v1
from dpu_app.p4rt.xdp_state import XdpState
from tests.contract.dpl_like import small_schema
from tests.unit.dpu_app.p4rt.packet_samples import DENIED, TABLES
from tests.unit.dpu_app.p4rt.wire import DELETE, INSERT, MODIFY, SCHEMA, cell, entry

ADDRESS = 0x20010DB8 << 96
ALL = (1 << 128) - 1
MASKS = (0xFFFFFFFF, ALL ^ ((1 << 64) - 1))
SERVICE = Call("service", (1,))
GROUP = Call("listener_group", (1, 8443))
PERMIT = Call("permit")
BAD, RANGE = code.INVALID_ARGUMENT, code.OUT_OF_RANGE


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def state(backend: MemoryBackend) -> XdpState:
    return XdpState(SCHEMA, backend)


def acl(service: int, source: tuple[int, int], ports: tuple[int, int], priority: int) -> Key:
    return Key("acl", (0, service, source, ports), priority)


def block(service: int, base: int, cells: int, bank: int = 0) -> Any:
    return entry(INSERT, Key("meter_source", (bank, service)), Call("meters", (*MASKS, base, cells)))


@pytest.mark.parametrize(
    ("key", "call", "status"),
    [
        (Key("vip", (0, ADDRESS, 0, 0)), SERVICE, BAD),
        (Key("vip", (0, ADDRESS, 1, 443)), SERVICE, BAD),
        (Key("vip", (0, ADDRESS, 6, 0)), SERVICE, BAD),
        (Key("vip", (0, ADDRESS, 6, 443)), Call("service", (0,)), RANGE),
        (Key("vip", (0, ADDRESS, 6, 443)), Call("service", (64,)), RANGE),
        (acl(1, (1, 1), (0, 0), 3), PERMIT, BAD),
        (acl(1, (0, 0), (0, 0), 2), PERMIT, BAD),
        (acl(1, (0, 0), (443, 0xFFFF), 1), PERMIT, BAD),
        (acl(1, (0, 0), (256, 0xFF00), 2), PERMIT, BAD),
        (acl(1, (0, 0), (0, 0xFFFF), 2), PERMIT, BAD),
        (acl(0, (0, 0), (0, 0), 1), PERMIT, RANGE),
        (acl(1, (0, 0), (0, 0), 1), Call("deny", (1,)), BAD),
        (Key("meter_source", (0, 1)), Call("meters", (0xF0F0, MASKS[1], 0, 16)), BAD),
        (Key("meter_source", (0, 1)), Call("meters", (*MASKS, 0, 12)), BAD),
        (Key("meter_source", (0, 1)), Call("meters", (*MASKS, 0, 0)), BAD),
        (Key("meter_source", (0, 1)), Call("meters", (*MASKS, METER_CELLS_MAX, 16)), RANGE),
        (Key("steer", (0, 1, 1024)), GROUP, RANGE),
        (Key("steer", (0, 1, 0)), Call("listener_group", (0, 8443)), RANGE),
        (Key("steer", (0, 1, 0)), Call("listener_group", (1, 0)), BAD),
        (Key("reverse", (0, ADDRESS, 1, 8443)), Call("from_vip", (443,)), BAD),
        (Key("reverse", (0, ADDRESS, 6, 0)), Call("from_vip", (443,)), BAD),
        (Key("reverse", (0, ADDRESS, 6, 8443)), Call("from_vip", (0,)), BAD),
    ],
)
def test_entry_that_the_maps_cannot_hold_is_refused(state: XdpState, key: Key, call: Call, status: int) -> None:
    failed = state.batch([entry(INSERT, key, call)])
    assert {i: error.status for i, error in failed.items()} == {0: status}
    assert state.entries[key.table] == {}


@pytest.mark.parametrize(
    ("rate", "status"),
    [
        (Rate(1, 1, 2, 1), BAD),
        (Rate(1, 1, 1, 2), BAD),
        (Rate(1, 0, 1, 0), RANGE),
        (Rate(PER_S_MAX + 1, 1, PER_S_MAX + 1, 1), RANGE),
        (Rate(1, BURST_MAX + 1, 1, BURST_MAX + 1), RANGE),
        (Rate(2, 1, 1, 1), BAD),
        (Rate(-1, 1, 1, 1), BAD),
    ],
)
def test_rate_that_is_no_token_bucket_is_refused(state: XdpState, rate: Rate, status: int) -> None:
    failed = state.batch([cell("service_packets", 1, rate)])
    assert [error.status for error in failed.values()] == [status]


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("is_const", True, BAD),
        ("idle_timeout_ns", 5, BAD),
        ("metadata", b"x", code.UNIMPLEMENTED),
        ("controller_metadata", 1, code.UNIMPLEMENTED),
    ],
)
def test_field_of_an_entry_that_is_not_kept_is_refused(state: XdpState, field: str, value: Any, status: int) -> None:
    update = entry(INSERT, Key("vip", (0, ADDRESS, 6, 443)), SERVICE)
    setattr(update.entity.table_entry, field, value)
    assert [error.status for error in state.batch([update]).values()] == [status]


def test_a_whole_bank_goes_to_the_back_end_in_one_write(state: XdpState, backend: MemoryBackend) -> None:
    updates = [entry(INSERT, key, call) for key, call in entries(TABLES, 1).items()]
    assert state.batch(updates) == {}
    assert backend.writes == 1
    assert entries(backend.banks[1], 1) == entries(TABLES, 1)
    assert backend.banks[0] == PlanTables()


def test_block_has_the_rate_of_its_first_cell(state: XdpState, backend: MemoryBackend) -> None:
    rate, other = Rate(5, 9, 5, 9), Rate(6, 9, 6, 9)
    assert state.batch([block(1, 16, 16)]) == {}
    assert [error.status for error in state.batch([cell("source_packets", 17, rate)]).values()] == [BAD]
    assert state.batch([cell("source_packets", 16, rate)]) == {}
    assert state.batch([cell("source_packets", 17, rate)]) == {}
    assert [error.status for error in state.batch([cell("source_packets", 17, other)]).values()] == [BAD]
    assert backend.banks[0].meters == (PlanMeter(1, 32, 64, 16, 16, source_packets=PlanBucket(5, 9)),)
    assert state.batch([cell("source_packets", 16, None)]) == {}
    assert state.cells["source_packets"] == {}
    assert backend.banks[0].meters == (PlanMeter(1, 32, 64, 16, 16),)


def test_rate_of_a_block_that_is_in_both_banks_reaches_both(state: XdpState, backend: MemoryBackend) -> None:
    state.batch([block(1, 0, 16, bank=0), block(1, 0, 16, bank=1)])
    state.batch([cell("source_bytes", 0, Rate(1, 2, 1, 2))])
    assert [tables.meters[0].source_bytes for tables in backend.banks] == [PlanBucket(1, 2)] * 2


def test_bank_that_does_not_take_a_rate_takes_it_back_from_the_other(state: XdpState) -> None:
    class Half(MemoryBackend):
        def write(self, bank: int, tables: PlanTables) -> None:
            if bank == 1 and tables.meters and tables.meters[0].source_bytes:
                raise BackendFull("no room in bank 1")
            super().write(bank, tables)

    state.backend = half = Half()
    state.batch([block(1, 0, 16, bank=0), block(1, 0, 16, bank=1)])
    failed = state.batch([cell("source_bytes", 0, Rate(1, 2, 1, 2))])
    assert [error.status for error in failed.values()] == [code.RESOURCE_EXHAUSTED]
    assert [tables.meters[0].source_bytes for tables in half.banks] == [None, None]
    assert state.cells["source_bytes"] == {}


def test_flip_does_not_happen_where_a_bank_of_its_batch_was_not_written(state: XdpState) -> None:
    state.backend = full = MemoryBackend(acl_max=0)
    permit = entry(INSERT, acl(1, (0, ALL), (0, 0), 257), PERMIT)
    flip = entry(MODIFY, Key("set_epoch"), Call("set_epoch", (1,)))
    says = entry(MODIFY, Key("programmed"), Call("programmed", tuple(Words(7, 3, 1))))
    failed = state.batch([flip, permit, says])
    codes = [code.FAILED_PRECONDITION, code.RESOURCE_EXHAUSTED, code.FAILED_PRECONDITION]
    assert [failed[i].status for i in range(3)] == codes
    assert "send both again" in str(failed[0])
    assert (full.bank, full.said, state.defaults["set_epoch"]) == (0, Words(), Call("set_epoch", (0,)))


def test_more_groups_than_a_byte_can_name_are_refused(state: XdpState, backend: MemoryBackend) -> None:
    updates = [entry(INSERT, Key("steer", (0, 1, i)), Call("listener_group", (i + 1, 8443))) for i in range(256)]
    assert state.batch(updates[:255]) == {}
    assert [error.status for error in state.batch(updates[255:]).values()] == [code.RESOURCE_EXHAUSTED]
    assert len(backend.banks[0].steer[0].groups) == 255


def test_table_that_is_full_refuses_the_next_entry(backend: MemoryBackend) -> None:
    state = XdpState(small_schema(), backend)
    keys = [acl(1, (i << 64, ALL), (0, 0), 257) for i in range(65)]
    failed = state.batch([entry(INSERT, key, PERMIT) for key in keys])
    assert {i: error.status for i, error in failed.items()} == {64: code.RESOURCE_EXHAUSTED}
    assert len(backend.banks[0].acl) == 64


def test_flip_and_words_go_to_the_back_end_and_are_read_from_it(state: XdpState, backend: MemoryBackend) -> None:
    words = Words(7, 3, 1 << 255)
    flip = entry(MODIFY, Key("set_epoch"), Call("set_epoch", (1,)))
    assert state.batch([flip, entry(MODIFY, Key("programmed"), Call("programmed", tuple(words)))]) == {}
    assert (backend.bank, backend.said) == (1, words)
    backend.bank = 0
    state.refresh()
    assert state.defaults["set_epoch"] == Call("set_epoch", (0,))


def test_what_the_back_end_holds_wins_over_what_was_written(state: XdpState, backend: MemoryBackend) -> None:
    state.batch([entry(INSERT, key, call) for key, call in entries(TABLES, 0).items()])
    state.batch([cell("source_packets", 0, Rate(0, 5, 0, 5))])
    backend.banks[0] = PlanTables(vips=TABLES.vips)
    state.refresh()
    assert state.all_entries(["vip", "acl", "steer"]) == entries(PlanTables(vips=TABLES.vips), 0)
    assert state.cells["source_packets"] == {}


def test_restart_keeps_the_rates_of_blocks_and_forgets_those_of_loose_cells(
    state: XdpState, backend: MemoryBackend
) -> None:
    rate = Rate(5, 9, 5, 9)
    assert state.batch([block(1, 0, 16), cell("source_packets", 0, rate), cell("source_packets", 64, rate)]) == {}
    assert set(state.cells["source_packets"]) == {*range(16), 64}
    again = XdpState(SCHEMA, backend)
    again.refresh()
    assert again.cells["source_packets"] == dict.fromkeys(range(16), rate)


def test_markers_and_the_way_back_are_kept_as_they_are_written(state: XdpState) -> None:
    marker = Key("vip", (0, ADDRESS, 0, 0))
    back = Key("reverse", (0, ADDRESS, 6, 8443))
    state.batch([entry(INSERT, marker, Call("service", (0,))), entry(INSERT, back, Call("from_vip", (443,)))])
    state.refresh()
    assert marker in state.entries["vip"]
    assert back in state.entries["reverse"]
    state.batch([entry(DELETE, marker)])
    state.refresh()
    assert marker not in state.entries["vip"]


def test_update_without_type_or_entity_is_refused(state: XdpState) -> None:
    failed = state.batch([v1.Update(), v1.Update(type=INSERT), v1.Update(type=INSERT, entity={"digest_entry": {}})])
    assert [failed[i].status for i in range(3)] == [BAD, BAD, code.UNIMPLEMENTED]


def test_deny_reason_is_taken_over(state: XdpState, backend: MemoryBackend) -> None:
    assert state.batch([entry(INSERT, acl(1, (0, 0), (443, 0xFFFF), 2), Call("deny", (DENIED,)))]) == {}
    assert {(item.source, item.port, item.deny) for item in backend.banks[0].acl} == {
        ("::/0", 443, DENIED),
        ("0.0.0.0/0", 443, DENIED),
    }
