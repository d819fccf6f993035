"""The one interface that every target has (design section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dpu_app.model.plan import Plan
from dpu_app.model.problem import Problem


@dataclass(frozen=True)
class Programmed:
    """What a target says that it has. `epoch` 0 and an empty `digest` mean that nothing was programmed."""

    revision: int
    epoch: int
    digest: bytes
    ready: bool
    detail: str = ""


class TargetError(Exception):
    """A target did not do what it was asked."""


class TargetRefused(TargetError):
    """The target will not take this plan, and nothing changed on it. Trying again does not help."""

    def __init__(self, target: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"{target} refuses the plan: " + "; ".join(str(problem) for problem in problems))
        self.target = target
        self.problems = problems


class TargetUnavailable(TargetError):
    """The target cannot be asked now; what is programmed on it is not known. Trying again helps."""


class Target(Protocol):
    """Somewhere that a plan is programmed. Used by one thread at a time."""

    @property
    def name(self) -> str:
        """Short; metrics and logs carry it."""
        ...

    def apply(self, plan: Plan) -> bool:
        """Programs the whole plan or nothing; False where it was programmed already.

        Raises TargetRefused (nothing changed) or TargetUnavailable (not known what changed). EMPTY_PLAN takes away
        what was programmed.
        """
        ...

    def read_back(self) -> Programmed:
        """What is programmed, asked of the target itself. Raises TargetUnavailable."""
        ...

    def digest(self, plan: Plan) -> bytes:
        """The digest that `read_back` gives once `plan` is programmed. Pure."""
        ...

    def close(self) -> None:
        """Lets go of the target; what is programmed stays."""
        ...
