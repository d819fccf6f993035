"""What one target said of all frames, summed up."""

from __future__ import annotations

from dataclasses import dataclass, field

from dpu_app.replay.answer import Answer, reason_label
from dpu_app.replay.names import Names


@dataclass
class Sums:
    """(frames, bytes) by reason, frames by service id and by group id, where 0 is none."""

    passed: int = 0
    reasons: dict[int, tuple[int, int]] = field(default_factory=dict)
    services: dict[int, int] = field(default_factory=dict)
    groups: dict[int, int] = field(default_factory=dict)
    not_asked: int = 0

    def add(self, answer: Answer | None, size: int) -> None:
        """One more frame of `size` bytes."""
        if answer is None:
            self.not_asked += 1
            return
        frames, total = self.reasons.get(answer.reason, (0, 0))
        self.reasons[answer.reason] = frames + 1, total + size
        self.services[answer.service] = self.services.get(answer.service, 0) + 1
        self.groups[answer.group] = self.groups.get(answer.group, 0) + 1
        self.passed += answer.passed

    @property
    def asked(self) -> int:
        """Frames: the sum over all reasons."""
        return sum(frames for frames, _ in self.reasons.values())

    def row(self, names: Names) -> dict[str, object]:
        """For programs."""
        return {
            "frames": self.asked,
            "passed": self.passed,
            "dropped": self.asked - self.passed,
            "not_asked": self.not_asked,
            "reasons": {
                reason_label(reason): {"frames": frames, "bytes": size}
                for reason, (frames, size) in sorted(self.reasons.items())
            },
            "services": {names.service(n) or "none": frames for n, frames in sorted(self.services.items())},
            "groups": {names.group_path(n) or "none": frames for n, frames in sorted(self.groups.items())},
        }
