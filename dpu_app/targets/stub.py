"""A target in memory: what it was told is what it has. For dry runs, and for tests of everything around targets."""

from __future__ import annotations

import hashlib

from dpu_app.model.plan import EMPTY_PLAN, Plan, plan_to_json
from dpu_app.targets.base import Programmed


class StubTarget:
    """Programs nothing, truthfully."""

    def __init__(self, name: str = "stub") -> None:
        self._name = name
        self.plan = EMPTY_PLAN
        self.changes = 0
        """How often the plan became another one."""

    @property
    def name(self) -> str:
        """See Target."""
        return self._name

    def apply(self, plan: Plan) -> bool:
        """See Target; never refuses."""
        changed = plan != self.plan
        self.plan = plan
        self.changes += changed
        return changed

    def read_back(self) -> Programmed:
        """See Target."""
        return Programmed(self.plan.revision, self.plan.epoch, self.digest(self.plan), ready=self.plan.epoch > 0)

    def digest(self, plan: Plan) -> bytes:
        """See Target."""
        return hashlib.sha256(plan_to_json(plan)).digest() if plan.epoch else b""

    def close(self) -> None:
        """Nothing to let go of."""
