"""The native half of dpu-app: the request path for the DPU, the worker's transport for the GPU host."""

from __future__ import annotations

from typing import final

def canonical_json(document: bytes) -> bytes:
    """The RFC 8785 form of a JSON document, as policy makes it of a body; at most 64 MiB, 512 deep. Raises ValueError
    with the name of the reason for which such a body is refused."""

@final
class FastPath:
    """The request path; its threads are Rust and never take Python's lock."""

    def __init__(self, *, name: str, threads: int, pinned: bool, journal: str | None, transport: str) -> None:
        """Starts `threads` cores that serve nothing before the first plan, each kept to one processor where `pinned`.
        `journal` is a path, "-" or None; `transport` is auto, shm, tcp or rc. Raises ValueError, OSError."""

    def apply(self, plan: bytes) -> tuple[bool, bool, int, list[tuple[str, str, str]]]:
        """Programs a serialised dpu.fastpath.v1.Plan on every core, or nothing: applied, changed, epoch programmed,
        problems (entry, what, fix)."""

    def status(self) -> str:
        """JSON with the fields of StatusReply, and `not_ready` with the reason."""

    def metrics(self) -> str:
        """JSON list of metric families; counter names without `_total`."""

    def drain(self, timeout_ms: int) -> int:
        """Stops accepting, waits, ends the cores. Returns how many requests were cut."""

@final
class HostWorker:
    """The worker's side of the transport; its thread is Rust and never takes Python's lock."""

    def __init__(
        self,
        *,
        name: str,
        listen: str,
        key: bytes,
        engine: str,
        slots: int,
        models: list[tuple[str, bytes, str, int]],
        transport: str,
    ) -> None:
        """Listens on HOST:PORT (port 0: any). Models are name, SHA-256, quantisation, context tokens. "echo" is
        answered inside; for every other engine take jobs with `next`. Raises ValueError, OSError."""

    @property
    def listening(self) -> str:
        """The address really bound."""

    def next(self, timeout_ms: int) -> Job | None:
        """The next request that has a slot, or None in time. Any number of threads may wait."""

    def status(self) -> str:
        """JSON: peers with the transport of each, running, queued, draining; {} once drained."""

    def metrics(self) -> str:
        """JSON list of metric families dpu_worker_*; [] once drained."""

    def drain(self, timeout_ms: int) -> int:
        """Takes no new work, waits, ends the thread. Returns how many requests were cut."""

@final
class Job:
    """One request. End it exactly once: `result`, `end`, `fail` or `stopped`; dropped without an end it fails."""

    @property
    def request_id(self) -> str:
        """32 hex digits."""

    @property
    def model(self) -> str:
        """The engine's name of the model."""

    @property
    def arm(self) -> str:
        """The canary arm."""

    @property
    def body(self) -> bytes:
        """Canonical JSON (RFC 8785)."""

    @property
    def stream(self) -> bool:
        """Whether tokens are wanted as they come."""

    @property
    def completions(self) -> bool:
        """`/v1/completions`."""

    @property
    def embeddings(self) -> bool:
        """`/v1/embeddings`."""

    @property
    def token_budget(self) -> int:
        """Completion tokens at most; 0 leaves it to the engine."""

    @property
    def deadline_ms(self) -> int:
        """Milliseconds from arrival until the fast path gives up."""

    @property
    def queue_us(self) -> int:
        """Microseconds from arrival to a free slot."""

    @property
    def traceparent(self) -> str:
        """`traceparent` for the engine: the fast path's span. Empty without one."""

    @property
    def tracestate(self) -> str:
        """`tracestate` as the caller sent it; empty without one."""

    @property
    def cancelled(self) -> bool:
        """Whether the fast path has sent CANCEL or is gone."""

    def tokens(self, count: int, choices: bytes, finish: bool = False) -> bool:
        """Sends a fragment: a JSON array on one line. Waits while too many are unsent. False: stop generating."""

    def result(
        self,
        *,
        finish: str,
        prompt_tokens: int,
        cached_tokens: int,
        completion_tokens: int,
        queue_us: int,
        prefill_us: int,
        decode_us: int,
        choices: bytes,
    ) -> None:
        """Ends a request that was not streamed."""

    def end(
        self,
        *,
        finish: str,
        prompt_tokens: int,
        cached_tokens: int,
        completion_tokens: int,
        queue_us: int,
        prefill_us: int,
        decode_us: int,
    ) -> None:
        """Ends a stream."""

    def fail(self, *, reason: int, detail: str, retry: bool) -> None:
        """Ends a request without its answer. `detail` is for people, never prompt text."""

    def stopped(self, *, tokens_wasted: int) -> None:
        """Says that a cancelled generation has stopped and its memory is free."""
