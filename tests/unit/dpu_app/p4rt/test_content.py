"""The hash of what a bank says."""

from __future__ import annotations

import pytest

from dpu_app.p4rt.codec import Call, Entries
from dpu_app.p4rt.content import CONTENT_BYTES, Rates, content_hash, runs, settle, settled
from dpu_app.p4rt.entities import entries, of_bank
from dpu_app.p4rt.meters import Rate
from tests.unit.dpu_app.p4rt.packet_samples import TABLES

SLOW, FAST = Rate(1, 2, 1, 2), Rate(1_000_000, 2, 1_000_000, 2)


def test_both_banks_and_every_order_hash_alike() -> None:
    found = entries(TABLES, 0)
    backwards: Entries = dict(reversed(of_bank(found, 1).items()))
    assert content_hash(found, {}) == content_hash(backwards, {})
    assert len(content_hash({}, {})) == CONTENT_BYTES


def test_an_entry_less_and_another_action_hash_differently() -> None:
    found = entries(TABLES, 0)
    first = next(iter(found))
    less = {key: call for key, call in found.items() if key != first}
    hashes = {content_hash(found, {}), content_hash(less, {}), content_hash(found | {first: Call("other")}, {})}
    assert len(hashes) == 3


@pytest.mark.parametrize(
    "other", [{"m": {0: SLOW}}, {"m": {1: SLOW, 2: SLOW}}, {"m": {0: SLOW, 1: FAST}}, {"n": {0: SLOW, 1: SLOW}}, {}]
)
def test_cells_count(other: Rates) -> None:
    assert content_hash({}, other) != content_hash({}, {"m": {0: SLOW, 1: SLOW}})


def test_neighbours_that_are_equal_are_one_run() -> None:
    cells = {5: SLOW, 4: SLOW, 7: SLOW, 8: FAST}
    assert list(runs(cells)) == [(4, 5, SLOW), (7, 7, SLOW), (8, 8, FAST)]
    assert list(runs({})) == []


@pytest.mark.parametrize(
    ("read", "is_same"),
    [
        (FAST, True),
        (Rate(999_999, 2, 999_999, 2), True),
        (Rate(1_000_011, 2, 1_000_000, 2), True),
        (Rate(1_000_012, 2, 1_000_000, 2), False),
        (Rate(1_000_000, 2, 999_988, 2), False),
        (Rate(1_000_000, 3, 1_000_000, 3), False),
    ],
)
def test_rounded_rate_counts_as_the_wanted_one(read: Rate, is_same: bool) -> None:
    assert (settle(read, FAST, 10) == FAST) is is_same
    assert settled({"m": {1: read, 2: read}}, {"m": {1: FAST}}, 10)["m"][2] == read
