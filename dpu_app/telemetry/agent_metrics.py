"""What the agent counts about itself."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from dpu_app.model.status import Status

APPLY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class AgentMetrics:
    """Observer of the reconciler; all names begin with dpu_agent_."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.config_errors = Counter(
            "dpu_agent_config_errors", "Configuration files that were refused", registry=registry
        )
        self.config_problems = Gauge(
            "dpu_agent_config_problems", "Problems in the configuration file as it was read last", registry=registry
        )
        self.accepted = Gauge("dpu_agent_revision_accepted", "Revision that should be programmed", registry=registry)
        self.programmed = Gauge("dpu_agent_revision_programmed", "Revision that is programmed", registry=registry)
        self.epoch = Gauge("dpu_agent_epoch", "Epoch that is programmed", registry=registry)
        self.degraded = Gauge(
            "dpu_agent_degraded", "1 where the accepted revision is not what all targets have", registry=registry
        )
        self.in_sync = Gauge(
            "dpu_agent_target_in_sync", "1 where the target has its plan", ["target"], registry=registry
        )
        self.ready = Gauge(
            "dpu_agent_target_ready", "1 where the target can do its work", ["target"], registry=registry
        )
        self.applies = Counter(
            "dpu_agent_applies", "Plans given to a target, by result", ["target", "result"], registry=registry
        )
        self.apply_seconds = Histogram(
            "dpu_agent_apply_duration_seconds",
            "Time to apply a plan and read it back",
            ["target"],
            buckets=APPLY_BUCKETS_S,
            registry=registry,
        )

    def applied(self, target: str, result: str, duration_s: float) -> None:
        """An apply ended."""
        self.applies.labels(target, result).inc()
        self.apply_seconds.labels(target).observe(duration_s)

    def status(self, status: Status) -> None:
        """Something was seen."""
        self.accepted.set(status.accepted)
        self.programmed.set(status.programmed)
        self.epoch.set(status.epoch)
        self.degraded.set(status.accepted != status.programmed or not status.in_sync)
        for target in status.targets:
            self.in_sync.labels(target.name).set(target.in_sync)
            self.ready.labels(target.name).set(target.ready)

    def config_read(self, problems: int) -> None:
        """The configuration file was read."""
        self.config_problems.set(problems)
        if problems:
            self.config_errors.inc()
