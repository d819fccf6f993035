"""What P4Runtime says of itself: controllers of XDP, sessions with a device, and every bound that was met."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dpu_app.p4rt.client import Client
from dpu_app.p4rt.service import LIMITS, Service


class P4RuntimeMetrics(Collector):
    """Read at every scrape; a side that is not there has no families."""

    def __init__(self, service: Service | None, client: Client | None) -> None:
        self.service = service
        self.client = client

    def collect(self) -> Iterator[Metric]:
        """The families."""
        if self.service is not None:
            yield from self.served(self.service)
        if self.client is not None:
            yield from self.used(self.client)

    def served(self, service: Service) -> Iterator[Metric]:
        """The server in front of XDP."""
        controllers = GaugeMetricFamily("dpu_p4runtime_controllers", "Controllers that are connected")
        controllers.add_metric([], service.streams)
        yield controllers
        hits = CounterMetricFamily("dpu_p4runtime_limit_hits", "What met a bound of the server", labels=["limit"])
        for limit in LIMITS:
            hits.add_metric([limit], service.hits[limit])
        yield hits

    def used(self, client: Client) -> Iterator[Metric]:
        """The device that the agent programs."""
        up = GaugeMetricFamily("dpu_p4runtime_device_up", "1 while there is a session with the P4Runtime device")
        up.add_metric([], client.is_up)
        yield up
        sessions = CounterMetricFamily("dpu_p4runtime_device_sessions", "Sessions with the P4Runtime device")
        sessions.add_metric([], client.session)
        yield sessions
        lost = CounterMetricFamily("dpu_p4runtime_device_notices_lost", "Packets and idle notices that found no room")
        lost.add_metric([], client.inbox.lost)
        yield lost
