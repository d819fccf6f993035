"""Stands where an agent has nobody to program the packet stage: a plan that has one is refused, never half obeyed."""

from __future__ import annotations

from dpu_app.model.plan import Plan
from dpu_app.model.problem import Problem
from dpu_app.targets.base import TargetRefused
from dpu_app.targets.stub import StubTarget


class PacketUnserved(StubTarget):
    """Takes every plan without `packet`."""

    def __init__(self, name: str = "packet") -> None:
        super().__init__(name)

    def apply(self, plan: Plan) -> bool:
        """See Target."""
        if plan.packet is not None:
            what = "this agent programs no packet stage"
            fix = "start dpu-agent with --xdp or --p4runtime, or remove 'packet'"
            raise TargetRefused(self.name, (Problem(what, fix, "packet"),))
        return super().apply(plan)
