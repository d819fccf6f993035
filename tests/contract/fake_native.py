"""The native request path as this repository's Python sees it, in memory: for everything around it."""

from __future__ import annotations

import hashlib
import json
import threading

from dpu_proto.fastpath.v1 import fastpath_pb2 as pb


class FakeNative:
    """Says what the native side says: a plan is kept whole, an unknown worker key file is refused."""

    def __init__(self) -> None:
        self.plan: bytes | None = None
        self.problems: list[tuple[str, str, str]] = []
        """What the next plans are refused with; empty: they are taken."""
        self.workers_ready = True
        self.families: list[object] = []
        self.drained_ms: list[int] = []
        self.answering = threading.Event()
        """Cleared: calls of `apply` hang until it is set."""
        self.answering.set()

    def apply(self, plan: bytes) -> tuple[bool, bool, int, list[tuple[str, str, str]]]:
        self.answering.wait(20)
        if self.problems:
            return False, False, self.parsed().epoch, self.problems
        changed = plan != self.plan
        self.plan = plan
        return True, changed, self.parsed().epoch, []

    def parsed(self) -> pb.Plan:
        return pb.Plan.FromString(self.plan or b"")

    def status(self) -> str:
        plan = self.parsed()
        state = "ready" if self.workers_ready else "connecting"
        ready = self.plan is not None and self.workers_ready
        return json.dumps(
            {
                "revision": plan.revision,
                "epoch": plan.epoch,
                "plan_sha256": hashlib.sha256(self.plan).hexdigest() if self.plan is not None else "",
                "ready": ready,
                "not_ready": "" if ready else "no plan has been applied yet",
                "draining": bool(self.drained_ms),
                "workers": [
                    {"name": w.name, "state": state, "transport": "tcp", "outstanding": 2, "models": ["chat"]}
                    for w in plan.workers
                ],
                "listening": [listener.address for listener in plan.listeners],
            }
        )

    def metrics(self) -> str:
        return json.dumps(self.families)

    def drain(self, timeout_ms: int) -> int:
        self.drained_ms.append(timeout_ms)
        return 3
