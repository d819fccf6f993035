"""What a worker counts: the engine's side here, the transport's side read from Rust at each scrape."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from abi.gen.worker_frame import MODELS_MAX
from host_agent.worker.answer import Answer, Outcome

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

OTHER = "_other"


class EngineMetrics:
    """Counted by the slots. The answers of echo never come to Python: it counts under the same names in Rust."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.models: set[str] = set()
        self.requests = Counter(
            "dpu_worker_engine_requests", "Requests that a slot took", ["model", "outcome"], registry=registry
        )
        self.tokens = Counter(
            "dpu_worker_engine_tokens",
            "Tokens by kind: prompt, cached, completion, wasted",
            ["kind"],
            registry=registry,
        )
        self.first_token = Histogram(
            "dpu_worker_engine_first_token_seconds", "Slot taken to first token", buckets=SECONDS, registry=registry
        )
        self.cancel = Histogram(
            "dpu_worker_engine_cancel_seconds", "CANCEL seen to slot free", buckets=SECONDS, registry=registry
        )

    def model_label(self, model: str) -> str:
        """The model's name, or `_other` once there are as many as a worker can announce: names come from fast paths."""
        if model in self.models or len(self.models) < MODELS_MAX:
            self.models.add(model)
            return model
        return OTHER

    def count(self, answer: Answer, outcome: Outcome) -> None:
        """Takes one ended answer."""
        self.requests.labels(self.model_label(answer.job.model), outcome.value).inc()
        self.tokens.labels("prompt").inc(answer.usage.prompt_tokens)
        self.tokens.labels("cached").inc(answer.usage.cached_tokens)
        self.tokens.labels("completion").inc(answer.tokens_sent)
        self.tokens.labels("wasted").inc(answer.tokens_wasted)
        if answer.first_token is not None:
            self.first_token.observe(answer.first_token - answer.started)
        if answer.cancel_seen is not None:
            self.cancel.observe(answer.clock() - answer.cancel_seen)


class NativeCollector(Collector):
    """Turns the JSON of the Rust side into Prometheus families, at scrape time."""

    def __init__(self, read: Callable[[], str]) -> None:
        self.read = read

    def collect(self) -> Iterable[Metric]:
        """Every family, as it is now."""
        return [family(item) for item in json.loads(self.read())]


def family(item: dict[str, Any]) -> Metric:
    """One family. Counter names come without `_total`."""
    name, text, labels = item["name"], item["help"], item["labels"]
    if item["type"] == "histogram":
        histogram = HistogramMetricFamily(name, text, labels=labels)
        for sample in item["samples"]:
            buckets = [(le if isinstance(le, str) else f"{le:g}", count) for le, count in sample["buckets"]]
            histogram.add_metric(sample["labels"], buckets, sample["sum"])
        return histogram
    kind = CounterMetricFamily if item["type"] == "counter" else GaugeMetricFamily
    values = kind(name, text, labels=labels)
    for sample in item["samples"]:
        values.add_metric(sample["labels"], sample["value"])
    return values


def text_of(registry: CollectorRegistry) -> bytes:
    """The Prometheus text format."""
    return generate_latest(registry)
