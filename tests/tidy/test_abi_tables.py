"""The tables that two languages share: numbers are unique, in their range, and complete."""

from __future__ import annotations

import tomllib
from typing import Any

from tests.tidy import tree

REASONS: dict[str, dict[str, Any]] = tomllib.loads(tree.text("abi/tables/reasons.toml"))
FIELDS = {"number", "status", "type", "code", "fault", "retry", "message"}
FAULTS = {"client", "worker", "us"}


def test_reason_numbers_are_unique() -> None:
    numbers = [reason["number"] for reason in REASONS.values()]
    assert len(numbers) == len(set(numbers))


def test_reasons_are_complete() -> None:
    assert [name for name, reason in REASONS.items() if reason.keys() != FIELDS] == []
    assert [name for name, reason in REASONS.items() if reason["fault"] not in FAULTS or not reason["message"]] == []


def test_reasons_have_an_openai_error_exactly_where_somebody_can_read_it() -> None:
    # 499 is for the log: the client that it is about has left.
    readable = {name for name, reason in REASONS.items() if reason["status"] not in {0, 499}}
    assert {name for name, reason in REASONS.items() if reason["type"]} == readable


def test_reason_numbers_are_inside_the_declared_ranges() -> None:
    assert [name for name, reason in REASONS.items() if not 0 <= reason["number"] < 700] == []
