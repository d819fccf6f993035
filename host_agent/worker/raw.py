"""The members of a JSON object with the text that they have: what is only passed on is passed on byte for byte."""

from __future__ import annotations

import json
from typing import Any

DECODER = json.JSONDecoder()
SPACE = " \t\n\r"


def members(text: str) -> dict[str, tuple[Any, str]]:
    """Name -> value and its own text, in order; of a name that is there twice the last. Raises ValueError where `text`
    is not one JSON object (RFC 8259)."""
    found: dict[str, tuple[Any, str]] = {}
    at = expect(text, 0, "{")
    if text[at : at + 1] == "}":
        return end(text, at, found)
    while True:
        name, at = DECODER.raw_decode(text, at)
        if not isinstance(name, str):
            raise ValueError("a name has to be a string")
        at = expect(text, skip_space(text, at), ":")
        value, after = DECODER.raw_decode(text, at)
        found[name] = (value, text[at:after])
        at = skip_space(text, after)
        if text[at : at + 1] != ",":
            return end(text, at, found)
        at = skip_space(text, at + 1)


def end(text: str, at: int, found: dict[str, tuple[Any, str]]) -> dict[str, tuple[Any, str]]:
    """`found`, where the object and the text end at `at`."""
    if expect(text, at, "}") != len(text):
        raise ValueError("more than one JSON value")
    return found


def expect(text: str, at: int, mark: str) -> int:
    """The place after `mark` (and the space after it), which has to be the next thing."""
    at = skip_space(text, at)
    if text[at : at + 1] != mark:
        raise ValueError(f"{mark} expected at {at}")
    return skip_space(text, at + 1)


def skip_space(text: str, at: int) -> int:
    """The first place from `at` on that is no white space."""
    while text[at : at + 1] and text[at] in SPACE:
        at += 1
    return at
