"""What this process asks of the native request path; `fastpath/python` provides it, tests bring their own."""

from __future__ import annotations

from typing import Protocol


class Native(Protocol):
    """The request path. Its threads are native and never take the GIL. May be called from any thread."""

    def apply(self, plan: bytes) -> tuple[bool, bool, int, list[tuple[str, str, str]]]:
        """`plan` is a serialised Plan: applied, changed, epoch programmed, problems (entry, what, fix)."""
        ...

    def status(self) -> str:
        """JSON with the fields of StatusReply (`plan_sha256` in hex), and `not_ready`: why not."""
        ...

    def metrics(self) -> str:
        """JSON: a list of families; see `metrics.py`."""
        ...

    def drain(self, timeout_ms: int) -> int:
        """Takes nothing new and waits for what runs; the number of requests that were cut."""
        ...
