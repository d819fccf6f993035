"""What Prometheus sees of packets and flows: sums with a bounded number of label sets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dpu_app.telemetry.flow_source import FlowSource
from dpu_app.telemetry.flows.record import Flow, FlowEnd, reason_label
from dpu_app.telemetry.flows.work import OTHER

# Name, help, labels. One table of sums for each.
SUMS = {
    "flows": ("dpu_flows", "Flows that have ended, by how", ("service", "group", "end")),
    "packets": ("dpu_flow_packets", "Packets of flows", ("service", "group", "direction")),
    "bytes": ("dpu_flow_bytes", "Bytes of frames of flows", ("service", "group", "direction")),
    "requests": ("dpu_flow_requests", "Requests that flows carried", ("service", "arm", "outcome")),
    "tokens": ("dpu_flow_tokens", "Tokens that flows carried", ("service", "arm", "direction")),
}


class Sums:
    """Counters of one metric by label set, so many at most; what is beyond is one set of `_other`."""

    def __init__(self, labels: int, series_max: int) -> None:
        self.other = (OTHER,) * labels
        self.series_max = series_max
        self.values: dict[tuple[str, ...], int] = {}
        self.capped = 0
        """Times that something was counted under `_other`."""

    def add(self, labels: tuple[str, ...], value: int) -> None:
        """Counts."""
        if labels not in self.values and len(self.values) >= self.series_max:
            self.capped += 1
            labels = self.other
        self.values[labels] = self.values.get(labels, 0) + value


class FlowMetrics(Collector):
    """Collected by any thread, written to by one. `lost` says how many records were lost, by where."""

    def __init__(self, source: FlowSource, series_max: int, lost: Callable[[], dict[str, int]]) -> None:
        self.source = source
        self.lost = lost
        self.lock = threading.Lock()
        self.sums = {name: Sums(len(labels), series_max) for name, (_, _, labels) in SUMS.items()}
        self.held: dict[str, int] = {}
        """Halves of records that wait for the other, by which."""
        self.held_max = 0
        self.evicted = 0
        self.not_reported = 0

    def limit(self, series_max: int) -> None:
        """Another number of label sets; those that are there stay."""
        with self.lock:
            for sums in self.sums.values():
                sums.series_max = series_max

    def flows(self, flows: Sequence[Flow]) -> None:
        """Counts records."""
        with self.lock:
            for flow in flows:
                self.count(flow)

    def count(self, flow: Flow) -> None:
        """One record."""
        seen, sums = flow.seen, self.sums
        where = (seen.service, seen.group)
        if seen.end is not FlowEnd.ACTIVE:
            sums["flows"].add((*where, seen.end.label), 1)
        if seen.end is not FlowEnd.REQUESTS_ONLY:
            for name, both in (
                ("packets", (seen.packets_in, seen.packets_out)),
                ("bytes", (seen.bytes_in, seen.bytes_out)),
            ):
                sums[name].add((*where, "in"), both[0])
                sums[name].add((*where, "out"), both[1])
        for arm in flow.done.arms:
            sums["requests"].add((seen.service, arm.arm, arm.outcome), arm.requests)
            sums["tokens"].add((seen.service, arm.arm, "in"), arm.tokens_in)
            sums["tokens"].add((seen.service, arm.arm, "out"), arm.tokens_out)

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask the packet stage."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Everything as it is now."""
        yield from self.packets()
        yield from self.table()
        yield by("dpu_flow_records_lost", "Flow records, or lines of the journal, that were lost", "where", self.lost())
        with self.lock:
            yield from self.summed()

    def packets(self) -> Iterable[Metric]:
        """The packet stage's own counters."""
        counters = sorted(self.source.counters().items())
        packets = {reason_label(reason): frames for reason, (frames, _) in counters}
        yield by("dpu_packets", "Frames that came in, by the reason of their verdict", "reason", packets)
        size = {reason_label(reason): frame_bytes for reason, (_, frame_bytes) in counters}
        yield by("dpu_packet_bytes", "Bytes of these frames", "reason", size)

    def table(self) -> Iterable[Metric]:
        """The packet stage's table of flows."""
        table = self.source.table()
        yield GaugeMetricFamily("dpu_flow_table_entries", "Flows in the packet stage's table", table.entries)
        yield GaugeMetricFamily("dpu_flow_table_entries_max", "Room in that table", table.entries_max)

    def summed(self) -> Iterable[Metric]:
        """What was counted of records. Called with the lock held."""
        for name, (metric, text, labels) in SUMS.items():
            family = CounterMetricFamily(metric, text, labels=labels)
            for values, value in sorted(self.sums[name].values.items()):
                family.add_metric(values, value)
            yield family
        capped = {SUMS[name][0]: sums.capped for name, sums in self.sums.items()}
        yield by("dpu_flow_series_capped", "Times that a label set beyond series_max was counted", "metric", capped)
        held = GaugeMetricFamily("dpu_flow_joins_held", "Halves of records waiting for the other", labels=["half"])
        for half, count in self.held.items():
            held.add_metric([half], count)
        yield held
        yield GaugeMetricFamily("dpu_flow_joins_held_max", "Room for them, telemetry.flows.entries_max", self.held_max)
        yield CounterMetricFamily(
            "dpu_flow_joins_evicted", "Records that left as they were because there was no room", self.evicted
        )
        yield CounterMetricFamily(
            "dpu_flow_active_skipped",
            "Times that a flow that goes on had no record for want of room",
            self.not_reported,
        )


def by(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    """A counter with one label."""
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family
