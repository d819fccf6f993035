"""P4Info as our code asks for it: tables, actions, meters and counters by name and by id."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from google.protobuf import text_format

from dpu_app.p4rt.stubs import Message, config

P4INFO_FILE = "dpu.p4info.txtpb"
# An installed package carries the file beside this module (pyproject.toml); a checkout has it where the P4 compiler
# writes it.
P4INFO_PLACES = (Path(__file__).parent / P4INFO_FILE, Path(__file__).parents[2] / "p4" / "build" / P4INFO_FILE)
P4INFO_BYTES_MAX = 4_194_304


class SchemaError(ValueError):
    """The P4Info cannot be used; says why and what to do."""


@dataclass(frozen=True, slots=True)
class Field:
    """A match field or an action's parameter; `kind` is empty for the latter."""

    id: int
    name: str
    bits: int
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """An action and its parameters in the order of the P4Info."""

    id: int
    name: str
    params: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table. `actions` are the ids that a regular entry may have, `default_actions` those of the default entry."""

    id: int
    name: str
    fields: tuple[Field, ...]
    actions: frozenset[int]
    default_actions: frozenset[int]
    size: int
    has_idle_timeout: bool = False

    @property
    def has_priority(self) -> bool:
        """Whether an entry needs one (P4Runtime specification, table entry)."""
        return any(item.kind in ("ternary", "range", "optional") for item in self.fields)


@dataclass(frozen=True, slots=True)
class Array:
    """A counter or a meter; `unit` is P4Info's word for what it counts, in lower case."""

    id: int
    name: str
    size: int
    unit: str


Named = TypeVar("Named", Table, Action, Array)


@dataclass(frozen=True)
class Schema:
    """One P4Info."""

    p4info: Message
    tables: dict[int, Table] = field(default_factory=dict)
    actions: dict[int, Action] = field(default_factory=dict)
    meters: dict[int, Array] = field(default_factory=dict)
    counters: dict[int, Array] = field(default_factory=dict)
    packet_metadata: dict[str, tuple[Field, ...]] = field(default_factory=dict)

    def table(self, name: str) -> Table:
        """A table by name. Raises SchemaError."""
        return by_name(self.tables, "table", name)

    def action(self, name: str) -> Action:
        """An action by name. Raises SchemaError."""
        return by_name(self.actions, "action", name)

    def meter(self, name: str) -> Array:
        """A meter by name. Raises SchemaError."""
        return by_name(self.meters, "meter", name)

    def counter(self, name: str) -> Array:
        """A counter by name. Raises SchemaError."""
        return by_name(self.counters, "counter", name)

    def has_meter(self, name: str) -> bool:
        """Whether there is a meter of that name."""
        return any(meter.name == name for meter in self.meters.values())

    def cookie(self, device_config: bytes = b"") -> int:
        """A number that stands for this P4Info with that device config; never 0."""
        content = self.p4info.SerializeToString(deterministic=True)
        digest = hashlib.sha256(len(content).to_bytes(8, "big") + content + device_config).digest()
        return int.from_bytes(digest[:8], "big") or 1


def by_name(items: dict[int, Named], what: str, name: str) -> Named:
    """The item of that name. Raises SchemaError."""
    for item in items.values():
        if item.name == name:
            return item
    raise SchemaError(f"the P4Info has no {what} '{name}': use the one that belongs to docs/stages/packet.md")


def load(path: Path | None = None) -> Schema:
    """The schema of a P4Info in text form: of `path`, else the one that belongs to this version. Raises SchemaError."""
    places = (path,) if path else P4INFO_PLACES
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        where = " or ".join(str(place) for place in places)
        raise SchemaError(f"no P4Info at {where}: name one, or install dpu-app with it")
    with found.open("rb") as file:
        data = file.read(P4INFO_BYTES_MAX + 1)
    if len(data) > P4INFO_BYTES_MAX:
        raise SchemaError(f"{found} is longer than {P4INFO_BYTES_MAX} bytes: is it a P4Info in text form?")
    try:
        return from_message(text_format.Parse(data.decode(), config.P4Info()))
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise SchemaError(f"{found} is not a P4Info in text form: {error}") from error


def from_message(p4info: Message) -> Schema:
    """The schema of a P4Info message."""
    return Schema(
        p4info=p4info,
        tables={item.preamble.id: table(item) for item in p4info.tables},
        actions={
            item.preamble.id: Action(item.preamble.id, short(item), tuple(fields(item.params)))
            for item in p4info.actions
        },
        meters={item.preamble.id: array(item, config.MeterSpec.Unit) for item in p4info.meters},
        counters={item.preamble.id: array(item, config.CounterSpec.Unit) for item in p4info.counters},
        packet_metadata={
            item.preamble.name: tuple(fields(item.metadata)) for item in p4info.controller_packet_metadata
        },
    )


def short(item: Message) -> str:
    """Compilers put the control in front of a name (`ingress.acl`); ours are known without."""
    name: str = item.preamble.name
    return name.rpartition(".")[2]


def fields(items: Message) -> list[Field]:
    """Fields without a kind."""
    return [Field(item.id, item.name, item.bitwidth) for item in items]


def match_fields(items: Message) -> list[Field]:
    """Fields of a table's key."""
    kinds = {number: name.lower() for name, number in config.MatchField.MatchType.items()}
    return [Field(item.id, item.name, item.bitwidth, kinds[item.match_type]) for item in items]


def table(item: Message) -> Table:
    """One table."""
    scope = config.ActionRef
    return Table(
        id=item.preamble.id,
        name=short(item),
        fields=tuple(match_fields(item.match_fields)),
        actions=frozenset(ref.id for ref in item.action_refs if ref.scope != scope.DEFAULT_ONLY),
        default_actions=frozenset(ref.id for ref in item.action_refs if ref.scope != scope.TABLE_ONLY),
        size=item.size,
        has_idle_timeout=item.idle_timeout_behavior == config.Table.NOTIFY_CONTROL,
    )


def array(item: Message, units: Message) -> Array:
    """One meter or counter."""
    return Array(item.preamble.id, short(item), item.size, units.Name(item.spec.unit).lower())
