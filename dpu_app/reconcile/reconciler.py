"""Accepted desired state in, programmed targets out; then reads back every second and repairs what differs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from dpu_app.compile.plan import compile_plan
from dpu_app.model.desired import Desired
from dpu_app.model.problem import Problem
from dpu_app.model.status import Status, TargetStatus
from dpu_app.reconcile.backoff import Backoff
from dpu_app.reconcile.observer import Observer
from dpu_app.reconcile.rollout import Rollout
from dpu_app.store.disk import StoreError
from dpu_app.store.revisions import Store
from dpu_app.targets.base import Target, TargetError, TargetRefused, TargetUnavailable

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="reconcile")
INTERVAL_S = 1.0


@dataclass(frozen=True)
class Accepted:
    """A checked desired state. `locate` finds the place in its file that a target's problem is about."""

    revision: int
    desired: Desired
    folder: str
    locate: Callable[[Problem], Problem]


class Reconciler:
    """One thread (`run`, or whoever calls `step`) talks to the targets; `submit` may be called from any."""

    def __init__(
        self, store: Store, targets: Sequence[Target], observer: Observer, interval_s: float = INTERVAL_S
    ) -> None:
        self.store = store
        self.targets = tuple(targets)
        self.rollout = Rollout(self.targets, observer)
        self.observer = observer
        self.interval_s = interval_s
        self.good = store.good
        """What all targets should have until something newer is programmed."""
        self.epoch_highest = self.good.epoch
        self.next: Accepted | None = None
        self.attempts = Backoff()
        self.repairs = {target.name: Backoff() for target in self.targets}
        self.status = Status(
            accepted=self.good.revision,
            programmed=self.good.revision,
            epoch=self.good.epoch,
            targets=tuple(TargetStatus(target.name) for target in self.targets),
        )
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = False

    def submit(self, accepted: Accepted) -> None:
        """This should be programmed from now on; replaces what was not programmed yet."""
        with self._lock:
            self.next = accepted
            self.attempts.reset()
        self._wake.set()

    def run(self) -> None:
        """Works until `stop`."""
        while not self._stop:
            self._wake.clear()
            self.step_safely()
            self._wake.wait(self.interval_s)

    def step_safely(self) -> None:
        """One round. A fault of ours in it must not end the loop that repairs targets: said aloud, and tried again."""
        try:
            self.step(time.monotonic())
        except Exception as error:
            log.exception("a fault in the reconciler")
            self.publish(replace(self.status, pending=f"internal: {error!r}"))

    def stop(self) -> None:
        """Ends `run` after the step that it is in."""
        self._stop = True
        self._wake.set()

    def step(self, now: float) -> None:
        """One round: try what is accepted and not programmed, then repair what differs. `now` is monotonic seconds."""
        with self._lock:
            accepted = self.next if self.attempts.is_due(now) else None
        if accepted is not None:
            self.attempt(accepted, now)
        seen = tuple(self.look_after(target, self.status.targets[i], now) for i, target in enumerate(self.targets))
        self.publish(replace(self.status, targets=seen))

    def attempt(self, accepted: Accepted, now: float) -> None:
        """Programs the accepted state on all targets, or says why not."""
        self.publish(replace(self.status, accepted=accepted.revision, problems=(), pending="being programmed"))
        try:
            self.program(accepted)
        except TargetRefused as error:
            problems = tuple(accepted.locate(problem) for problem in error.problems)
            for problem in problems:
                log.error("refused", target=error.target, revision=accepted.revision, problem=str(problem))
            self.publish(replace(self.status, problems=problems, pending=""))
            # Without anything programmed nothing is lost by trying again: a certificate may still be on its way.
            self.settle(accepted, now, again=self.good.epoch == 0)
        except TargetUnavailable as error:
            if str(error) != self.status.pending:
                log.warning("waiting for target", revision=accepted.revision, why=str(error))
            self.publish(replace(self.status, pending=str(error)))
            self.settle(accepted, now, again=True)
        else:
            self.settle(accepted, now, again=False)

    def settle(self, accepted: Accepted, now: float, again: bool) -> None:
        """Forgets what was tried, or plans the next attempt; something newer that came meanwhile stays."""
        with self._lock:
            if self.next is accepted and not again:
                self.next = None
            elif self.next is accepted:
                self.attempts.failed(now)

    def program(self, accepted: Accepted) -> None:
        """Compiles against what is programmed and brings it to all targets. Raises TargetError."""
        has = self.rollout.read_all()
        floor = max([self.epoch_highest, *(programmed.epoch for programmed in has)])
        compiled = compile_plan(accepted.desired, accepted.folder, accepted.revision, self.good, floor)
        plan = self.rollout.adopted(compiled, has)
        self.epoch_highest = max(self.epoch_highest, plan.epoch)
        self.rollout.to_all(plan, self.good, has)
        changed = plan != self.good
        self.good = plan
        if changed:
            self.remember()
        self.publish(replace(self.status, programmed=plan.revision, epoch=plan.epoch, problems=(), pending=""))
        log.info("programmed", revision=plan.revision, epoch=plan.epoch, changed=changed)

    def remember(self) -> None:
        """Writes the plan down. A full disk does not stop traffic: the plan is programmed all the same."""
        try:
            self.store.set_good(self.good)
        except StoreError as error:
            log.error("the programmed plan is not on disk", why=str(error))

    def look_after(self, target: Target, before: TargetStatus, now: float) -> TargetStatus:
        """Reads one target back and gives it its plan again where it has another one or none."""
        backoff = self.repairs[target.name]
        if not backoff.is_due(now):
            return before
        try:
            programmed = target.read_back()
            in_sync = self.good.epoch == 0 or programmed.digest == target.digest(self.good)
            if not in_sync:
                log.warning("target differs", target=target.name, has_epoch=programmed.epoch, wants=self.good.epoch)
                self.rollout.to_one(target, self.good)
                programmed = target.read_back()
        except TargetError as error:
            backoff.failed(now)
            if before.detail != str(error):
                log.warning("target not in sync", target=target.name, why=str(error))
            return TargetStatus(target.name, detail=str(error))
        backoff.reset()
        return TargetStatus(target.name, True, programmed.ready, programmed.epoch, programmed.detail)

    def publish(self, status: Status) -> None:
        """The new status, for whoever asks and for the metrics."""
        self.status = status
        self.observer.status(status)
