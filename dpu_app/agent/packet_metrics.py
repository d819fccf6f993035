"""What the XDP target says of itself: memory of its maps, events that are no reasons, and where it hangs."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dpu_app.agent.flows import XdpFlows


class PacketMetrics(Collector):
    """Read from the kernel at every scrape."""

    def __init__(self, flows: XdpFlows) -> None:
        self.flows = flows

    def collect(self) -> Iterator[Metric]:
        """The families."""
        memory = GaugeMetricFamily(
            "dpu_packet_map_bytes", "Memory that a map of the packet stage takes", labels=["map"]
        )
        for name, size in self.flows.xdp.memory().items():
            memory.add_metric([name], size)
        yield memory
        events = CounterMetricFamily(
            "dpu_packet_events", "What the packet stage counts and is no reason", labels=["event"]
        )
        for name, count in self.flows.events().items():
            events.add_metric([name], count)
        yield events
        attached = GaugeMetricFamily("dpu_packet_attached", "1 where XDP is attached, by mode", labels=["mode"])
        if self.flows.xdp.mode:
            attached.add_metric([self.flows.xdp.mode], 1)
        yield attached
