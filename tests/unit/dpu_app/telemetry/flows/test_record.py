"""Texts of a record: times to the millisecond, addresses, reasons that a newer packet stage may have."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abi.gen.reasons import Reason
from dpu_app.telemetry.flow_source import FlowNames
from dpu_app.telemetry.flows.record import (
    NOT_DROPPED_MAX,
    Clock,
    address_bytes,
    address_text,
    reason_label,
    rfc3339,
    seen_of,
)
from tests.unit.dpu_app.telemetry.flows.samples import CLOCK, START_MS, record

DROPS_FROM = Reason.PACKET_TRUNCATED


@given(st.integers(0, 32_503_680_000_000))
def test_time_is_written_to_the_millisecond(unix_ms: int) -> None:
    text = rfc3339(unix_ms)
    assert len(text) == 24 and text.endswith("Z")
    moment = datetime.fromisoformat(text)
    assert int(moment.replace(microsecond=0).timestamp()) * 1_000 + moment.microsecond // 1_000 == unix_ms


@pytest.mark.parametrize("text", ["192.0.2.1", "0.0.0.0", "2001:db8::1", "::1", "::"])
def test_address_is_written_as_it_was_read(text: str) -> None:
    assert address_text(address_bytes(text)) == text


@given(st.integers(0, 1 << 62), st.integers(0, 1 << 62))
def test_clock_moves_the_packet_stage_s_times_to_those_of_people(offset_ns: int, monotonic_ns: int) -> None:
    assert Clock(offset_ns).ms(monotonic_ns) == (offset_ns + monotonic_ns) // 1_000_000


def test_names_and_ids_that_nobody_knows_are_numbers() -> None:
    found = seen_of(record(service=9, group=8, port=0, end=77), FlowNames(), CLOCK)
    assert (found.service, found.group, found.group_port, found.end.label) == ("9", "8", 443, "removed")
    assert (found.start_ms, found.end_ms) == (START_MS + 1_000, START_MS + 3_000)
    assert (reason_label(127), seen_of(record(group=0), FlowNames(), CLOCK).group) == ("127", "")


def test_reasons_that_let_a_frame_go_on_are_below_those_that_drop_it() -> None:
    passing = [Reason.NONE, Reason.PACKET_NOT_IP, Reason.PACKET_NOT_VIP, Reason.PACKET_ICMP, Reason.PACKET_FLOW_FULL]
    assert [reason for reason in Reason if reason <= NOT_DROPPED_MAX] == passing
    assert min(set(Reason) - set(passing)) == DROPS_FROM
