"""What an engine is, what it is given, and how it says that it cannot."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from abi.gen.reasons import Reason
from host_agent.worker.raw import members

Chunk = dict[str, Any]
"""One OpenAI chunk: `choices`, and in the last ones `usage` and (llama.cpp) `timings`."""


class EngineError(Exception):
    """The engine did not answer. `detail` is for people and never holds prompt text."""

    def __init__(self, reason: Reason, detail: str, *, retry: bool) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retry = retry
        """Whether the same request may succeed on another worker or later."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that an engine serves, as WELCOME tells it to the fast path."""

    name: str
    """What REQUEST frames call it."""
    digest: bytes = bytes(32)
    """SHA-256 of the model file; zero where the engine does not know."""
    quantisation: str = ""
    """"Q4_1"; empty where the engine does not know."""
    context_tokens: int = 0
    """Tokens of prompt and completion together, per request; 0 where the engine does not know."""


class Job(Protocol):
    """One request, and the way back of its answer (`dpu_fastpath.Job`). Used by one thread at a time."""

    @property
    def request_id(self) -> str:
        """32 hex digits."""

    @property
    def model(self) -> str:
        """The engine's name of the model."""

    @property
    def arm(self) -> str:
        """The canary arm that was chosen."""

    @property
    def body(self) -> bytes:
        """Canonical JSON (RFC 8785)."""

    @property
    def stream(self) -> bool:
        """Whether tokens are wanted as they come."""

    @property
    def completions(self) -> bool:
        """`/v1/completions` instead of chat."""

    @property
    def embeddings(self) -> bool:
        """`/v1/embeddings` instead of chat."""

    @property
    def token_budget(self) -> int:
        """Completion tokens at most; 0 leaves it to the engine."""

    @property
    def deadline_ms(self) -> int:
        """Milliseconds from the moment of arrival until the fast path gives up."""

    @property
    def queue_us(self) -> int:
        """Microseconds from arrival until a slot took the job."""

    @property
    def traceparent(self) -> str:
        """W3C `traceparent` for an engine that takes one: the fast path's span is the parent. Empty without one."""

    @property
    def tracestate(self) -> str:
        """W3C `tracestate` as the caller sent it; empty without one."""

    @property
    def cancelled(self) -> bool:
        """Whether the fast path has sent CANCEL, or is gone."""

    def tokens(self, count: int, choices: bytes, finish: bool = False) -> bool:
        """Sends a fragment. False: cancelled or peer gone, stop generating."""

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
        """Ends a request that could not be answered."""

    def stopped(self, *, tokens_wasted: int) -> None:
        """Says that a cancelled generation has stopped and its memory is free."""


class Sink(Protocol):
    """Where an engine puts what it makes."""

    @property
    def cancelled(self) -> bool:
        """Whether the engine should stop, for engines that can look without having a chunk."""

    def chunk(self, chunk: Chunk, choices: str | None = None) -> bool:
        """Takes one chunk; `choices` is the text of its choices where the engine gave JSON: what is streamed is then
        that, byte for byte. False: stop generating now."""

    def embeddings(self, data: str, prompt_tokens: int) -> None:
        """Takes the whole answer of an embeddings request: the text of the array `data`."""


class Engine(Protocol):
    """Makes answers. `generate` is called by as many threads as there are slots."""

    def models(self) -> list[Model]:
        """What it serves; known once the engine is built."""

    def generate(self, job: Job, sink: Sink) -> None:
        """Streams the answer into `sink` and returns when generation has stopped and its memory is free,
        whether it came to its end or `sink` told it to stop. Raises EngineError."""

    def close(self) -> None:
        """Gives everything back. No `generate` runs any more."""


def engine_body(job: Job, **more: Any) -> dict[str, Any]:
    """The job's body as the engine gets it: the tighter of its own bound and the token budget as `max_tokens`,
    always a stream (a stream can be stopped in the middle, a whole answer cannot), usage in the last chunk."""
    body: dict[str, Any] = json.loads(job.body)
    # The budget is for all choices together; one token for each is the least that an engine takes.
    budget = max(1, job.token_budget // (body.get("n") or 1)) if job.token_budget else None
    asked = (body.pop("max_completion_tokens", None), body.get("max_tokens"), budget)
    bounds = [bound for bound in asked if bound is not None]
    if bounds:
        body["max_tokens"] = min(bounds)
    return {**body, "stream": True, "stream_options": {"include_usage": True}, **more}


def chunk_of(text: str) -> tuple[Chunk, str | None]:
    """A chunk of JSON, and the text that its choices had. Raises ValueError where it is no JSON object."""
    found = members(text)
    choices = found.get("choices")
    return {name: value for name, (value, _) in found.items()}, choices and choices[1]


def embeddings_of(text: str) -> tuple[str, int]:
    """The text of `data` of a whole embeddings answer, and its prompt tokens. Raises EngineError."""
    try:
        found = members(text)
        return found["data"][1], (found.get("usage", ({}, ""))[0] or {}).get("prompt_tokens") or 0
    except (ValueError, KeyError, AttributeError) as error:
        raise EngineError(
            Reason.WORKER_FAILED, "the engine's embeddings are not as they should be", retry=True
        ) from error


def unsuitable(detail: str) -> EngineError:
    """The model or its engine does not do what the endpoint is for: no other worker of the arm will."""
    return EngineError(Reason.MODEL_UNSUITABLE, detail, retry=False)


def embeddings_refused(status: int, kind: str) -> EngineError:
    """The same as `refused_by_engine` for embeddings, which many engines know only of some models, or not at all."""
    if status in (404, 405, 501):
        return unsuitable(f"the engine makes no embeddings: {status} {kind}")
    return refused_by_engine(status, kind)


def refused_by_engine(status: int, kind: str) -> EngineError:
    """What an engine's HTTP-like error means to the fast path; its message may quote the prompt and is left out."""
    detail = f"the engine refused it: {status} {kind}"
    if status in (408, 429, 503):
        return EngineError(Reason.WORKERS_BUSY, detail, retry=True)
    if status in (401, 403, 404):  # the worker's own configuration is at fault: key, path or model name
        return EngineError(Reason.WORKER_REFUSED, detail, retry=True)
    if 400 <= status < 500:
        return EngineError(Reason.FIELD_VALUE, detail, retry=False)
    return EngineError(Reason.WORKER_FAILED, detail, retry=status != 501)
