"""Slots: threads that take jobs from the transport and have the engine answer them, one job a thread at a time."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from abi.gen.reasons import Reason
from host_agent.worker.answer import Answer, Outcome
from host_agent.worker.engines.base import Engine, EngineError, Job
from host_agent.worker.metrics import EngineMetrics

NEXT_TIMEOUT_MS = 1000
"""How long a free slot sleeps before it looks whether the process ends."""

log = logging.getLogger(__name__)


class Jobs(Protocol):
    """Where jobs come from (`dpu_fastpath.HostWorker`)."""

    def next(self, timeout_ms: int) -> Job | None:
        """The next job, or None when there was none in time."""


class Pool:
    """The slots of one worker."""

    def __init__(self, jobs: Jobs, engine: Engine, slots: int, metrics: EngineMetrics) -> None:
        self.jobs = jobs
        self.engine = engine
        self.metrics = metrics
        self.closing = threading.Event()
        self.threads = [threading.Thread(target=self.serve, name=f"slot-{i}", daemon=True) for i in range(slots)]

    def start(self) -> None:
        """Lets the slots take jobs."""
        for thread in self.threads:
            thread.start()

    def close(self, timeout_s: float) -> None:
        """Waits for running jobs and ends the threads; those that still run then are left to the process's end."""
        self.closing.set()
        for thread in self.threads:
            thread.join(timeout_s)

    def serve(self) -> None:
        """One slot's life."""
        while not self.closing.is_set():
            job = self.jobs.next(NEXT_TIMEOUT_MS)
            if job is not None:
                self.answer(job)

    def answer(self, job: Job) -> Outcome:
        """Answers one job. Whatever the engine does, the job is ended exactly once."""
        answer = Answer(job)
        try:
            self.engine.generate(job, answer)
            outcome = answer.finish()
        except EngineError as error:
            log.warning("request %s: %s: %s", job.request_id, error.reason.name.lower(), error.detail)
            outcome = answer.fail(error)
        except Exception as error:
            # The boundary to engines of other people: a bug there must cost one request, not the slot.
            log.error("request %s: the engine raised %s", job.request_id, type(error).__name__)
            outcome = answer.fail(EngineError(Reason.INTERNAL, type(error).__name__, retry=True))
        self.metrics.count(answer, outcome)
        return outcome
