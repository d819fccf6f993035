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

@final
class Frames:
    """Where frames come from, one after the other. Errors name what is wrong and the fix."""

    @staticmethod
    def capture(path: str, cut: str) -> Frames:
        """A pcap or pcapng file, "-" for standard input. `cut` says what is done with frames of which the capture holds
        only the beginning: pad (zeros to their length), keep, or skip. Raises ValueError."""

    @staticmethod
    def generated(traffic: str, count: int, seed: int, interval_ns: int, vips: list[tuple[bytes, int, int]]) -> Frames:
        """`traffic` is flood, scan or mix; VIPs are (address in 4 or 16 bytes, protocol, port). Raises ValueError."""

    @staticmethod
    def given(frames: list[tuple[int, bytes]]) -> Frames:
        """Frames with their times in nanoseconds."""

    def read(self, frames_max: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """The next frames with their times, of together about `bytes_max` bytes; [] at the end. Raises ValueError."""

    @property
    def progress(self) -> tuple[int, int]:
        """What lies behind, and of how much: bytes of a capture, frames of anything else; 0 where nobody knows."""

    @property
    def frames(self) -> int:
        """Frames given out."""

    @property
    def frames_cut(self) -> int:
        """Frames of which the capture held only the beginning."""

    @property
    def ended_early(self) -> bool:
        """Whether the capture ended inside a record."""

@final
class XdpReplay:
    """One or two XDP programs that are asked about every frame by BPF_PROG_TEST_RUN."""

    def __init__(self, programs: list[tuple[int, int]], keep: str) -> None:
        """Descriptors of a program and of its memory-mapped `replay_io`, which stay the caller's. `keep` is nothing,
        differing or everything. Raises ValueError."""

    def slice(
        self, frames: Frames, frames_max: int
    ) -> tuple[list[tuple[int, int, bytes, list[tuple[bool, int, int, int, int, bytes]]]], bool]:
        """Asks about up to `frames_max` more; what is kept, and whether there may be more. Kept is (index, time, frame,
        answers), an answer (passed, reason, service, group, port, frame); no answers where the kernel cannot be asked.
        Releases Python's lock. Raises ValueError."""

    @property
    def totals(self) -> tuple[int, int, int, int]:
        """Frames asked about, too short for the kernel, too long for it, about which two programs differ."""

    def counts(self) -> list[tuple[int, list[tuple[int, int, int]], list[tuple[int, int]], list[tuple[int, int]]]]:
        """Of each program: frames passed, (reason, frames, bytes), (service, frames), (group, frames)."""
