"""The forwarding state of a P4 target, changed by P4Runtime updates one at a time. No locks, no I/O."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from dpu_app.p4rt.codec import Call, EntityError, Entries, Key, Match, decode_call, decode_key, invalid, text
from dpu_app.p4rt.meters import Rate, decode_range, decode_rate, meter_of
from dpu_app.p4rt.schema import Schema, Table
from dpu_app.p4rt.stubs import Message, code, v1

NO_ACTION = Call("NoAction")
# What only some targets have; each is refused by name.
UNSUPPORTED = (
    *("extern_entry", "action_profile_member", "action_profile_group", "packet_replication_engine_entry"),
    *("value_set_entry", "register_entry", "digest_entry"),
)


class Change(NamedTuple):
    """One value of a dictionary before it was changed; `before` None means that it was not there."""

    where: dict[Any, Any]
    what: Any
    before: Any

    def undo(self) -> None:
        """Puts back what was there."""
        if self.before is None:
            self.where.pop(self.what, None)
        else:
            self.where[self.what] = self.before


def change(where: dict[Any, Any], what: Any, after: Any) -> Change:
    """Changes one value; `after` None takes it away."""
    done = Change(where, what, where.get(what))
    if after is None:
        where.pop(what, None)
    else:
        where[what] = after
    return done


class State:
    """Tables, default entries and meters by their names. Subclasses say what their target refuses beyond the schema."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.entries: dict[str, Entries] = {table.name: {} for table in schema.tables.values()}
        self.defaults: dict[str, Call] = {}
        """Default entries that were set; the others have their action of the program."""
        self.by_match: dict[str, dict[tuple[Match, ...], list[Key]]] | None = None
        """Of a snapshot, whose entries stay: made once for all that ask for a match in any priority."""
        self.cells: dict[str, dict[int, Rate]] = {meter.name: {} for meter in schema.meters.values()}

    def snapshot(self) -> Self:
        """The same for a reader who takes long: later updates do not change it. Keys and actions are shared."""
        found = copy.copy(self)
        found.entries = {name: dict(entries) for name, entries in self.entries.items()}
        found.cells = {name: dict(cells) for name, cells in self.cells.items()}
        found.defaults = dict(self.defaults)
        found.by_match = {}
        return found

    def keys_of(self, table: str, match: tuple[Match, ...]) -> list[Key]:
        """The keys of a match in every priority."""
        if self.by_match is None:
            return [key for key in self.entries[table] if key.match == match]
        if table not in self.by_match:
            index = self.by_match[table] = {}
            for key in self.entries[table]:
                index.setdefault(key.match, []).append(key)
        return self.by_match[table].get(match, [])

    def clear(self) -> None:
        """As after the pipeline was loaded."""
        self.defaults.clear()
        for entries in self.entries.values():
            entries.clear()
        for cells in self.cells.values():
            cells.clear()

    # --- what targets say of themselves ------------------------------------------------------------

    def room(self, table: Table) -> int:
        """Regular entries that a table holds."""
        return table.size

    def check_entry(self, key: Key, call: Call) -> None:
        """Raises EntityError for an entry that this target cannot have."""

    def check_default(self, key: Key, call: Call | None) -> None:
        """Raises EntityError for a default entry that this target cannot have; None is the program's own."""

    def check_cells(self, meter: str, cells: range, rate: Rate | None) -> range:
        """The cells that get the rate. Raises EntityError for a configuration that this target cannot have."""
        return cells

    def default(self, table: Table) -> Call | None:
        """A table's default entry where it was never set."""
        actions = {self.schema.actions[number].name for number in table.default_actions}
        return NO_ACTION if NO_ACTION.action in actions else None

    # --- one update --------------------------------------------------------------------------------

    def apply(self, update: Message) -> list[Change]:
        """Does what one update of a Write says, and tells what it changed. Raises EntityError; then nothing changed."""
        if update.type not in (v1.Update.INSERT, v1.Update.MODIFY, v1.Update.DELETE):
            raise invalid("an update is INSERT, MODIFY or DELETE")
        kind = update.entity.WhichOneof("entity")
        if kind == "table_entry":
            return [self.apply_entry(update.type, update.entity.table_entry)]
        if kind == "meter_entry":
            return self.apply_meter(update.type, update.entity.meter_entry)
        raise refusal(kind)

    def apply_entry(self, type_: int, entry: Message) -> Change:
        """One table entry."""
        key = decode_key(self.schema, entry)
        plain(key, entry)
        if entry.is_default_action:
            return self.apply_default(type_, key, entry)
        store = self.entries[key.table]
        if type_ == v1.Update.INSERT and key in store:
            raise EntityError(code.ALREADY_EXISTS, f"{text(key, self.schema)} is there already; MODIFY it")
        if type_ != v1.Update.INSERT and key not in store:
            raise EntityError(code.NOT_FOUND, f"{text(key, self.schema)} is not there")
        if type_ == v1.Update.DELETE:
            return change(store, key, None)
        call = decode_call(self.schema, entry)
        if call is None and type_ == v1.Update.MODIFY:
            # A MODIFY changes what it names, and there is nothing beside the action.
            return change(store, key, store[key])
        if call is None:
            raise invalid(f"{text(key, self.schema)} has no action")
        self.check_entry(key, call)
        room = self.room(self.schema.table(key.table))
        if key not in store and len(store) >= room:
            raise EntityError(code.RESOURCE_EXHAUSTED, f"{key.table} is full: it holds {room} entries")
        return change(store, key, call)

    def apply_default(self, type_: int, key: Key, entry: Message) -> Change:
        """The default entry of a table."""
        if type_ != v1.Update.MODIFY:
            raise invalid(f"{key.table}: the default entry is always there; MODIFY it")
        call = decode_call(self.schema, entry, default=True)
        self.check_default(key, call)
        return change(self.defaults, key.table, call)

    def apply_meter(self, type_: int, entry: Message) -> list[Change]:
        """The cells of one MeterEntry."""
        meter = meter_of(self.schema, entry.meter_id)
        if type_ != v1.Update.MODIFY:
            raise invalid(f"{meter.name}: cells are always there; MODIFY them")
        if entry.HasField("counter_data"):
            raise EntityError(code.UNIMPLEMENTED, f"{meter.name} has no counters")
        cells, rate = decode_range(meter, entry), decode_rate(meter, entry)
        return [change(self.cells[meter.name], cell, rate) for cell in self.check_cells(meter.name, cells, rate)]

    def all_entries(self, tables: Iterable[str]) -> Entries:
        """The regular entries of several tables."""
        return {key: call for table in tables for key, call in self.entries[table].items()}


def plain(key: Key, entry: Message) -> None:
    """Raises EntityError where an entry carries what our tables do not have."""
    if entry.is_const:
        raise invalid(f"{key.table}: a controller cannot make an entry const")
    if entry.idle_timeout_ns:
        raise invalid(f"{key.table} has no idle timeout: see the P4Info")
    if any(entry.HasField(name) for name in ("meter_config", "counter_data", "meter_counter_data")):
        raise invalid(f"{key.table} has no direct meter or counter: see the P4Info")
    if entry.metadata or entry.controller_metadata:
        raise EntityError(code.UNIMPLEMENTED, f"{key.table}: metadata of entries is not kept; leave it out")


def refusal(kind: str | None) -> EntityError:
    """Why an update or a read of another kind of entity is refused."""
    if kind is None:
        return invalid("the entity is empty")
    if kind in UNSUPPORTED:
        return EntityError(code.UNIMPLEMENTED, f"{kind} is not supported: the P4Info has none")
    return EntityError(code.INVALID_ARGUMENT, f"{kind} cannot be used here: the P4Info has none, or it is only read")
