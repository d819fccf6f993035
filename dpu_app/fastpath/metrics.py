"""The native counters as Prometheus families, read anew at every scrape.

The native side gives a JSON list of `{"name", "type": "counter"|"gauge"|"histogram", "help", "labels": [name...],
"samples": [{"labels": [value...], "value": x} | {"labels", "buckets": [[le, cumulative]...], "sum", "count"}]}`;
counter names come without `_total`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from dpu_app.fastpath.protocol import Native

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="metrics")
SIMPLE: dict[str, type[CounterMetricFamily] | type[GaugeMetricFamily]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
}


class NativeCollector(Collector):
    """Register this once; a scrape that fails is logged and counted and costs no other metric."""

    def __init__(self, native: Native) -> None:
        self.native = native
        self.failures = 0

    def collect(self) -> Iterator[Metric]:
        """The families of this moment."""
        families: list[Metric] = []
        try:
            families = [family(item) for item in json.loads(self.native.metrics())]
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            self.failures += 1
            log.error("native metrics cannot be read", why=str(error))
        yield from families
        text = "Scrapes on which the native counters could not be read"
        yield CounterMetricFamily("dpu_fastpath_scrape_failures", text, value=self.failures)

    def describe(self) -> list[Metric]:
        """Nothing is asked of the native side at registration."""
        return []


def family(item: dict[str, Any]) -> Metric:
    """One family. Raises KeyError, TypeError or ValueError where it is not as described above."""
    name, text, labels = item["name"], item["help"], item["labels"]
    if item["type"] == "histogram":
        histogram = HistogramMetricFamily(name, text, labels=labels)
        for sample in item["samples"]:
            histogram.add_metric(sample["labels"], buckets(sample), sample["sum"])
        return histogram
    simple = SIMPLE[item["type"]](name, text, labels=labels)
    for sample in item["samples"]:
        simple.add_metric(sample["labels"], sample["value"])
    return simple


def buckets(sample: dict[str, Any]) -> list[tuple[str, float]]:
    """Upper bounds as Prometheus writes them; the last one is always +Inf."""
    bounds = [(bound(le), float(count)) for le, count in sample["buckets"]]
    return bounds if bounds and bounds[-1][0] == "+Inf" else [*bounds, ("+Inf", float(sample["count"]))]


def bound(le: float | str | None) -> str:
    """JSON has no infinity: null and "+Inf" stand for it."""
    value = math.inf if le is None else float(le)
    return "+Inf" if math.isinf(value) else repr(value)
