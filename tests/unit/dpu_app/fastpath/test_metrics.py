"""Native counters as Prometheus families."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from dpu_app.fastpath.metrics import NativeCollector
from tests.contract.fake_native import FakeNative

FAMILIES: list[object] = [
    {
        "name": "dpu_requests",
        "type": "counter",
        "help": "Requests by outcome",
        "labels": ["tenant", "outcome"],
        "samples": [{"labels": ["alpha", "answered"], "value": 7}, {"labels": ["beta", "refused"], "value": 2}],
    },
    {
        "name": "dpu_requests_in_flight",
        "type": "gauge",
        "help": "Now",
        "labels": [],
        "samples": [{"labels": [], "value": 3}],
    },
    {
        "name": "dpu_ttft_seconds",
        "type": "histogram",
        "help": "Time to first token",
        "labels": ["arm"],
        "samples": [{"labels": ["stable"], "buckets": [[0.005, 1], [0.1, 4], [None, 5]], "sum": 1.5, "count": 5}],
    },
]


def registry_of(families: list[object]) -> CollectorRegistry:
    native = FakeNative()
    native.families = families
    registry = CollectorRegistry()
    registry.register(NativeCollector(native))
    return registry


def test_counter_gets_total_and_its_labels() -> None:
    labels = {"tenant": "beta", "outcome": "refused"}
    assert registry_of(FAMILIES).get_sample_value("dpu_requests_total", labels) == 2


def test_gauge_without_labels_is_one_value() -> None:
    assert registry_of(FAMILIES).get_sample_value("dpu_requests_in_flight") == 3


def test_histogram_has_buckets_sum_and_count() -> None:
    text = generate_latest(registry_of(FAMILIES)).decode()
    for line in (
        'dpu_ttft_seconds_bucket{arm="stable",le="0.005"} 1.0',
        'dpu_ttft_seconds_bucket{arm="stable",le="0.1"} 4.0',
        'dpu_ttft_seconds_bucket{arm="stable",le="+Inf"} 5.0',
        'dpu_ttft_seconds_count{arm="stable"} 5.0',
        'dpu_ttft_seconds_sum{arm="stable"} 1.5',
    ):
        assert line + "\n" in text


@pytest.mark.parametrize("buckets", [[], [[0.1, 4]], [[0.1, 4], ["+Inf", 5]], [[0.1, 4], [math.inf, 5]]])
def test_last_bucket_is_always_infinity(buckets: list[object]) -> None:
    sample = {"labels": ["a"], "buckets": buckets, "sum": 1, "count": 5}
    family = {"name": "h", "type": "histogram", "help": "h", "labels": ["arm"], "samples": [sample]}
    assert registry_of([family]).get_sample_value("h_bucket", {"arm": "a", "le": "+Inf"}) == 5


def test_counters_that_cannot_be_read_are_counted_and_cost_nothing_else() -> None:
    registry = registry_of([{"name": "broken"}])
    assert registry.get_sample_value("dpu_fastpath_scrape_failures_total") == 1
    assert registry.get_sample_value("dpu_fastpath_scrape_failures_total") == 2
