"""What the agent counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from dpu_app.model.problem import Problem
from dpu_app.model.status import Status, TargetStatus
from dpu_app.telemetry.agent_metrics import AgentMetrics


def test_bad_file_is_counted_and_its_problems_shown() -> None:
    registry = CollectorRegistry()
    metrics = AgentMetrics(registry)
    metrics.config_read(3)
    metrics.config_read(0)
    assert registry.get_sample_value("dpu_agent_config_errors_total") == 1
    assert registry.get_sample_value("dpu_agent_config_problems") == 0


def test_status_becomes_gauges() -> None:
    registry = CollectorRegistry()
    AgentMetrics(registry).status(Status(5, 4, 9, targets=(TargetStatus("fastpath", True, False, 9),)))
    values = {
        name: registry.get_sample_value(name)
        for name in (
            "dpu_agent_revision_accepted",
            "dpu_agent_revision_programmed",
            "dpu_agent_epoch",
            "dpu_agent_degraded",
        )
    }
    assert list(values.values()) == [5, 4, 9, 1]
    assert registry.get_sample_value("dpu_agent_target_in_sync", {"target": "fastpath"}) == 1
    assert registry.get_sample_value("dpu_agent_target_ready", {"target": "fastpath"}) == 0


def test_applies_are_counted_by_result() -> None:
    registry = CollectorRegistry()
    AgentMetrics(registry).applied("fastpath", "refused", 0.2)
    labels = {"target": "fastpath", "result": "refused"}
    assert registry.get_sample_value("dpu_agent_applies_total", labels) == 1
    assert registry.get_sample_value("dpu_agent_apply_duration_seconds_count", {"target": "fastpath"}) == 1


def test_reason_of_a_status_names_what_is_wrong_most() -> None:
    late = (TargetStatus("fastpath", detail="nobody answers"),)
    assert Status().reason == "nothing is programmed"
    assert Status(1, 1, 1, targets=late).reason == "fastpath: nobody answers"
    assert Status(1, 1, 1, targets=late, pending="waiting").reason == "waiting"
    assert Status(1, 1, 1, (Problem("a", "b"),), "waiting", late).reason == "a (fix: b)"
    assert Status(1, 1, 1, targets=(TargetStatus("fastpath", True),)).reason == ""
