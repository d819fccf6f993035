"""Flows and requests that tests start from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from abi.gen import packet as abi
from dpu_app.telemetry.flow_source import FlowNames, FlowTable
from dpu_app.telemetry.flows.record import Clock, Flow, Seen, address_bytes, rfc3339, seen_of
from dpu_app.telemetry.flows.request import Request, parse

CLIENT, VIP = "198.51.100.7", "192.0.2.10"
CLIENT6, VIP6 = "2001:db8::7", "2001:db8::10"
START_MS = 1_700_000_000_000
NAMES = FlowNames({1: "chat"}, {7: "blue"})
CLOCK = Clock(START_MS * 1_000_000)
"""The packet stage's clock began at START_MS."""


def record(
    client: str = CLIENT, server: str = VIP, client_port: int = 40_000, end: int = abi.FLOW_ENDED, **value: int
) -> abi.FlowRecord:
    """A flow of the packet stage from second 1 to second 3, rewritten from port 443 to 8444."""
    fields = {
        "packets_in": 10, "bytes_in": 2_000, "packets_out": 8, "bytes_out": 9_000,
        "first_ns": 1_000_000_000, "last_ns": 3_000_000_000, "epoch": 5, "service": 1, "group": 7, "port": 8444,
        "reason": 0, "flags_in": 0x1B, "flags_out": 0x13, "state": 7,
    }  # fmt: skip
    protocol = value.pop("protocol", 6)
    key = abi.FlowKey(address_bytes(client), address_bytes(server), client_port, 443, protocol)
    return abi.FlowRecord(key, abi.FlowValue(**{**fields, **value}), end)


def seen(**changes: Any) -> Seen:
    """The same with names and times, with these fields instead."""
    return replace(seen_of(record(), NAMES, CLOCK), **changes)


def line(**changes: Any) -> dict[str, Any]:
    """A line of the journal that fits the flow of `record`."""
    fields = {
        "ts": rfc3339(START_MS + 1_500), "listener": "public", "client": f"{CLIENT}:40000", "server": f"{VIP}:8444",
        "tenant": "alpha", "model": "chat", "arm": "stable", "worker": "w0", "outcome": "answered",
        "prompt_tokens": 12, "completion_tokens": 30, "ttft_ms": 21.5, "duration_ms": 400.0, "epoch": 6,
    }  # fmt: skip
    return {**fields, **changes}


def request(**changes: Any) -> Request:
    """That line, read."""
    return parse(json.dumps(line(**changes)).encode())


def flow(**changes: Any) -> Flow:
    """A flow that carried one request."""
    from dpu_app.telemetry.flows.work import Work

    work = Work(START_MS, 0.0)
    work.add(request())
    return Flow(seen(**changes), work.sums())


class FakeSource:
    """A packet stage that says what a test has put there."""

    def __init__(self) -> None:
        self.records: list[abi.FlowRecord] = []
        self.listed: list[abi.FlowRecord] = []
        self.reasons: dict[int, tuple[int, int]] = {}
        self.missing = 0

    def poll(self, timeout_s: float) -> list[abi.FlowRecord]:
        records, self.records = self.records, []
        return records

    def active(self) -> Iterator[abi.FlowRecord]:
        return iter(self.listed)

    def names(self) -> FlowNames:
        return NAMES

    def lost(self) -> int:
        return self.missing

    def counters(self) -> Mapping[int, tuple[int, int]]:
        return self.reasons

    def table(self) -> FlowTable:
        return FlowTable(3, 1024)
