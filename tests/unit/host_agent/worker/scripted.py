"""A job that nobody sent: what an engine's tests talk to instead of the Rust side."""

from __future__ import annotations

import json
import threading
from typing import Any


class ScriptedJob:
    """Keeps what it is told; `cancel_after` fragments it plays a fast path that has lost interest."""

    def __init__(self, body: dict[str, Any] | None = None, *, cancel_after: int | None = None, **more: Any) -> None:
        self.request_id = "00" * 16
        self.model = "chat"
        self.arm = "stable"
        self.body = json.dumps(body or {}).encode()
        self.stream = bool((body or {}).get("stream"))
        self.completions = False
        self.embeddings = False
        self.token_budget = 0
        self.deadline_ms = 60_000
        self.queue_us = 7
        self.traceparent = ""
        self.tracestate = ""
        self.cancelled = False
        self.__dict__.update(more)
        self.cancel_after = cancel_after
        self.fragments: list[tuple[int, list[dict[str, Any]], bool]] = []
        self.endings: list[tuple[str, dict[str, Any]]] = []
        self.ended = threading.Event()

    def tokens(self, count: int, choices: bytes, finish: bool = False) -> bool:
        """Takes a fragment unless cancelled."""
        assert b"\n" not in choices and not self.endings
        if self.cancel_after is not None and len(self.fragments) >= self.cancel_after:
            self.cancelled = True
        if self.cancelled:
            return False
        self.fragments.append((count, json.loads(choices), finish))
        return True

    def result(self, **fields: Any) -> None:
        self.end_as("result", fields | {"choices": json.loads(fields["choices"])})

    def end(self, **fields: Any) -> None:
        self.end_as("end", fields)

    def fail(self, **fields: Any) -> None:
        self.end_as("fail", fields)

    def stopped(self, **fields: Any) -> None:
        self.end_as("stopped", fields)

    def end_as(self, kind: str, fields: dict[str, Any]) -> None:
        assert not self.endings, "a job ends once"
        self.endings.append((kind, fields))
        self.ended.set()

    @property
    def ending(self) -> tuple[str, dict[str, Any]]:
        """How it ended."""
        assert len(self.endings) == 1
        return self.endings[0]

    @property
    def text(self) -> str:
        """The streamed text of choice 0."""
        return "".join(
            choice.get("text") or (choice.get("delta") or {}).get("content") or ""
            for _, choices, _ in self.fragments
            for choice in choices
            if choice["index"] == 0
        )
