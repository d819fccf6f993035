"""One answer on its way back: counts tokens, keeps times, streams or assembles, and ends the job exactly once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from abi.gen.reasons import Reason
from host_agent.worker.assemble import Assembler
from host_agent.worker.engines.base import Chunk, EngineError, Job


class Outcome(StrEnum):
    """How a job ended; a metric label."""

    ANSWERED = "answered"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass
class Usage:
    """What an answer cost, in tokens and microseconds."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    prefill_us: int = 0
    decode_us: int = 0


class Answer:
    """The sink of one job. Made when a slot takes the job, ended by `finish` or `fail`."""

    def __init__(self, job: Job, clock: Callable[[], float] = time.monotonic) -> None:
        self.job = job
        self.clock = clock
        self.started = clock()
        self.first_token: float | None = None
        self.last_token = self.started
        self.usage = Usage()
        self.tokens_sent = 0
        self.tokens_wasted = 0
        self.stopped_early = False
        self.cancel_seen: float | None = None
        self.finish_reason: str | None = None
        self.assembler = Assembler(completions=job.completions)
        self.data: str | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the fast path wants no more of it."""
        if not self.stopped_early and self.job.cancelled:
            self.stop()
        return self.stopped_early

    def chunk(self, chunk: Chunk, choices: str | None = None) -> bool:
        """Takes one chunk of the engine, `choices` with the text that they had there. False: stop generating."""
        self.keep_figures(chunk)
        parsed: list[dict[str, Any]] = chunk.get("choices") or []
        if self.cancelled:
            self.tokens_wasted += count_tokens(parsed)
            return False
        self.refuse_late()
        if "prompt_progress" in chunk or not parsed:
            return True  # prefill goes on: a moment to look for CANCEL, nothing to send
        return self.forward(parsed, compact(parsed) if choices is None else choices.encode())

    def embeddings(self, data: str, prompt_tokens: int) -> None:
        """Takes the whole answer of an embeddings request."""
        self.data = data
        self.usage.prompt_tokens = prompt_tokens

    def forward(self, choices: list[dict[str, Any]], text: bytes) -> bool:
        """Sends the choices of one chunk, as `text`, or assembles them."""
        count = count_tokens(choices)
        finish = note_finish(choices)
        self.finish_reason = finish or self.finish_reason
        if count:
            self.last_token = self.clock()
            self.first_token = self.first_token or self.last_token
        if not self.job.stream:
            self.assembler.add(choices)
        elif not self.job.tokens(count, text, finish is not None):
            self.stop()
            self.tokens_wasted += count
            return False
        self.tokens_sent += count
        return True

    def finish(self) -> Outcome:
        """Ends the job after the engine has stopped: END, RESULT or CANCELLED."""
        if self.cancelled:
            wasted = self.tokens_wasted if self.job.stream else self.tokens_wasted + self.tokens_sent
            self.job.stopped(tokens_wasted=wasted)
            return Outcome.CANCELLED
        figures = self.figures()
        if self.job.stream:
            self.job.end(**figures)
            return Outcome.ANSWERED
        choices = compact(self.assembler.choices()) if self.data is None else self.data.encode()
        self.job.result(**figures, choices=choices)
        return Outcome.ANSWERED

    def fail(self, error: EngineError) -> Outcome:
        """Ends the job with a reason. Once tokens are out a retry would send them twice."""
        if self.cancelled:
            return self.finish()
        retry = error.retry and not (self.job.stream and self.tokens_sent)
        self.job.fail(reason=int(error.reason), detail=error.detail, retry=retry)
        return Outcome.FAILED

    def figures(self) -> dict[str, Any]:
        """The fields that END and RESULT share. An engine that says no times gets ours; one that counts fewer
        tokens than it sent chunks (llama.cpp counts one choice of `n`) gets our count."""
        usage = self.usage
        first = self.first_token or self.last_token
        return {
            "finish": self.finish_reason or "stop",
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "completion_tokens": max(usage.completion_tokens, self.tokens_sent),
            "queue_us": self.job.queue_us,
            "prefill_us": usage.prefill_us or microseconds(first - self.started),
            "decode_us": usage.decode_us or microseconds(self.last_token - first),
        }

    def keep_figures(self, chunk: Chunk) -> None:
        """Usage and timings stand in the last chunks, wherever the engine puts them."""
        if usage := chunk.get("usage"):
            self.usage.prompt_tokens = usage.get("prompt_tokens") or 0
            self.usage.completion_tokens = usage.get("completion_tokens") or 0
            self.usage.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        if timings := chunk.get("timings"):
            self.usage.prefill_us = round(timings.get("prompt_ms", 0) * 1000)
            self.usage.decode_us = round(timings.get("predicted_ms", 0) * 1000)

    def refuse_late(self) -> None:
        """The fast path gives up at the deadline and cancels; this is for the case that it cannot say so."""
        since_arrival_ms = (self.clock() - self.started) * 1000 + self.job.queue_us / 1000
        if self.job.deadline_ms and since_arrival_ms > self.job.deadline_ms:
            raise EngineError(Reason.WORKER_TIMEOUT, "the deadline passed while the engine answered", retry=False)

    def stop(self) -> None:
        """Remembers that and when we were told to stop."""
        self.stopped_early = True
        self.cancel_seen = self.clock()


def count_tokens(choices: list[dict[str, Any]]) -> int:
    """One token for each choice that carries something to read; role and finish chunks carry none."""
    return sum(1 for choice in choices if choice.get("text") or any_content(choice.get("delta") or {}))


def any_content(delta: dict[str, Any]) -> bool:
    """Whether a delta carries more than the role."""
    return any(value for key, value in delta.items() if key != "role")


def note_finish(choices: list[dict[str, Any]]) -> str | None:
    """The finish reason in these choices, if there is one."""
    return next((choice["finish_reason"] for choice in choices if choice.get("finish_reason") is not None), None)


def compact(value: Any) -> bytes:
    """JSON on one line in UTF-8; half surrogate pairs, which UTF-8 cannot hold, stay escaped."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def microseconds(seconds: float) -> int:
    """Whole microseconds, never negative."""
    return max(0, round(seconds * 1e6))
