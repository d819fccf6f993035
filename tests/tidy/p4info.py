"""P4Info text as plain data: enough of protobuf's text format to compare names and numbers without any P4 package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

TOKEN = re.compile(r'\s*(?:(?P<open>\w+)\s*\{|(?P<close>\})|(?P<key>\w+):\s*(?P<value>"(?:[^"\\]|\\.)*"|\S+)|\#.*)')


def parse(text: str) -> dict[str, list[Any]]:
    """Field -> its values in order; messages are such dictionaries themselves."""
    return message(TOKEN.finditer(text.rstrip()))


def message(tokens: Iterator[re.Match[str]]) -> dict[str, list[Any]]:
    """One message, to its closing brace."""
    found: dict[str, list[Any]] = {}
    for token in tokens:
        if token["close"]:
            return found
        if token["open"]:
            found.setdefault(token["open"], []).append(message(tokens))
        elif token["key"]:
            found.setdefault(token["key"], []).append(scalar(token["value"]))
    return found


def scalar(value: str) -> int | str:
    """A number, or the text of a string or an enum."""
    return int(value) if re.fullmatch(r"-?\d+", value) else value.strip('"')
