"""Plans that do not fit into a device are refused before anything is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dpu_app.model.plan_packet import METER_BUCKETS, PlanBucket, PlanTables, PlanVip
from dpu_app.p4rt import schema
from dpu_app.p4rt.capacity import problems
from dpu_app.p4rt.entities import entries
from dpu_app.p4rt.stubs import config
from tests.unit.dpu_app.p4rt.packet_samples import TABLES, packet

SCHEMA = schema.load()


def places(tables: PlanTables, found: schema.Schema = SCHEMA) -> list[str]:
    return [problem.path for problem in problems(packet(tables), entries(tables, 0), found)]


def test_plan_that_fits_and_plan_without_a_packet_part_have_none() -> None:
    assert places(TABLES) == []
    assert problems(None, {}, SCHEMA) == []


def test_half_of_a_table_is_a_bank() -> None:
    full = tuple(PlanVip(1, f"10.0.{i >> 8}.{i & 255}", 6, 443) for i in range(1, 1_025))
    assert places(PlanTables(vips=full)) == []
    assert places(PlanTables(vips=(*full, PlanVip(1, "10.0.0.1", 6, 80)))) == ["packet.vips"]


def test_meters_that_the_device_has_not_are_named() -> None:
    without = config.P4Info()
    without.CopyFrom(SCHEMA.p4info)
    del without.meters[:]
    assert places(TABLES, schema.from_message(without)) == [
        "packet.meters[0].per_source.packets",
        "packet.meters[0].per_service.bytes",
    ]


def test_cells_beyond_the_end_are_named() -> None:
    every: dict[str, Any] = dict.fromkeys(METER_BUCKETS, PlanBucket(1, 1))
    beyond = replace(TABLES.meters[0], cell_base=65_536, **every)
    assert places(replace(TABLES, meters=(beyond,))) == [
        f"packet.meters[0].per_source.{what}" for what in ("packets", "bytes", "connections")
    ]


def test_other_writer_is_named() -> None:
    found = problems(packet(PlanTables(), programmed_by="p4runtime"), {}, SCHEMA)
    assert [problem.path for problem in found] == ["packet.programmed_by"]
