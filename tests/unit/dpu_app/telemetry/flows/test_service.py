"""The whole of flow telemetry over a packet stage that a test plays: nothing is lost unsaid."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from abi.gen import packet as abi
from dpu_app.telemetry.flows import service
from dpu_app.telemetry.flows.record import rfc3339
from dpu_app.telemetry.flows.service import FlowTelemetry
from dpu_app.telemetry.flows.settings import FlowSettings, IpfixSettings
from tests.integration.processes import until
from tests.unit.dpu_app.samples import TEXT, desired, problems
from tests.unit.dpu_app.telemetry.flows.samples import FakeSource, line, record

PAGE = Path(__file__).resolve().parents[5] / "docs/guide/flows.md"


class Rig:
    """A FlowTelemetry whose rounds a test runs one by one."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.source = FakeSource()
        self.registry = CollectorRegistry()
        self.journal = folder / "requests.jsonl"
        self.journal.touch()
        self.now = time.monotonic()
        self.json_file = folder / "flows.jsonl"
        self.settings = FlowSettings(json_file=self.json_file, **settings)
        self.telemetry = FlowTelemetry(
            self.source, self.journal, self.settings, self.registry, folder / "flows.sock", lambda: self.now
        )

    def flow(self, **changes: Any) -> abi.FlowRecord:
        """A flow of the last three seconds."""
        now_ns = time.monotonic_ns()
        return record(first_ns=now_ns - 3_000_000_000, last_ns=now_ns, **changes)

    def write(self, *lines: dict[str, Any]) -> None:
        """Requests that began a second ago."""
        ts = rfc3339(time.time_ns() // 1_000_000 - 1_000)
        with open(self.journal, "a") as file:
            file.writelines(json.dumps({**one, "ts": ts}) + "\n" for one in lines)

    def rounds(self, *seconds: float) -> None:
        """Rounds, each after so much time."""
        for after in seconds:
            self.now += after
            self.telemetry.round(0.0)

    def written(self) -> list[dict[str, Any]]:
        text = self.json_file.read_text() if self.json_file.exists() else ""
        return [json.loads(row) for row in text.splitlines()]

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.telemetry.stop()


def test_flow_and_its_request_become_one_record_with_names_and_wall_clock_times(rig: Rig) -> None:
    rig.source.records = [rig.flow()]
    rig.rounds(0)
    rig.write(line())
    rig.rounds(0, 5)
    (found,) = rig.written()
    assert (found["service"], found["group"], found["tenant"], found["arm"]) == ("chat", "blue", "alpha", "stable")
    assert (found["packets_in"], found["requests"], found["tokens_out"]) == (10, 1, 30)
    assert found["last"][:10] == rfc3339(time.time_ns() // 1_000_000)[:10]
    assert rig.value("dpu_flow_tokens_total", service="chat", arm="stable", direction="out") == 30


def test_held_halves_are_shown(rig: Rig) -> None:
    rig.source.records = [rig.flow()]
    rig.write(line(client="198.51.100.9:1"))
    rig.rounds(0)
    assert [rig.value("dpu_flow_joins_held", half=half) for half in ("flow", "request")] == [1, 1]
    assert rig.value("dpu_flow_joins_held_max") == 65_536


def test_halves_beyond_the_bound_leave_and_are_counted(tmp_path: Path) -> None:
    rig = Rig(tmp_path, entries_max=16)
    rig.source.records = [rig.flow(client_port=port) for port in range(1, 21)]
    rig.rounds(0)
    assert (len(rig.written()), rig.value("dpu_flow_joins_evicted_total")) == (4, 4)
    rig.telemetry.stop()
    assert len(rig.written()) == 20


def test_flow_that_goes_on_is_reported_when_the_active_timeout_is_over(rig: Rig) -> None:
    rig.source.listed = [record(end=abi.FLOW_ACTIVE, first_ns=0, packets_in=7)]
    rig.now = 1_000_000.0
    rig.telemetry.sweep_due = rig.now + 60
    rig.rounds(0)
    assert rig.written() == []
    rig.rounds(60)
    assert [(found["end"], found["packets_in"]) for found in rig.written()] == [("active", 7)]
    rig.source.listed = [record(end=abi.FLOW_ACTIVE, first_ns=0, packets_in=9)]
    rig.rounds(30, 30)
    assert [found["packets_in"] for found in rig.written()] == [7, 2]


def test_lines_that_cannot_be_read_are_counted(rig: Rig) -> None:
    rig.write(line(), line(client=None))
    with open(rig.journal, "a") as file:
        file.write("nonsense\n")
    rig.rounds(0)
    assert rig.value("dpu_flow_records_lost_total", where="journal_unreadable") == 2
    assert rig.value("dpu_flow_joins_held", half="request") == 1


def test_losses_of_the_ring_and_of_outputs_are_counted_and_documented(rig: Rig) -> None:
    rig.source.missing = 5
    rig.telemetry.configure(replace(rig.settings, json_file=Path("/dev/full")))
    rig.source.records = [rig.flow(end=abi.FLOW_UNCONFIRMED)]
    rig.rounds(0)
    assert rig.value("dpu_flow_records_lost_total", where="ring") == 5
    assert rig.value("dpu_flow_records_lost_total", where="json") == 1
    rig.telemetry.configure(rig.settings)
    rig.rounds(0)
    assert rig.value("dpu_flow_records_lost_total", where="json") == 1
    row = next(row for row in PAGE.read_text().splitlines() if row.startswith("| `dpu_flow_records_lost_total"))
    assert set(re.findall(r"`(\w+)`", row)) == set(rig.telemetry.lost())


def test_other_settings_count_from_the_next_round_and_leave_other_outputs_alone(rig: Rig, tmp_path: Path) -> None:
    rig.source.records = [rig.flow(end=abi.FLOW_UNCONFIRMED)]
    rig.rounds(0)
    kept = rig.telemetry.outputs["json"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(10)
        ipfix = IpfixSettings(collector.getsockname(), 60.0, 1, 32_473)
        rig.telemetry.configure(replace(rig.settings, ipfix=ipfix, entries_max=99, series_max=7))
        rig.source.records = [rig.flow(end=abi.FLOW_UNCONFIRMED)]
        rig.rounds(0)
        assert [collector.recv(2_048)[16:18] for _ in range(2)] == [b"\x00\x02", b"\x01\x00"]
    assert rig.telemetry.outputs["json"] is kept
    assert (rig.telemetry.join.entries_max, rig.telemetry.metrics.sums["flows"].series_max) == (99, 7)
    rig.telemetry.configure(FlowSettings())
    rig.rounds(0)
    assert rig.telemetry.outputs == {}
    assert len(rig.written()) == 2


def test_file_that_was_moved_is_opened_again(rig: Rig) -> None:
    rig.source.records = [rig.flow(end=abi.FLOW_UNCONFIRMED)]
    rig.rounds(0)
    rig.json_file.rename(rig.folder / "moved")
    rig.telemetry.reopen()
    rig.source.records = [rig.flow(end=abi.FLOW_UNCONFIRMED)]
    rig.rounds(0)
    assert len(rig.written()) == 1


def test_what_is_held_is_written_when_it_stops(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.source.records = [rig.flow()]
    rig.write(line(), line(client="198.51.100.9:1"))
    rig.telemetry.start()
    until(lambda: rig.value("dpu_flow_joins_held", half="request") == 1, "requests are held")
    rig.telemetry.stop()
    assert [(found["end"], found["requests"]) for found in rig.written()] == [("ended", 1), ("requests_only", 1)]
    assert not (tmp_path / "flows.sock").exists()


def test_fault_of_ours_is_counted_and_the_next_flows_have_their_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(service, "seen_of", None)
        rig.source.records = [rig.flow(), rig.flow()]
        rig.telemetry.start()
        until(lambda: rig.value("dpu_flow_records_lost_total", where="fault") == 2, "the fault is counted")
    rig.source.records = [rig.flow()]
    until(lambda: rig.value("dpu_flow_joins_held", half="flow") == 1, "the next flow is held")
    rig.telemetry.stop()
    assert len(rig.written()) == 1


def test_without_a_journal_records_have_the_packet_stage_s_half(tmp_path: Path) -> None:
    source = FakeSource()
    settings = FlowSettings(json_file=tmp_path / "flows.jsonl")
    telemetry = FlowTelemetry(source, None, settings, CollectorRegistry())
    source.records = [record()]
    telemetry.stop()
    (found,) = [json.loads(row) for row in (tmp_path / "flows.jsonl").read_text().splitlines()]
    assert (found["packets_in"], found["requests"]) == (10, 0)


FLOWS = """\
telemetry:
  flows:
    ipfix: { collector: "[2001:db8::50]:4739", template_refresh: 30s, observation_domain: 7 }
    json_file: logs/flows.jsonl
    active_timeout: 500ms
    entries_max: 100
    series_max: 20
"""


def test_settings_are_those_of_the_desired_state() -> None:
    wanted = desired(TEXT + FLOWS).telemetry.flows
    assert FlowSettings.of(wanted, "/etc/dpu") == FlowSettings(
        ipfix=IpfixSettings(("2001:db8::50", 4739), 30.0, 7, 32_473),
        json_file=Path("/etc/dpu/logs/flows.jsonl"),
        active_timeout_s=0.5,
        entries_max=100,
        series_max=20,
    )
    assert FlowSettings.of(desired().telemetry.flows, "/etc/dpu") == FlowSettings()


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('"[2001:db8::50]:4739"', "collector.example:4739", "telemetry.flows.ipfix.collector"),
        ("domain: 7", "domain: -1", "telemetry.flows.ipfix.observation_domain"),
        ("500ms", "0s", "telemetry.flows.active_timeout"),
        ("100\n", "8\n", "telemetry.flows.entries_max"),
        ("series_max: 20", "series_max: 1", "telemetry.flows.series_max"),
        ("entries_max", "entries", "telemetry.flows.entries"),
    ],
)
def test_settings_out_of_bounds_are_refused(old: str, new: str, path: str) -> None:
    assert [problem.path for problem in problems(TEXT + FLOWS.replace(old, new))] == [path]


def test_settings_in_the_guide_are_valid() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert problems(TEXT + block) == []
