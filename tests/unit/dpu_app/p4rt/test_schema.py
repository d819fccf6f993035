"""The P4Info is found, read, and is that of docs/stages/packet.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from abi.gen.packet import METER_CELLS_MAX, REASONS_MAX, SERVICES_MAX
from dpu_app.model.plan_packet import METER_BUCKETS
from dpu_app.p4rt import schema

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "docs/stages/packet.md").read_text()


def test_numbers_and_names_are_those_of_the_contract_page() -> None:
    found = schema.load()
    rows = re.findall(r"^\| `(\w+)` \((0x02\w+)\) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 7
    for name, number, keys, actions in rows:
        table = found.tables[int(number, 16)]
        fields = [(f, k, int(bits)) for f, k, bits in re.findall(r"`(\w+)` (exact|ternary) (\d+)", keys)]
        assert (table.name, [(f.name, f.kind, f.bits) for f in table.fields]) == (name, fields)
        for action, params, action_id in re.findall(r"`(\w+)\((.*?)\)` \((0x01\w+)\)", actions):
            wanted = [(p, int(bits)) for p, bits in re.findall(r"(\w+): (\d+)", params)]
            has = found.actions[int(action_id, 16)]
            assert (has.name, [(p.name, p.bits) for p in has.params]) == (action, wanted)


def test_meters_and_counter_have_their_sizes() -> None:
    found = schema.load()
    sizes = [found.meter(name).size for name in METER_BUCKETS]
    assert sizes == [METER_CELLS_MAX] * 3 + [SERVICES_MAX] * 3
    assert [found.meter(name).unit for name in METER_BUCKETS] == ["packets", "bytes", "packets"] * 2
    assert found.counter("reasons").size == REASONS_MAX


def test_tables_with_keys_have_sizes_that_are_powers_of_two() -> None:
    sizes = [table.size for table in schema.load().tables.values()]
    assert [size for size in sizes if size & (size - 1)] == []


def test_cookie_follows_the_content() -> None:
    found = schema.load()
    assert found.cookie() == schema.load().cookie()
    assert len({found.cookie(), found.cookie(b"a"), found.cookie(b"b")}) == 3


def test_names_with_their_control_in_front_are_known_without(tmp_path: Path) -> None:
    text = schema.P4INFO_PLACES[1].read_text().replace('name: "acl"', 'name: "ingress.acl"')
    (tmp_path / "x.txtpb").write_text(text)
    assert schema.load(tmp_path / "x.txtpb").table("acl").fields == schema.load().table("acl").fields


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"tables { nonsense", "is not a P4Info"), (b"\xff\xfe", "is not a P4Info"), (b"#" * 4_194_305, "is longer than")],
)
def test_file_that_is_no_p4info_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(schema.SchemaError, match=message):
        schema.load(tmp_path / "x")


def test_missing_file_and_missing_table_are_named(tmp_path: Path) -> None:
    with pytest.raises(schema.SchemaError, match="no P4Info at"):
        schema.load(tmp_path / "nothing")
    with pytest.raises(schema.SchemaError, match="has no table 'nothing'"):
        schema.load().table("nothing")
