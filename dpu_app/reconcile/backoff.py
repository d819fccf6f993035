"""When to try again: soon at first, then ever later, up to a limit."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_S = 0.5
LAST_S = 4.0


@dataclass
class Backoff:
    """Times are seconds of one monotonic clock, which the caller reads."""

    first_s: float = FIRST_S
    last_s: float = LAST_S
    delay_s: float = 0.0
    due_at: float = 0.0

    def is_due(self, now: float) -> bool:
        """Whether it is time to try."""
        return now >= self.due_at

    def failed(self, now: float) -> None:
        """Doubles the wait."""
        self.delay_s = min(max(self.delay_s * 2, self.first_s), self.last_s)
        self.due_at = now + self.delay_s

    def reset(self) -> None:
        """Due at once; the next failure waits shortly again."""
        self.delay_s = self.due_at = 0.0
