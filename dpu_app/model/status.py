"""How far the desired state has got: accepted, programmed, and what keeps it from being so."""

from __future__ import annotations

from dataclasses import dataclass

from dpu_app.model.problem import Problem


@dataclass(frozen=True)
class TargetStatus:
    """One target as it was seen last."""

    name: str
    in_sync: bool = False
    """It has the plan that it should have, by its own word."""
    ready: bool = False
    """It can do its work."""
    epoch: int = 0
    detail: str = "not asked yet"


@dataclass(frozen=True)
class Status:
    """One moment of the reconciler."""

    accepted: int = 0
    """Revision that should be programmed; 0 before the first."""
    programmed: int = 0
    """Revision that all targets were programmed with; 0 before the first."""
    epoch: int = 0
    """Its epoch."""
    problems: tuple[Problem, ...] = ()
    """Why the accepted revision was refused."""
    pending: str = ""
    """What the accepted revision waits for."""
    targets: tuple[TargetStatus, ...] = ()

    @property
    def in_sync(self) -> bool:
        """Every target has the plan that was programmed last."""
        return self.programmed > 0 and all(target.in_sync for target in self.targets)

    @property
    def reason(self) -> str:
        """Why something is not as it should be, for people; empty where all is well."""
        if self.problems:
            return "; ".join(str(problem) for problem in self.problems)
        late = [f"{target.name}: {target.detail}" for target in self.targets if not target.in_sync]
        return self.pending or "; ".join(late) or ("" if self.programmed else "nothing is programmed")
