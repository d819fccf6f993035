"""The P4 target: frames out in windows, answers in their order, silence said."""

from __future__ import annotations

from collections import deque

import pytest

from dpu_app.replay import p4rt
from dpu_app.replay.answer import Answer
from dpu_app.replay.oracle import Oracle
from dpu_app.replay.target import TargetFailed
from tests.packets.case import IPV4
from tests.packets.config import plan


class Switch:
    """Answers as the model without a flow table does; `lost` frames never come back."""

    def __init__(self, lost: int = 0) -> None:
        self.oracle = Oracle(plan(), flow_table=False)
        self.waiting: deque[tuple[bytes, dict[str, int]]] = deque()
        self.lost = lost
        self.most = 0

    def packet_out(self, payload: bytes, **metadata: int) -> None:
        assert metadata == {"ingress": 0}
        if self.lost:
            self.lost -= 1
            return
        said = self.oracle.judge(payload, 0)
        fields = {"verdict": 1 if said.passed else 2, "reason": said.reason, "group": said.group, "port": said.port}
        self.waiting.append((said.frame or payload, fields | {"pad": 0}))
        self.most = max(self.most, len(self.waiting))

    def packet_in(self, timeout_s: float) -> tuple[bytes, dict[str, int]] | None:
        return self.waiting.popleft() if self.waiting else None


def test_answers_come_in_the_order_of_the_frames_and_without_the_service() -> None:
    frames = [(0, bytes(IPV4.tcp(10 + number % 3, sport=number))) for number in range(100)]
    model, switch = Oracle(plan(), flow_table=False), Switch()
    expected: list[Answer | None] = [model.judge(frame, 0)._replace(service=0) for _, frame in frames]
    assert p4rt.P4Switch("p4rt://x", switch).judge(frames) == expected
    assert switch.most == p4rt.WINDOW_FRAMES


def test_a_frame_that_does_not_come_back_is_said() -> None:
    with pytest.raises(TargetFailed, match="--cpu-port"):
        p4rt.P4Switch("p4rt://x", Switch(lost=1)).judge([(0, bytes(IPV4.tcp(10)))])
