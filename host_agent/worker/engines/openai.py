"""Any OpenAI-compatible server (vLLM, SGLang, llama-server) over HTTP: streams, and stops it by closing."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
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
from host_agent.worker.engines.sse import Event, EventTooLarge, Parser

CANCEL_POLL_S = 0.02
"""How late CANCEL is seen while the server is silent."""
ANSWER_BYTES_MAX = 8 * 1024 * 1024
"""Of an answer that is not streamed: more would not fit into a worker frame anyway."""
ERROR_BYTES_MAX = 64 * 1024
"""Of an error's body; the rest is not read."""
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
"""What may be quoted of an error: the name of its type. Its message may hold the prompt."""


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
    ca_file: Path | None = None
    """Whom an https server's certificate must come from; the system's authorities when left out."""
    health_interval_s: float = 5.0
    """Between two looks at whether the server answers GET /models."""
    connect_timeout_s: float = 2.0
    read_timeout_s: float = 300.0
    """Longest silence of the server, prefill included."""


class OpenAIEngine:
    """One event loop in its own thread; slots wait for it. Raises httpx2.HTTPError when the server cannot be reached
    at start."""

    def __init__(self, options: OpenAIOptions) -> None:
        self.options = options
        self.trouble = ""
        """Why the server does not answer; empty while it does."""
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="openai-engine", daemon=True)
        self.thread.start()
        # A sink waits for its client to read: it must not hold up the loop, which is everybody's.
        self.sinks = ThreadPoolExecutor(options.slots, thread_name_prefix="openai-sink")
        self.client = client_of(options)
        self.watcher: asyncio.Task[None] | None = None
        try:
            self.offered = self.wait(self.ask_models()) if not options.models else {}
            self.names = options.models or {name: name for name in self.offered}
            self.wait(self.start_watching())
        except BaseException:
            self.close()
            raise

    def models(self) -> list[Model]:
        """Names, and the context where the server tells it; it tells neither digest nor quantisation."""
        return [Model(name=name, context_tokens=self.offered.get(name, 0)) for name in self.names]

    def generate(self, job: Job, sink: Sink) -> None:
        """Forwards one request; returns when the answer is complete or the connection is closed."""
        self.wait(self.until_cancelled(job, sink))

    def close(self) -> None:
        """Closes the connections and the loop."""
        self.wait(self.end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.sinks.shutdown(wait=False)

    def upstream(self, job: Job) -> str:
        """The server's name of the job's model. Raises EngineError."""
        if (name := self.names.get(job.model)) is None:
            raise EngineError(Reason.WORKER_REFUSED, f"model {job.model!r} is not served here", retry=True)
        return name

    def wait(self, work: Any) -> Any:
        """Runs a coroutine on the engine's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def end(self) -> None:
        """What has to be closed on the loop."""
        if self.watcher is not None:
            self.watcher.cancel()
        await self.client.aclose()

    async def start_watching(self) -> None:
        """Looks after the server's health from now on."""
        self.watcher = asyncio.create_task(self.watch())

    async def watch(self) -> None:
        """Keeps `trouble` true."""
        while True:
            await asyncio.sleep(self.options.health_interval_s)
            try:
                await self.ask_models()
                self.trouble = ""
            except (httpx2.HTTPError, ValueError) as error:
                self.trouble = f"{self.options.url} does not answer: {type(error).__name__}"

    async def ask_models(self) -> dict[str, int]:
        """Names of GET /models and the context of each, 0 where the server (all but vLLM and SGLang) does not say."""
        timeout = httpx2.Timeout(self.options.connect_timeout_s)
        answer = await self.client.get("models", timeout=timeout)
        answer.raise_for_status()
        return {model["id"]: context_of(model) for model in answer.json()["data"]}

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
        except EventTooLarge as error:
            raise EngineError(Reason.ANSWER_TOO_LARGE, "an event of the server is too long", retry=False) from error
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
                raise refused_by_engine(answer.status_code, await kind_of(answer))
            parser = Parser()
            async for part in answer.aiter_bytes():
                if (events := parser.feed(part)) and not await self.hand(events, sink):
                    return
        raise EngineError(Reason.WORKER_FAILED, "the server closed before [DONE]", retry=True)

    async def hand(self, events: list[Event], sink: Sink) -> bool:
        """Gives events to the sink, which may wait for its client: meanwhile nothing more is read of this answer, and
        the server's own buffer fills. False: the answer is over, or nobody wants more of it."""
        handed = self.loop.run_in_executor(self.sinks, hand_over, events, sink)
        try:
            return await asyncio.shield(handed)
        except asyncio.CancelledError:
            await asyncio.wait({handed})  # nobody may end the job under a sink that is at work
            raise

    async def embed(self, job: Job, sink: Sink) -> None:
        """One question, one answer."""
        body = {**json.loads(job.body), "model": self.upstream(job)}
        async with self.client.stream("POST", "embeddings", json=body, headers=trace_headers(job)) as answer:
            if answer.status_code != httpx2.codes.OK:
                raise embeddings_refused(answer.status_code, await kind_of(answer))
            whole = await at_most(answer, ANSWER_BYTES_MAX)
        if whole is None:
            raise EngineError(Reason.ANSWER_TOO_LARGE, "the server's answer is too long", retry=False)
        sink.embeddings(*embeddings_of(whole.decode(errors="replace")))


def hand_over(events: list[Event], sink: Sink) -> bool:
    """Event by event. False: `[DONE]`, or the sink wants no more."""
    return all(event.data != b"[DONE]" and sink.chunk(*sound(event)) for event in events)


async def at_most(answer: httpx2.Response, bytes_max: int) -> bytes | None:
    """The body; None where it is longer, and then the rest is not read."""
    whole = bytearray()
    async for part in answer.aiter_bytes():
        whole += part
        if len(whole) > bytes_max:
            return None
    return bytes(whole)


async def kind_of(answer: httpx2.Response) -> str:
    """The type that the server gives its error; its message may quote the prompt and is left out."""
    try:
        error = json.loads(await at_most(answer, ERROR_BYTES_MAX) or b"null")
    except ValueError:
        return "over HTTP"
    return plain_kind(error.get("error", error)) if isinstance(error, dict) else "over HTTP"


def plain_kind(error: object) -> str:
    """The `type` of an error object where it is a plain word."""
    kind = error.get("type") if isinstance(error, dict) else None
    return kind if isinstance(kind, str) and PLAIN.fullmatch(kind) else "error"


def context_of(model: dict[str, Any]) -> int:
    """Tokens of context of an entry of GET /models."""
    context = model.get("max_model_len")
    return context if isinstance(context, int) and 0 <= context < 2**32 else 0


def trace_headers(job: Job) -> dict[str, str]:
    """W3C Trace Context: the server's span becomes a child of the fast path's."""
    headers = {"traceparent": job.traceparent, "tracestate": job.tracestate}
    return {name: value for name, value in headers.items() if value}


def client_of(options: OpenAIOptions) -> httpx2.AsyncClient:
    """A client that keeps one connection a slot. Proxies of the environment are not for engines."""
    headers = {"authorization": f"Bearer {options.api_key}"} if options.api_key else {}
    return httpx2.AsyncClient(
        verify=ssl.create_default_context(cafile=str(options.ca_file)) if options.ca_file else True,
        base_url=options.url.rstrip("/") + "/",
        headers=headers,
        timeout=httpx2.Timeout(options.read_timeout_s, connect=options.connect_timeout_s),
        # One more than slots: to ask for its health.
        limits=httpx2.Limits(max_connections=options.slots + 1, max_keepalive_connections=options.slots),
        trust_env=False,
    )


def sound(event: Event) -> tuple[dict[str, Any], str | None]:
    """One chunk and the text of its choices. Raises EngineError where it is an error or no JSON object."""
    try:
        # Lines of one event are one JSON text: an end of a line can only stand between its parts.
        chunk, choices = chunk_of(event.data.replace(b"\n", b" ").decode())
    except ValueError as error:
        raise EngineError(Reason.WORKER_FAILED, "the server sent no JSON object", retry=True) from error
    if fault := chunk.get("error") or (event.type == "error" and chunk):
        raise error_in_stream(fault)
    return chunk, choices


def error_in_stream(fault: object) -> EngineError:
    """An error in place of a chunk, by its code where it has one."""
    code = fault.get("code") if isinstance(fault, dict) else None
    if isinstance(code, int) and 400 <= code < 600:
        return refused_by_engine(code, plain_kind(fault))
    return EngineError(Reason.WORKER_FAILED, f"the server failed in the stream: {plain_kind(fault)}", retry=True)
