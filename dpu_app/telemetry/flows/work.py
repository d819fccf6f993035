"""Adds up the requests of one connection until its flow takes them."""

from __future__ import annotations

from dpu_app.telemetry.flows.record import ArmWork, Done
from dpu_app.telemetry.flows.request import Request

NAMES_MAX = 8
"""Different names of one kind that a flow's record lists; a connection with more of them is somebody's proxy."""
OTHER = "_other"


class Work:
    """The requests of one connection so far. About 1.5 KiB."""

    __slots__ = ("arms", "done", "end_ms", "held_since", "names", "start_ms", "ttft_count", "ttft_max", "ttft_sum")

    def __init__(self, start_ms: int, now: float) -> None:
        """`now` is monotonic seconds."""
        self.held_since = now
        self.start_ms = start_ms
        self.end_ms = start_ms
        self.names: dict[str, list[str]] = {}
        self.arms: dict[tuple[str, str], list[int]] = {}
        self.ttft_count, self.ttft_sum, self.ttft_max = 0, 0.0, 0.0
        self.done = (0, 0, 0)
        """Requests, answered ones, epoch of the last that a plan decided."""

    def add(self, request: Request) -> None:
        """One more request."""
        self.start_ms = min(self.start_ms, request.start_ms)
        self.end_ms = max(self.end_ms, request.start_ms + int(request.duration_ms))
        for kind in ("listener", "tenant", "model", "arm", "worker", "outcome"):
            note(self.names.setdefault(kind, []), getattr(request, kind))
        requests, answered, epoch = self.done
        # A request that was refused by its head alone was decided by no plan: its epoch is 0.
        self.done = (requests + 1, answered + (request.outcome == "answered"), request.epoch or epoch)
        self.count_arm(request)
        if request.ttft_ms is not None:
            self.ttft_count += 1
            self.ttft_sum += request.ttft_ms
            self.ttft_max = max(self.ttft_max, request.ttft_ms)

    def count_arm(self, request: Request) -> None:
        """Its tokens, by arm and outcome."""
        place = (request.arm, request.outcome)
        if place not in self.arms and len(self.arms) >= NAMES_MAX:
            place = (OTHER, OTHER)
        totals = self.arms.setdefault(place, [0, 0, 0])
        totals[0] += 1
        totals[1] += request.tokens_in
        totals[2] += request.tokens_out

    def sums(self) -> Done:
        """What the record of the flow says."""
        requests, answered, epoch = self.done
        names = {kind: ",".join(several) for kind, several in self.names.items()}
        arms = tuple(ArmWork(arm, outcome, *totals) for (arm, outcome), totals in self.arms.items())
        return Done(
            requests=requests,
            answered=answered,
            **names,
            tokens_in=sum(arm.tokens_in for arm in arms),
            tokens_out=sum(arm.tokens_out for arm in arms),
            ttft_ms=round(self.ttft_sum / self.ttft_count, 3) if self.ttft_count else None,
            ttft_ms_max=self.ttft_max if self.ttft_count else None,
            epoch=epoch,
            arms=arms,
        )


def note(names: list[str], name: str) -> None:
    """Adds a name that is not there yet, as far as there is room."""
    if name and name not in names and len(names) <= NAMES_MAX:
        names.append(name if len(names) < NAMES_MAX else OTHER)
