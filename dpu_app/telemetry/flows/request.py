"""One line of the request journal, as far as flow records need it (docs/guide/journal.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dpu_app.telemetry.flows.record import Key, address_bytes


@dataclass(frozen=True, slots=True)
class Request:
    """A request that has ended. Names are empty where it never came to that."""

    key: Key
    start_ms: int
    """Milliseconds since 1970 when its head was accepted."""
    duration_ms: float
    listener: str
    tenant: str
    model: str
    arm: str
    worker: str
    outcome: str
    tokens_in: int
    tokens_out: int
    ttft_ms: float | None
    epoch: int


def parse(line: bytes) -> Request:
    """Raises ValueError where it is not a line of the journal, or one without the ends of its connection."""
    try:
        data = json.loads(line)
        return Request(
            key=Key(*end(data["client"]), *end(data["server"])),
            start_ms=unix_ms(data["ts"]),
            duration_ms=number(data["duration_ms"]),
            listener=text(data["listener"]),
            tenant=text(data["tenant"]),
            model=text(data["model"]),
            arm=text(data["arm"]),
            worker=text(data["worker"]),
            outcome=text(data["outcome"]),
            tokens_in=count(data["prompt_tokens"]),
            tokens_out=count(data["completion_tokens"]),
            ttft_ms=None if data["ttft_ms"] is None else number(data["ttft_ms"]),
            epoch=count(data["epoch"]),
        )
    except (KeyError, TypeError, OSError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a line of the journal: {error!r}") from error


def end(value: Any) -> tuple[bytes, int]:
    """`IP:port`, IPv6 in brackets. Raises ValueError, TypeError or OSError."""
    host, _, port = text(value).rpartition(":")
    number = int(port)
    if not 0 <= number <= 65535:
        raise ValueError("a port beyond 65535")
    return address_bytes(host.strip("[]")), number


def unix_ms(value: Any) -> int:
    """RFC 3339 as milliseconds since 1970. Raises ValueError or TypeError."""
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return round(moment.timestamp() * 1000)


def text(value: Any) -> str:
    """Empty for null. Raises TypeError."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def number(value: Any) -> float:
    """Zero or more. Raises TypeError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def count(value: Any) -> int:
    """A whole number below 2^64. Raises TypeError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise TypeError(f"{value!r} is not a count")
    return value
