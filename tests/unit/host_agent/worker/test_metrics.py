"""What a worker counts about its engine: bounded, whatever names requests bring."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from abi.gen.worker_frame import MODELS_MAX
from host_agent.worker.answer import Answer, Outcome
from host_agent.worker.metrics import EngineMetrics

from .scripted import ScriptedJob


def test_models_beyond_what_a_worker_can_announce_are_counted_under_other() -> None:
    registry = CollectorRegistry()
    metrics = EngineMetrics(registry)
    for number in range(MODELS_MAX + 3):
        metrics.count(Answer(ScriptedJob({}, model=f"m{number}")), Outcome.FAILED)
    metrics.count(Answer(ScriptedJob({}, model="m0")), Outcome.FAILED)

    def counted(model: str) -> float | None:
        labels = {"model": model, "outcome": "failed"}
        return registry.get_sample_value("dpu_worker_engine_requests_total", labels)

    assert (counted("m0"), counted("_other"), counted(f"m{MODELS_MAX}")) == (2, 3, None)
