"""The bucket list: exact shares, fewest moves, only from shrinking arms to growing ones."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from dpu_app.compile.buckets import buckets, from_bytes, spread, to_bytes
from dpu_app.model.plan import BUCKETS

ARMS = ("stable", "canary", "next", "old")


@st.composite
def weights(draw: st.DrawFn) -> dict[str, int]:
    """One to four arms that share all buckets; some may have none."""
    arms = draw(st.lists(st.sampled_from(ARMS), min_size=1, unique=True))
    cuts = sorted(draw(st.lists(st.integers(0, BUCKETS), min_size=len(arms) - 1, max_size=len(arms) - 1)))
    edges = [0, *cuts, BUCKETS]
    return {arm: edges[i + 1] - edges[i] for i, arm in enumerate(arms)}


@settings(deadline=None, max_examples=60)
@given(weights())
def test_first_layout_gives_every_arm_its_share(first: dict[str, int]) -> None:
    assert Counter(buckets(None, first)) == Counter(first)


@settings(deadline=None, max_examples=100)
@given(weights(), weights())
def test_change_moves_the_fewest_buckets_and_only_from_shrinking_to_growing(
    first: dict[str, int], second: dict[str, int]
) -> None:
    before = buckets(None, first)
    after = buckets(before, second)
    assert Counter(after) == Counter(second)
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    growth = {arm: second.get(arm, 0) - first.get(arm, 0) for arm in ARMS}
    assert len(moved) == sum(more for more in growth.values() if more > 0)
    assert all(growth[old] < 0 < growth[new] for old, new in moved)


@settings(deadline=None, max_examples=30)
@given(weights(), weights())
def test_same_input_gives_the_same_layout(first: dict[str, int], second: dict[str, int]) -> None:
    before = buckets(None, first)
    assert buckets(before, second) == buckets(before, second)
    assert buckets(before, first) == before


def test_three_arms_of_which_one_shrinks_leave_the_middle_one_alone() -> None:
    before = buckets(None, {"stable": 7000, "canary": 2000, "next": 1000})
    after = buckets(before, {"stable": 6000, "canary": 2000, "next": 2000})
    assert [i for i, arm in enumerate(before) if arm == "canary"] == [
        i for i, arm in enumerate(after) if arm == "canary"
    ]
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1000


def test_first_layout_is_spread_evenly() -> None:
    layout = buckets(None, {"stable": 9000, "canary": 1000})
    shares = [layout[start : start + 100].count("canary") for start in range(0, BUCKETS, 100)]
    assert set(shares) == {10}


def test_moved_buckets_are_spread_evenly() -> None:
    layout = buckets(buckets(None, {"stable": 10_000}), {"stable": 9900, "canary": 100})
    shares = [layout[start : start + 1000].count("canary") for start in range(0, BUCKETS, 1000)]
    assert set(shares) == {10}


def test_spread_of_nothing_is_empty() -> None:
    assert spread({}) == []
    assert spread({"a": 0}) == []


def test_bytes_round_trip() -> None:
    layout = buckets(None, {"stable": 9000, "canary": 1000})
    assert from_bytes(to_bytes(layout, ["stable", "canary"]), ["stable", "canary"]) == layout


def test_bytes_that_are_no_layout_are_none() -> None:
    assert from_bytes(b"", ["a"]) is None
    assert from_bytes(bytes([1]) * BUCKETS, ["a"]) is None


@settings(deadline=None, max_examples=25)
@given(st.lists(weights(), min_size=2, max_size=6))
def test_a_history_of_changes_never_moves_more_than_each_step_needs(history: list[dict[str, int]]) -> None:
    layout = buckets(None, history[0])
    for weights_now in history[1:]:
        after = buckets(layout, weights_now)
        held = Counter(layout)
        growth = sum(max(weight - held[arm], 0) for arm, weight in weights_now.items())
        assert sum(old != new for old, new in zip(layout, after, strict=True)) == growth
        layout = after


def test_an_arm_that_comes_takes_from_those_that_shrink_and_one_that_goes_gives_to_those_that_grow() -> None:
    two = buckets(None, {"stable": 9_000, "canary": 1_000})
    three = buckets(two, {"stable": 8_500, "canary": 1_000, "next": 500})
    assert {(old, new) for old, new in zip(two, three, strict=True) if old != new} == {("stable", "next")}
    gone = buckets(three, {"stable": 8_500, "next": 1_500})
    assert {(old, new) for old, new in zip(three, gone, strict=True) if old != new} == {("canary", "next")}


def test_the_smallest_step_moves_one_bucket() -> None:
    before = buckets(None, {"stable": 5_000, "canary": 3_000, "next": 2_000})
    after = buckets(before, {"stable": 4_999, "canary": 3_000, "next": 2_001})
    assert [(old, new) for old, new in zip(before, after, strict=True) if old != new] == [("stable", "next")]
