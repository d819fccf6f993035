"""What a place that flow records go to looks like, and how it counts what it could not take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dpu_app.telemetry.flows.record import Flow


class Output(Protocol):
    """Used by one thread. Never raises and never waits for a peer: what cannot be written is counted in `lost`."""

    lost: int
    """Records that did not get there, since start."""

    def write(self, flows: Sequence[Flow], unix_s: int) -> None:
        """Takes the records of one round. Called every round, with none where there are none."""
        ...

    def close(self) -> None:
        """Lets go of its file or socket."""
        ...
