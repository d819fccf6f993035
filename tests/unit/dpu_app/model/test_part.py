"""The small types of the desired state: what they take and what they refuse."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic_core import PydanticCustomError

from dpu_app.model.part import duration, duration_ms, percent, socket_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8443", "127.0.0.1:8443"),
        ("[::1]:8443", "[::1]:8443"),
        ("[0:0:0:0:0:0:0:1]:08443", "[::1]:8443"),
        ("0.0.0.0:1", "0.0.0.0:1"),
    ],
)
def test_address_is_taken_in_its_shortest_form(text: str, expected: str) -> None:
    assert socket_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "8443", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1", "localhost:80",
        "::1:80", "[127.0.0.1]:80", "[::1]", "127.0.0.1:٣", "127.1:80", "[::1]:8 0",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError, match="is not an address"):
        socket_address(text)


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("250ms", 250), ("5s", 5_000), ("1m", 60_000), ("2h", 7_200_000), ("090s", 90_000)]
)
def test_duration_has_a_unit(text: str, milliseconds: int) -> None:
    assert duration_ms(duration(text)) == milliseconds


@pytest.mark.parametrize("value", ["", "5", 5, 5.0, "0s", "-5s", "1.5s", "5 s", "5d", "s", True, None, "٣s", "5s\n"])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(PydanticCustomError, match="is not a duration"):
        duration(value)


def test_duration_that_is_one_already_stays() -> None:
    assert duration(timedelta(seconds=3)) == timedelta(seconds=3)


@pytest.mark.parametrize(("value", "hundredths"), [(0, 0), (100, 10_000), (33.33, 3_333), (0.01, 1), (90.0, 9_000)])
def test_percent_has_steps_of_a_hundredth(value: object, hundredths: int) -> None:
    assert int(percent(value) * 100) == hundredths


@pytest.mark.parametrize(
    "value", [-1, 100.01, 33.333, "90", True, None, float("nan"), float("inf"), float("-inf"), 0.001]
)
def test_what_is_no_share_is_refused(value: object) -> None:
    with pytest.raises(PydanticCustomError, match="is not a share"):
        percent(value)
