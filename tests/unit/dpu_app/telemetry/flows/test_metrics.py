"""Metrics of packets and flows: sums that add up, label sets that are bounded."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from dpu_app.telemetry.flows.metrics import SUMS, FlowMetrics
from dpu_app.telemetry.flows.record import ArmWork, Done, Flow, FlowEnd
from tests.unit.dpu_app.telemetry.flows.samples import FakeSource, flow, seen

PAGE = Path(__file__).resolve().parents[5] / "docs/guide/flows.md"


def metrics(series_max: int = 100) -> tuple[FlowMetrics, CollectorRegistry]:
    source = FakeSource()
    source.reasons = {0: (90, 9_000), 40: (10, 600), 127: (1, 60)}
    found = FlowMetrics(source, series_max, lambda: {"ring": 4, "ipfix": 0})
    registry = CollectorRegistry()
    registry.register(found)
    return found, registry


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_packets_are_those_of_the_packet_stage_by_reason() -> None:
    _, registry = metrics()
    assert value(registry, "dpu_packets_total", reason="none") == 90
    assert value(registry, "dpu_packet_bytes_total", reason="acl_denied") == 600
    assert value(registry, "dpu_packets_total", reason="127") == 1
    assert value(registry, "dpu_flow_table_entries") == 3
    assert value(registry, "dpu_flow_records_lost_total", where="ring") == 4


def test_flow_is_counted_by_service_group_end_and_arm() -> None:
    found, registry = metrics()
    found.flows([flow(), flow(end=FlowEnd.ACTIVE), Flow(seen(end=FlowEnd.IDLE))])
    where = {"service": "chat", "group": "blue"}
    assert value(registry, "dpu_flows_total", **where, end="ended") == 1
    assert value(registry, "dpu_flows_total", **where, end="idle") == 1
    assert value(registry, "dpu_flows_total", **where, end="active") is None
    assert value(registry, "dpu_flow_packets_total", **where, direction="in") == 30
    assert value(registry, "dpu_flow_bytes_total", **where, direction="out") == 27_000
    arm = {"service": "chat", "arm": "stable"}
    assert value(registry, "dpu_flow_requests_total", **arm, outcome="answered") == 2
    assert value(registry, "dpu_flow_tokens_total", **arm, direction="in") == 24
    assert value(registry, "dpu_flow_tokens_total", **arm, direction="out") == 60


def test_label_sets_beyond_the_bound_are_one_and_counted() -> None:
    found, registry = metrics(series_max=2)
    for service in ("a", "b", "c", "d", "a"):
        found.flows([Flow(seen(service=service))])
    assert value(registry, "dpu_flows_total", service="a", group="blue", end="ended") == 2
    assert value(registry, "dpu_flows_total", service="_other", group="_other", end="_other") == 2
    assert value(registry, "dpu_flow_series_capped_total", metric="dpu_flows") == 2
    found.limit(10)
    found.flows([Flow(seen(service="e"))])
    assert value(registry, "dpu_flows_total", service="e", group="blue", end="ended") == 1


NAMES = st.sampled_from(["a", "b", "c", "d", ""])


@given(st.lists(st.tuples(NAMES, NAMES, st.integers(0, 9)), max_size=40), st.integers(1, 6))
def test_sums_add_up_whatever_the_bound_and_it_is_kept(wanted: list[tuple[str, str, int]], series_max: int) -> None:
    found, _ = metrics(series_max)
    found.flows([
        Flow(seen(service=service, packets_in=number), Done(arms=(ArmWork(arm, "answered", 1, number, 2),)))
        for service, arm, number in wanted
    ])  # fmt: skip
    totals = {name: sum(sums.values.values()) for name, sums in found.sums.items()}
    tokens = sum(number for _, _, number in wanted)
    assert totals["flows"] == totals["requests"] == len(wanted)
    assert totals["tokens"] == tokens + 2 * len(wanted)
    assert totals["packets"] == tokens + 8 * len(wanted)
    assert all(len(sums.values) <= series_max + 1 for sums in found.sums.values())


def test_metrics_are_those_that_the_guide_lists() -> None:
    found, registry = metrics()
    found.flows([flow()])
    found.held = {"flow": 1, "request": 2}
    listed: dict[str, set[str]] = {}
    for cell in re.findall(r"^\| (`dpu_.*?`) \|", PAGE.read_text(), flags=re.MULTILINE):
        for name, labels in re.findall(r"`(\w+)(?:\{([\w,]+)\})?`", cell):
            listed[name] = set(labels.split(",")) - {""}
    written = {sample.name: set(sample.labels) for metric in registry.collect() for sample in metric.samples}
    assert {name: labels for name, labels in written.items() if not name.endswith("_created")} == listed
    assert {f"{metric}_total" for metric, _, _ in SUMS.values()} <= listed.keys()


def test_page_of_metrics_can_be_written_while_flows_are_counted() -> None:
    found, registry = metrics()
    found.flows([flow()])
    page = generate_latest(registry).decode()
    assert 'dpu_flow_tokens_total{arm="stable",direction="in",service="chat"} 12.0' in page
