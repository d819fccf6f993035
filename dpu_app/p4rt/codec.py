"""Table entries as keys and actions of plain integers, to and from P4Runtime's messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dpu_app.p4rt.schema import Field, Schema, SchemaError, Table
from dpu_app.p4rt.stubs import Message, code, v1

Match = int | tuple[int, int]
"""The value of an exact field; value and mask of a ternary one, where mask 0 is "don't care"."""


class Key(NamedTuple):
    """What tells an entry from all others; `match` has a value for each field in the order of the P4Info.

    The default entry of a table has no match and priority 0, as the regular entry of no table of ours.
    """

    table: str
    match: tuple[Match, ...] = ()
    priority: int = 0


class Call(NamedTuple):
    """An action with its parameters in the order of the P4Info."""

    action: str
    params: tuple[int, ...] = ()


Entries = dict[Key, Call]


class EntityError(Exception):
    """Something about an entity that is not as the specification says; `status` is a canonical code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def invalid(message: str) -> EntityError:
    """INVALID_ARGUMENT with what to change."""
    return EntityError(code.INVALID_ARGUMENT, message)


def to_bytes(value: int) -> bytes:
    """The canonical form of an unsigned value: the shortest, and one byte for 0 (specification, 8.4)."""
    return value.to_bytes(max((value.bit_length() + 7) // 8, 1), "big")


def from_bytes(data: bytes, field: Field, where: str) -> int:
    """The value of a bytestring. Leading zeros are allowed, as in 8.4. Raises EntityError with OUT_OF_RANGE."""
    if not data:
        raise EntityError(code.OUT_OF_RANGE, f"{where}: '{field.name}' is an empty bytestring; 0 is one zero byte")
    value = int.from_bytes(data, "big")
    if value.bit_length() > field.bits:
        raise EntityError(code.OUT_OF_RANGE, f"{where}: '{field.name}' is wider than its {field.bits} bits")
    return value


def encode(schema: Schema, key: Key, call: Call | None = None) -> Message:
    """The TableEntry of a key, with its action if there is one. Raises SchemaError for names that are not there."""
    table = schema.table(key.table)
    entry = v1.TableEntry(table_id=table.id, priority=key.priority, is_default_action=not key.match)
    for field, value in zip(table.fields, key.match, strict=bool(key.match)):
        encode_match(entry, field, value)
    if call is not None:
        action = schema.action(call.action)
        entry.action.action.action_id = action.id
        for param, number in zip(action.params, call.params, strict=True):
            entry.action.action.params.add(param_id=param.id, value=to_bytes(number))
    return entry


def encode_match(entry: Message, field: Field, value: Match) -> None:
    """Adds one field; "don't care" is left out."""
    if isinstance(value, int):
        entry.match.add(field_id=field.id).exact.value = to_bytes(value)
    elif value[1]:
        ternary = entry.match.add(field_id=field.id).ternary
        ternary.value, ternary.mask = to_bytes(value[0]), to_bytes(value[1])


def table_of(schema: Schema, table_id: int) -> Table:
    """The table of an id. Raises EntityError."""
    found = schema.tables.get(table_id)
    if found is None:
        raise invalid(f"no table has the id {table_id:#010x}: see the P4Info")
    return found


def decode_key(schema: Schema, entry: Message) -> Key:
    """The key of a TableEntry. Raises EntityError."""
    table = table_of(schema, entry.table_id)
    if entry.is_default_action:
        if entry.match or entry.priority:
            raise invalid(f"{table.name}: the default entry has neither match nor priority")
        return Key(table.name)
    if not table.fields:
        raise invalid(f"{table.name} has no key: MODIFY its default entry (is_default_action)")
    given = matches(table, entry.match)
    values = tuple(decode_match(table, field, given.get(field.id)) for field in table.fields)
    return Key(table.name, values, priority(table, entry.priority))


def priority(table: Table, given: int) -> int:
    """The priority. Raises EntityError where there has to be one and is none, or the other way round."""
    if table.has_priority and given <= 0:
        raise invalid(f"{table.name}: an entry of a ternary table needs a priority above 0")
    if not table.has_priority and given:
        raise invalid(f"{table.name}: priority {given} has no meaning in a table of exact fields; leave it out")
    return given


def matches(table: Table, items: Iterable[Message]) -> dict[int, Message]:
    """Field id -> what is matched. Raises EntityError for ids that are unknown or said twice."""
    known = {field.id for field in table.fields}
    found: dict[int, Message] = {}
    for item in items:
        if item.field_id not in known:
            raise invalid(f"{table.name} has no match field with the id {item.field_id}")
        if item.field_id in found:
            raise invalid(f"{table.name}: match field {item.field_id} stands there twice")
        found[item.field_id] = item
    return found


def decode_match(table: Table, field: Field, item: Message | None) -> Match:
    """The value of one field. Raises EntityError."""
    where = table.name
    if item is None:
        if field.kind == "exact":
            raise invalid(f"{where}: the exact field '{field.name}' is missing")
        return 0, 0
    kind = item.WhichOneof("field_match_type")
    if kind != field.kind:
        raise invalid(f"{where}: '{field.name}' is matched as {kind or 'nothing'}; it is a field for {field.kind}")
    if kind == "exact":
        return from_bytes(item.exact.value, field, where)
    if kind != "ternary":
        raise EntityError(code.UNIMPLEMENTED, f"{where}: {kind} fields are not supported")
    value, mask = from_bytes(item.ternary.value, field, where), from_bytes(item.ternary.mask, field, where)
    if not mask:
        raise invalid(f"{where}: '{field.name}' has a mask of zeros; leave the field out")
    if value & ~mask:
        raise invalid(f"{where}: '{field.name}' has bits set outside of its mask")
    return value, mask


def decode_call(schema: Schema, entry: Message, *, default: bool = False) -> Call | None:
    """The action of a TableEntry; None where it has none. Raises EntityError."""
    table = table_of(schema, entry.table_id)
    kind = entry.action.WhichOneof("type") if entry.HasField("action") else None
    if kind is None:
        return None
    if kind != "action":
        raise invalid(f"{table.name}: its entries have an action, not a member, group or action set")
    given = entry.action.action
    check_action(table, given.action_id, default)
    action = schema.actions[given.action_id]
    values: dict[int, bytes] = {item.param_id: item.value for item in given.params}
    if len(given.params) != len(action.params) or set(values) != {param.id for param in action.params}:
        names = ", ".join(f"{param.id} {param.name}" for param in action.params) or "none"
        raise invalid(f"{table.name}: the parameters of {action.name} are: {names}")
    where = f"{table.name} {action.name}"
    return Call(action.name, tuple(from_bytes(values[param.id], param, where) for param in action.params))


def check_action(table: Table, action_id: int, default: bool) -> None:
    """Raises EntityError: INVALID_ARGUMENT for another table's action, PERMISSION_DENIED for one out of scope."""
    if action_id in (table.default_actions if default else table.actions):
        return
    what = f"{table.name}: {'the default entry' if default else 'an entry'} cannot have the action {action_id:#010x}"
    if action_id in table.default_actions | table.actions:
        scope = "a regular entry" if default else "the default entry"
        raise EntityError(code.PERMISSION_DENIED, f"{what}: its scope is {scope} alone")
    raise invalid(f"{what}: see the P4Info")


def describe(schema: Schema, entry: Message) -> str:
    """A TableEntry in words, for messages; never raises."""
    try:
        return text(decode_key(schema, entry), schema)
    except (EntityError, SchemaError):
        return f"entry of table {entry.table_id:#010x}"


def text(key: Key, schema: Schema) -> str:
    """`acl bank=0 service=1 source=.../... port=any priority 257`, numbers in hex where they are wide."""
    if not key.match:
        return f"{key.table} (default entry)"
    fields = schema.table(key.table).fields
    parts = [f"{field.name}={match_text(value)}" for field, value in zip(fields, key.match, strict=True)]
    return " ".join([key.table, *parts, *([f"priority {key.priority}"] if key.priority else [])])


def match_text(value: Match) -> str:
    """One value."""
    if isinstance(value, int):
        return str(value) if value < 1 << 32 else hex(value)
    return "any" if not value[1] else f"{value[0]:#x}&{value[1]:#x}"
