"""Lines of the journal: read as they are documented, refused where they are anything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpu_app.telemetry.flows.record import Key, address_bytes
from dpu_app.telemetry.flows.request import parse
from tests.unit.dpu_app.telemetry.flows import samples

JOURNAL_PAGE = Path(__file__).resolve().parents[5] / "docs/guide/journal.md"


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        ("198.51.100.7:40000", "192.0.2.10:8444", ("198.51.100.7", 40000, "192.0.2.10", 8444)),
        ("[2001:db8::7]:1", "[2001:db8::10]:65535", ("2001:db8::7", 1, "2001:db8::10", 65535)),
    ],
)
def test_ends_of_a_line_become_the_key_of_its_flow(
    client: str, server: str, expected: tuple[str, int, str, int]
) -> None:
    key = samples.request(client=client, server=server).key
    assert key == Key(address_bytes(expected[0]), expected[1], address_bytes(expected[2]), expected[3])


def test_time_of_a_line_is_milliseconds_since_1970() -> None:
    assert samples.request(ts="2023-11-14T22:13:20.123Z").start_ms == 1_700_000_000_123


def test_names_that_never_came_are_empty() -> None:
    found = samples.request(tenant=None, model=None, arm=None, worker=None, ttft_ms=None)
    assert (found.tenant, found.model, found.arm, found.worker, found.ttft_ms) == ("", "", "", "", None)


@pytest.mark.parametrize(
    "changes",
    [
        {"client": None}, {"client": "nowhere:1"}, {"client": "192.0.2.1"}, {"server": "192.0.2.1:70000"},
        {"server": 5}, {"ts": "yesterday"}, {"ts": None}, {"ts": "2023-11-14T22:13:20"}, {"prompt_tokens": -1},
        {"prompt_tokens": "12"}, {"completion_tokens": 1 << 64}, {"duration_ms": True}, {"ttft_ms": "soon"},
        {"epoch": 1.5}, {"tenant": ["alpha"]},
    ],
)  # fmt: skip
def test_line_with_something_else_in_it_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        samples.request(**changes)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_line_are_refused_and_nothing_else_is_raised(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse(data)


@pytest.mark.parametrize("text", ["[]", "null", "{}", "[" * 100_000, "1" * 5_000])
def test_json_that_is_no_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text.encode())


def test_fields_that_are_read_are_documented() -> None:
    documented = {row.split("`")[1] for row in JOURNAL_PAGE.read_text().splitlines() if row.startswith("| `")}
    assert json.loads(json.dumps(samples.line())).keys() <= documented
