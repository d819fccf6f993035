"""Answers to P4Runtime reads, out of a target's state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dpu_app.p4rt.codec import Call, EntityError, Key, decode_key, encode, invalid
from dpu_app.p4rt.meters import decode_range, encode_cell, meter_of
from dpu_app.p4rt.schema import Array, Table
from dpu_app.p4rt.state import State, refusal
from dpu_app.p4rt.stubs import Message, code, v1

ENTITIES_PER_RESPONSE = 500
"""Some tens of kilobytes, far below every limit of a message."""

Counters = Mapping[int, tuple[int, int]]
"""Index of `reasons` -> packets and bytes."""


def read(state: State, counters: Counters, entity: Message) -> Iterator[Message]:
    """The entities that one entity of a ReadRequest selects. Raises EntityError."""
    kind = entity.WhichOneof("entity")
    if kind == "table_entry":
        yield from (v1.Entity(table_entry=entry) for entry in read_entries(state, entity.table_entry))
    elif kind == "meter_entry":
        yield from (v1.Entity(meter_entry=entry) for entry in read_cells(state, entity.meter_entry))
    elif kind == "counter_entry":
        yield from (v1.Entity(counter_entry=entry) for entry in read_counters(state, counters, entity.counter_entry))
    else:
        raise refusal(kind)


def read_entries(state: State, wanted: Message) -> Iterator[Message]:
    """Regular entries, or default entries where these are asked for; fields that are left out select all."""
    plain(wanted)
    if not wanted.table_id:
        for table in state.schema.tables.values():
            yield from read_table(state, table, wanted)
        return
    if wanted.table_id not in state.schema.tables:
        raise invalid(f"no table has the id {wanted.table_id:#010x}: see the P4Info")
    yield from read_table(state, state.schema.tables[wanted.table_id], wanted)


def plain(wanted: Message) -> None:
    """Raises EntityError for filters that select by what our tables do not have."""
    if not wanted.table_id and (wanted.match or wanted.priority):
        raise invalid("without a table id nothing else selects")
    if any(wanted.HasField(name) for name in ("meter_config", "counter_data", "meter_counter_data")):
        raise invalid("no table has a direct meter or counter: see the P4Info")


def read_table(state: State, table: Table, wanted: Message) -> Iterator[Message]:
    """The selected entries of one table."""
    if wanted.is_default_action:
        call = state.defaults.get(table.name) or state.default(table)
        found: dict[Key, Call] = {Key(table.name): call} if call else {}
    elif wanted.match:
        found = matching(state, wanted, table)
    else:
        found = dict(state.entries[table.name])
    action_id = wanted.action.action.action_id
    for key, call in found.items():
        entry = encode(state.schema, key, call)
        if (not action_id or entry.action.action.action_id == action_id) and wanted.priority in (0, entry.priority):
            yield entry


def matching(state: State, wanted: Message, table: Table) -> dict[Key, Call]:
    """The entry of a match; those of every priority where a ternary table is asked without. Raises EntityError."""
    entries = state.entries[table.name]
    if table.has_priority and not wanted.priority:
        any_of = v1.TableEntry(table_id=wanted.table_id, match=wanted.match, priority=1)
        match = decode_key(state.schema, any_of).match
        return {key: entries[key] for key in state.keys_of(table.name, match)}
    key = decode_key(state.schema, wanted)
    return {key: entries[key]} if key in entries else {}


def read_cells(state: State, wanted: Message) -> Iterator[Message]:
    """Meter cells: the one that is named, or all of a meter or of all meters, configured or not."""
    meters: list[Array] = (
        [meter_of(state.schema, wanted.meter_id)] if wanted.meter_id else list(state.schema.meters.values())
    )
    if wanted.HasField("counter_data"):
        raise EntityError(code.UNIMPLEMENTED, "meters have no counters")
    for meter in meters:
        rates = state.cells[meter.name]
        for cell in decode_range(meter, wanted):
            yield encode_cell(meter, cell, rates.get(cell))


def read_counters(state: State, counters: Counters, wanted: Message) -> Iterator[Message]:
    """Cells of `reasons`."""
    if wanted.counter_id and wanted.counter_id not in state.schema.counters:
        raise invalid(f"no counter has the id {wanted.counter_id:#010x}: see the P4Info")
    for array in state.schema.counters.values():
        if wanted.counter_id in (0, array.id):
            for index in decode_range(array, wanted):
                packets, octets = counters.get(index, (0, 0))
                entry = v1.CounterEntry(counter_id=array.id)
                entry.index.index = index
                entry.data.packet_count, entry.data.byte_count = packets, octets
                yield entry
