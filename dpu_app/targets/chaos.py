"""A target that fails on command, around one that works: refuses, times out, lies at read-back, dies in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum

from dpu_app.model.plan import EMPTY_PLAN, Plan
from dpu_app.model.problem import Problem
from dpu_app.targets.base import Programmed, Target, TargetRefused, TargetUnavailable


class Fault(Enum):
    """What goes wrong in one call of `apply`, `read_back` being told to lie about it where it says so."""

    NONE = "none"
    REFUSE = "refuse"
    """The plan is refused; nothing changes."""
    TIMEOUT_BEFORE = "timeout_before"
    """No answer, and nothing changed."""
    TIMEOUT_AFTER = "timeout_after"
    """No answer, but the plan is programmed."""
    FORGET = "forget"
    """Says yes and programs nothing."""
    DIE = "die"
    """Says yes, dies, and comes back empty."""


class ChaosTarget:
    """`inner` with faults: each `apply` and each `read_back` uses up the next of its list."""

    def __init__(
        self, inner: Target, applies: Iterable[Fault] = (), read_backs: Iterable[Fault] = (), name: str = "chaos"
    ) -> None:
        self.inner = inner
        self.applies = deque(applies)
        self.read_backs = deque(read_backs)
        self._name = name

    @property
    def name(self) -> str:
        """See Target."""
        return self._name

    def apply(self, plan: Plan) -> bool:
        """See Target; the next fault decides."""
        fault = self.applies.popleft() if self.applies else Fault.NONE
        if fault is Fault.REFUSE:
            raise TargetRefused(self.name, (Problem("chaos refuses this", "take the fault away", "models[0]"),))
        if fault is Fault.TIMEOUT_BEFORE:
            raise TargetUnavailable(f"{self.name} did not answer")
        if fault is Fault.FORGET:
            return True
        changed = self.inner.apply(plan)
        if fault is Fault.TIMEOUT_AFTER:
            raise TargetUnavailable(f"{self.name} did not answer")
        if fault is Fault.DIE:
            self.inner.apply(EMPTY_PLAN)
        return changed

    def read_back(self) -> Programmed:
        """See Target; the next fault decides: TIMEOUT_* does not answer, every other one lies about the digest."""
        fault = self.read_backs.popleft() if self.read_backs else Fault.NONE
        if fault in (Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER):
            raise TargetUnavailable(f"{self.name} did not answer")
        truth = self.inner.read_back()
        if fault is Fault.NONE:
            return truth
        return Programmed(truth.revision, truth.epoch, b"a lie", truth.ready)

    def digest(self, plan: Plan) -> bytes:
        """See Target."""
        return self.inner.digest(plan)

    def close(self) -> None:
        """See Target."""
        self.inner.close()
