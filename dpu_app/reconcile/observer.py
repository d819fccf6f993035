"""What the reconciler tells whoever counts; metrics come in through this."""

from __future__ import annotations

from typing import Protocol

from dpu_app.model.status import Status


class Observer(Protocol):
    """Called by the reconciler's thread; must not block."""

    def applied(self, target: str, result: str, duration_s: float) -> None:
        """An apply ended: changed | unchanged | refused | unavailable."""
        ...

    def status(self, status: Status) -> None:
        """Something was seen."""
        ...

    def config_read(self, problems: int) -> None:
        """The configuration file was read and has so many problems."""
        ...
