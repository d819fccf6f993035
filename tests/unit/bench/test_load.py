"""bench.load: what is taken from h2load's words, and what ends the bench."""

from __future__ import annotations

import pytest

from bench import load
from bench.work import WrongAnswer

SUMMARY = """finished in 2.04s, 4357.50 req/s, 1.89MB/s
requests: 8715 total, 8747 started, 8715 done, {good} succeeded, {failed} failed, {errored} errored, 0 timeout
status codes: {good} 2xx, 0 3xx, {client} 4xx, {server} 5xx
"""


def summary(*, good: int = 8715, failed: int = 0, errored: int = 0, client: int = 0, server: int = 0) -> str:
    return SUMMARY.format(good=good, failed=failed, errored=errored, client=client, server=server)


def test_only_answers_with_2xx_are_counted() -> None:
    assert load.parse_summary(summary()) == 8715


@pytest.mark.parametrize(
    "text",
    [
        summary(failed=1),
        summary(errored=1),
        summary(client=1),
        summary(server=1),
        summary(good=0),
        "could not connect",
    ],
    ids=["failed", "errored", "4xx", "5xx", "nothing", "no summary"],
)
def test_anything_else_ends_the_bench(text: str) -> None:
    with pytest.raises(WrongAnswer):
        load.parse_summary(text)


def test_log_lines_give_status_and_microseconds() -> None:
    assert load.parse_log("1795449122983459\t200\t512\n1795449122983999\t-1\t77\n") == ([200, -1], [512, 77])


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (0.999, 100.0), (1.0, 100.0)], ids=str)
def test_quantile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert load.quantile(list(range(100, 0, -1)), share) == expected


def test_quantile_of_one_value_is_that_value() -> None:
    assert load.quantile([7], 0.5) == load.quantile([7], 0.99) == 7.0
