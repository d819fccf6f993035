"""Whether a plan fits into a target, by what its P4Info says. Pure; asked before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dpu_app.model.plan_packet import METER_BUCKETS, PlanPacket, PlanTables
from dpu_app.model.problem import Problem
from dpu_app.p4rt.codec import Entries
from dpu_app.p4rt.entities import cells_of
from dpu_app.p4rt.schema import Schema

PLACES = {"vip": "vips", "acl": "acl", "meter_source": "meters", "steer": "steer", "reverse": "steer"}


def problems(packet: PlanPacket | None, wanted: Entries, schema: Schema) -> list[Problem]:
    """Everything about the packet part of a plan, and its entries in a bank, that the target cannot have."""
    if packet is None:
        return []
    if packet.programmed_by == "p4runtime":
        what = "a controller programs the tables over P4Runtime, and this target is programmed by the agent"
        return [Problem(what, "set programmed_by: agent, or leave this target out", "packet.programmed_by")]
    return [*too_many(wanted, schema), *meters(packet.tables, schema)]


def too_many(wanted: Entries, schema: Schema) -> Iterator[Problem]:
    """Both banks are in one table: a plan may fill half of it."""
    counts = Counter(key.table for key in wanted)
    for name, count in counts.items():
        room = schema.table(name).size // 2
        if count > room:
            what = f"{count} entries in table {name}; the target holds {room} in each of its two banks"
            yield Problem(what, "fewer or wider entries", f"packet.{PLACES[name]}")


def meters(tables: PlanTables, schema: Schema) -> Iterator[Problem]:
    """Meters that are not there, and cells beyond their end."""
    for i, meter in enumerate(tables.meters):
        for name in METER_BUCKETS:
            if getattr(meter, name) is None:
                continue
            scope, what = name.split("_")
            path = f"packet.meters[{i}].per_{scope}.{what}"
            if not schema.has_meter(name):
                yield Problem(f"the target has no meter {name}", "leave this bucket out for it", path)
            elif cells_of(meter, name).stop > schema.meter(name).size:
                size = schema.meter(name).size
                yield Problem(f"its cells end beyond the {size} of the target", "lower packet.meter_cells", path)
