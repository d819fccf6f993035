"""Any OpenAI-compatible server (vLLM, SGLang, llama-server) over HTTP: streams, and stops it by closing."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2

from abi.gen.reasons import Reason
from host_agent.worker.engines.base import (
    EngineError,
    Job,
    Model,
    Sink,
    chunk_of,
    embeddings_of,
    embeddings_refused,
    engine_body,
    refused_by_engine,
)

CANCEL_POLL_S = 0.02
"""How late CANCEL is seen while the server is silent."""
LINE_BYTES_MAX = 8 * 1024 * 1024
"""A longer line of the stream would not fit into a worker frame anyway."""


@dataclass(frozen=True, kw_only=True)
class OpenAIOptions:
    """Where the server is and what to call it."""

    url: str
    """Base URL with the version, e.g. http://127.0.0.1:8000/v1."""
    models: dict[str, str]
    """Name in REQUEST frames -> the server's name; empty: what GET /models says at start."""
    slots: int
    """Connections at most."""
    api_key: str | None = None
    connect_timeout_s: float = 2.0
    read_timeout_s: float = 300.0
    """Longest silence of the server, prefill included."""


class OpenAIEngine:
    """One event loop in its own thread; slots wait for it. Raises httpx2.HTTPError when the server cannot be reached
    at start."""

    def __init__(self, options: OpenAIOptions) -> None:
        self.options = options
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="openai-engine", daemon=True)
        self.thread.start()
        self.client = client_of(options)
        try:
            self.names = options.models or {name: name for name in self.wait(self.ask_names())}
        except BaseException:
            self.close()
            raise

    def models(self) -> list[Model]:
        """Names alone: the server tells neither digest nor quantisation."""
        return [Model(name=name) for name in self.names]

    def generate(self, job: Job, sink: Sink) -> None:
        """Forwards one request; returns when the answer is complete or the connection is closed."""
        self.wait(self.until_cancelled(job, sink))

    def close(self) -> None:
        """Closes the connections and the loop."""
        self.wait(self.client.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def upstream(self, job: Job) -> str:
        """The server's name of the job's model. Raises EngineError."""
        if (name := self.names.get(job.model)) is None:
            raise EngineError(Reason.WORKER_REFUSED, f"model {job.model!r} is not served here", retry=True)
        return name

    def wait(self, work: Any) -> Any:
        """Runs a coroutine on the engine's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def ask_names(self) -> list[str]:
        """The names of GET /models."""
        answer = await self.client.get("models")
        answer.raise_for_status()
        return [model["id"] for model in answer.json()["data"]]

    async def until_cancelled(self, job: Job, sink: Sink) -> None:
        """Forwards while nobody cancels; leaving the task closes the connection, which stops the server."""
        forward = asyncio.create_task(self.embed(job, sink) if job.embeddings else self.stream(job, sink))
        try:
            while not (await asyncio.wait({forward}, timeout=CANCEL_POLL_S))[0]:
                if sink.cancelled:
                    forward.cancel()
            await forward
        except asyncio.CancelledError:
            pass  # we cancelled it; the answer says CANCELLED
        except httpx2.TimeoutException as error:
            raise EngineError(Reason.WORKER_TIMEOUT, type(error).__name__, retry=True) from error
        except httpx2.HTTPError as error:
            raise EngineError(Reason.WORKER_FAILED, type(error).__name__, retry=True) from error

    async def stream(self, job: Job, sink: Sink) -> None:
        """Server-sent events, one chunk an event, to `data: [DONE]`."""
        body = engine_body(job, model=self.upstream(job))
        path = "completions" if job.completions else "chat/completions"
        async with self.client.stream("POST", path, json=body, headers=trace_headers(job)) as answer:
            if answer.status_code != httpx2.codes.OK:
                raise refused_by_engine(answer.status_code, "over HTTP")
            async for data in events(answer.aiter_bytes()):
                if data == b"[DONE]":
                    return
                if not sink.chunk(*sound(data)):
                    return
        raise EngineError(Reason.WORKER_FAILED, "the server closed before [DONE]", retry=True)

    async def embed(self, job: Job, sink: Sink) -> None:
        """One question, one answer."""
        body = {**json.loads(job.body), "model": self.upstream(job)}
        answer = await self.client.post("embeddings", json=body, headers=trace_headers(job))
        if answer.status_code != httpx2.codes.OK:
            raise embeddings_refused(answer.status_code, "over HTTP")
        sink.embeddings(*embeddings_of(answer.text))


def trace_headers(job: Job) -> dict[str, str]:
    """W3C Trace Context: the server's span becomes a child of the fast path's."""
    headers = {"traceparent": job.traceparent, "tracestate": job.tracestate}
    return {name: value for name, value in headers.items() if value}


def client_of(options: OpenAIOptions) -> httpx2.AsyncClient:
    """A client that keeps one connection a slot. Proxies of the environment are not for engines."""
    headers = {"authorization": f"Bearer {options.api_key}"} if options.api_key else {}
    return httpx2.AsyncClient(
        base_url=options.url.rstrip("/") + "/",
        headers=headers,
        timeout=httpx2.Timeout(options.read_timeout_s, connect=options.connect_timeout_s),
        limits=httpx2.Limits(max_connections=options.slots, max_keepalive_connections=options.slots),
        trust_env=False,
    )


async def events(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of each server-sent event (WHATWG HTML 9.2), for streams that put one event on one `data:` line.
    Raises EngineError at a line that never ends."""
    rest = b""
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise EngineError(Reason.ANSWER_TOO_LARGE, "the server's line is too long", retry=False)
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()


def sound(data: bytes) -> tuple[dict[str, Any], str | None]:
    """One chunk and the text of its choices. Raises EngineError where it is an error or no JSON object."""
    try:
        chunk, choices = chunk_of(data.decode())
    except ValueError as error:
        raise EngineError(Reason.WORKER_FAILED, "the server sent no JSON object", retry=True) from error
    if fault := chunk.get("error"):
        kind = fault.get("type") if isinstance(fault, dict) else None
        raise EngineError(Reason.WORKER_FAILED, f"the server failed in the stream: {kind or 'error'}", retry=True)
    return chunk, choices
