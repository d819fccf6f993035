"""Brings one plan to all targets, or leaves all of them with the plan before."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import structlog

from dpu_app.model.plan import Plan
from dpu_app.reconcile.observer import Observer
from dpu_app.targets.base import Programmed, Target, TargetError, TargetRefused, TargetUnavailable

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="reconcile")


class Rollout:
    """Applies plans and counts. Holds no state of its own."""

    def __init__(self, targets: Sequence[Target], observer: Observer) -> None:
        self.targets = targets
        self.observer = observer

    def read_all(self) -> list[Programmed]:
        """What every target has. Raises TargetUnavailable: a plan is begun only where all can take it."""
        return [target.read_back() for target in self.targets]

    def adopted(self, plan: Plan, has: Sequence[Programmed]) -> Plan:
        """The plan under the epoch that all targets already have it under; else as it is.

        An agent that died after it programmed a plan and before it wrote that down comes back and changes nothing.
        A target that has nothing has no say: it gets the plan whatever its epoch.
        """
        for epoch in {programmed.epoch for programmed in has if programmed.epoch}:
            same = replace(plan, epoch=epoch)
            pairs = zip(self.targets, has, strict=True)
            if all(programmed.digest == t.digest(same) for t, programmed in pairs if programmed.epoch):
                return same
        return plan

    def to_all(self, plan: Plan, before: Plan, has: Sequence[Programmed]) -> None:
        """All targets have `plan` when this returns; a target that has it already is left alone.

        Raises TargetRefused or TargetUnavailable; then `before` was put back wherever something may have changed.
        """
        touched: list[Target] = []
        try:
            for target, programmed in zip(self.targets, has, strict=True):
                if programmed.digest != target.digest(plan):
                    touched.append(target)
                    self.to_one(target, plan)
        except TargetError as error:
            # A target that refuses has said that nothing changed on it.
            refusing = touched.pop() if isinstance(error, TargetRefused) else None
            log.warning("rolling back", epoch=plan.epoch, refused_by=refusing and refusing.name, why=str(error))
            self.put_back(touched, before)
            raise

    def to_one(self, target: Target, plan: Plan) -> None:
        """One target has `plan`, by its own read-back, when this returns. Raises TargetError."""
        started = time.monotonic()
        result = "unavailable"
        try:
            result = "changed" if target.apply(plan) else "unchanged"
            self.verify(target, plan)
        except TargetRefused:
            result = "refused"
            raise
        except TargetUnavailable:
            result = "unavailable"
            raise
        finally:
            self.observer.applied(target.name, result, time.monotonic() - started)
        log.info("plan applied", target=target.name, revision=plan.revision, epoch=plan.epoch, result=result)

    def verify(self, target: Target, plan: Plan) -> None:
        """Raises TargetUnavailable where the target reads back something else than it was given."""
        programmed = target.read_back()
        if programmed.digest != target.digest(plan):
            what = f"{target.name} said yes to epoch {plan.epoch} and reads back something else"
            raise TargetUnavailable(f"{what} (epoch {programmed.epoch})")

    def put_back(self, targets: Sequence[Target], before: Plan) -> None:
        """Gives targets their plan back; one that cannot be asked now gets it when it is read back next."""
        for target in targets:
            try:
                self.to_one(target, before)
            except TargetError as error:
                log.error("not rolled back yet", target=target.name, epoch=before.epoch, why=str(error))
