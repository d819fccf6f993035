"""Slots, health and metrics of a worker whose transport is scripted."""

from __future__ import annotations

import json
import queue
import urllib.error
import urllib.request
from typing import Any

from prometheus_client import CollectorRegistry

from host_agent.worker.engines.base import Job, Model, Sink
from host_agent.worker.health import HealthServer
from host_agent.worker.metrics import EngineMetrics, NativeCollector, text_of
from host_agent.worker.pool import Pool

from .scripted import ScriptedJob


class Jobs:
    """A transport that has jobs in a queue."""

    def __init__(self) -> None:
        self.queue: queue.Queue[Job] = queue.Queue()

    def next(self, timeout_ms: int) -> Job | None:
        try:
            return self.queue.get(timeout=0.05)
        except queue.Empty:
            return None


class Fragile:
    """An engine that breaks when the model is called `broken`."""

    def models(self) -> list[Model]:
        return []

    def generate(self, job: Job, sink: Sink) -> None:
        if job.model == "broken":
            raise KeyError("secret prompt")
        sink.chunk({"choices": [{"index": 0, "text": "x", "finish_reason": "stop"}]})

    def close(self) -> None:
        pass


def test_bug_in_an_engine_costs_one_request_and_not_the_slot() -> None:
    jobs, registry = Jobs(), CollectorRegistry()
    pool = Pool(jobs, Fragile(), 1, EngineMetrics(registry))
    pool.start()
    broken, sound = ScriptedJob(model="broken"), ScriptedJob({"stream": True})
    for job in (broken, sound):
        jobs.queue.put(job)
        assert job.ended.wait(5)
    pool.close(5)
    assert broken.ending == ("fail", {"reason": 699, "detail": "KeyError", "retry": True})
    assert sound.ending[0] == "end"
    assert 'dpu_worker_engine_requests_total{model="broken",outcome="failed"} 1.0' in text_of(registry).decode()
    assert not any(thread.is_alive() for thread in pool.threads)


def fetch(address: tuple[str, int], path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://{address[0]}:{address[1]}{path}", timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_health_says_ready_only_when_it_is() -> None:
    ready = [False]

    def state() -> tuple[bool, dict[str, Any]]:
        return ready[0], {"ready": ready[0]}

    server = HealthServer(("127.0.0.1", 0), live=lambda: (True, {}), ready=state, metrics=lambda: b"x 1\n")
    try:
        assert fetch(server.address, "/livez")[0] == 200
        assert fetch(server.address, "/readyz") == (503, b'{"ready": false}\n')
        ready[0] = True
        assert fetch(server.address, "/readyz?verbose")[0] == 200
        assert fetch(server.address, "/metrics") == (200, b"x 1\n")
        assert fetch(server.address, "/other")[0] == 404
    finally:
        server.close()


def test_figures_of_the_rust_side_become_prometheus_text() -> None:
    families = [
        {
            "name": "dpu_worker_frames",
            "type": "counter",
            "help": "h",
            "labels": ["kind"],
            "samples": [{"labels": ["PING"], "value": 3}],
        },
        {
            "name": "dpu_worker_running",
            "type": "gauge",
            "help": "h",
            "labels": [],
            "samples": [{"labels": [], "value": 2}],
        },
        {
            "name": "dpu_worker_seconds",
            "type": "histogram",
            "help": "h",
            "labels": [],
            "samples": [{"labels": [], "buckets": [[0.5, 1], ["+Inf", 2]], "sum": 3.5, "count": 2}],
        },
    ]
    registry = CollectorRegistry()
    registry.register(NativeCollector(lambda: json.dumps(families)))
    text = text_of(registry).decode()
    assert 'dpu_worker_frames_total{kind="PING"} 3.0' in text
    assert "dpu_worker_running 2.0" in text
    assert 'dpu_worker_seconds_bucket{le="+Inf"} 2.0' in text and "dpu_worker_seconds_sum 3.5" in text
