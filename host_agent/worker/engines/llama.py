"""llama.cpp in this process (xllamacpp): real tokens, one slot a request, prefix cache on."""

from __future__ import annotations

import json
import os
import re
import secrets
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xllamacpp

from abi.gen.reasons import Reason
from host_agent.worker import model_file
from host_agent.worker.engines.base import (
    EngineError,
    Job,
    Model,
    Sink,
    chunk_of,
    embeddings_of,
    engine_body,
    refused_by_engine,
    unsuitable,
)

PREFILL_STEP_TOKENS = 64
"""Prompt tokens between two looks for CANCEL: 0.6 s on two cores, within the second that a fast path waits for
CANCELLED. Smaller steps make prefill slower."""
STOP_TIMEOUT_S = 5.0
STOP_POLL_S = 0.0005
PROCESSING = re.compile(r"^llamacpp:requests_processing (\d+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class LlamaOptions:
    """How models are loaded."""

    models: dict[str, Path]
    """Name in REQUEST frames -> gguf file; a file with two names is loaded once."""
    slots: int
    """Requests that run at the same time."""
    context_tokens: int = 2048
    """Prompt and completion together, per slot."""
    threads: int = os.cpu_count() or 1
    """CPU threads of the engine."""


class LlamaEngine:
    """Serves gguf files. Raises xllamacpp's RuntimeError where a file cannot be loaded."""

    def __init__(self, options: LlamaOptions) -> None:
        self.options = options
        self.running = 0
        self.lock = threading.Lock()
        files = load(options)
        self.servers = {name: files[path] for name, path in options.models.items()}

    def models(self) -> list[Model]:
        """Name, digest, quantisation and context of each file."""
        digests = {path: model_file.digest(path) for path in set(self.options.models.values())}
        return [
            Model(
                name=name,
                digest=digests[path],
                quantisation=model_file.quantisation(path),
                context_tokens=self.options.context_tokens,
            )
            for name, path in self.options.models.items()
        ]

    def generate(self, job: Job, sink: Sink) -> None:
        """Streams one answer; returns when its slot is free again."""
        server = self.servers.get(job.model)
        if server is None:
            raise EngineError(Reason.WORKER_REFUSED, f"model {job.model!r} is not loaded here", retry=True)
        if job.embeddings:
            return self.embed(server, job, sink)
        with self.lock:
            self.running += 1
        feed = Feed(sink)
        try:
            self.call(server, job, feed)
        finally:
            with self.lock:
                self.running -= 1
        if feed.stopped:
            self.wait_until_free(server)
        if feed.error is not None:
            raise feed.error

    def call(self, server: Any, job: Job, feed: Feed) -> None:
        """Blocks until the engine has called back for the last time."""
        handle = server.handle_completions if job.completions else server.handle_chat_completions
        # return_progress calls back during prefill too: the only moment at which a long prompt can be stopped.
        body = engine_body(job, return_progress=True)
        try:
            handle(json.dumps(body), feed)
        except (ValueError, RuntimeError) as error:  # template, grammar and parse errors; they may quote the prompt
            raise refused_by_engine(400, type(error).__name__) from error

    def embed(self, server: Any, job: Job, sink: Sink) -> None:
        """One question, one answer. llama.cpp cannot be stopped in between: at most one context of prefill an input."""
        body = json.loads(job.body)
        if "dimensions" in body:
            raise EngineError(Reason.FIELD_VALUE, "this model's embeddings have one size: no dimensions", retry=False)
        try:
            text = server.handle_embeddings(json.dumps(body))
        except (ValueError, RuntimeError) as error:
            raise refused_by_engine(400, type(error).__name__) from error
        if (fault := chunk_of(text)[0].get("error")) is not None:
            unable = fault.get("code") == 501
            raise unsuitable("this model makes no embeddings") if unable else error_of(fault)
        sink.embeddings(*embeddings_of(text))

    def wait_until_free(self, server: Any) -> None:
        """Returns when the engine has let go of the slot. It only posts the cancellation before it returns to us, and
        its figures may overtake that: so look at least twice, and until no more run than we know of."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        processing(server)
        while processing(server) > self.running and time.monotonic() < deadline:
            time.sleep(STOP_POLL_S)

    def close(self) -> None:
        """Frees the models."""
        self.servers.clear()


class Feed:
    """The engine's callback: hands chunks to the sink. Returning True makes the engine stop."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.stopped = False
        self.error: EngineError | None = None
        self.role: dict[str, Any] | None = None

    def __call__(self, text: str) -> bool:
        """One JSON chunk, or `{"error": ...}`. Must not raise: xllamacpp would swallow it."""
        try:
            self.stopped = not self.take(*chunk_of(text))
        except EngineError as error:
            self.error, self.stopped = error, True
        except Exception as error:
            self.error, self.stopped = EngineError(Reason.INTERNAL, type(error).__name__, retry=True), True
        return self.stopped

    def take(self, chunk: dict[str, Any], choices: str | None) -> bool:
        """False: stop."""
        if error := chunk.get("error"):
            raise error_of(error)
        return self.sink.chunk(chunk, choices)


def error_of(error: dict[str, Any]) -> EngineError:
    """An error that came in place of a chunk. Only the known one is quoted: others may hold prompt text."""
    if error.get("type") == "exceed_context_size_error":
        asked, limit = error.get("n_prompt_tokens"), error.get("n_ctx")
        detail = f"the prompt has {asked} tokens, the context {limit}"
        return EngineError(Reason.FIELD_VALUE, detail, retry=False)
    return refused_by_engine(int(error.get("code") or 500), str(error.get("type") or "error"))


def processing(server: Any) -> int:
    """Requests in slots now, in the engine's own words."""
    found = PROCESSING.search(server.handle_metrics())
    return int(found.group(1)) if found else 0


def load(options: LlamaOptions) -> dict[Path, Any]:
    """Loads every file once. xllamacpp always opens its HTTP server too, by default on a TCP port without a key: a
    way around everything that a fast path enforces. So it listens on a socket that is gone once it is bound."""
    with tempfile.TemporaryDirectory(prefix="host-worker-") as private:
        paths = enumerate(set(options.models.values()))
        return {path: xllamacpp.Server(parameters(path, options, f"{private}/{index}.sock")) for index, path in paths}


def parameters(path: Path, options: LlamaOptions, socket: str) -> Any:
    """llama.cpp's parameters of one model. `socket`: where its unwanted HTTP server listens."""
    made = xllamacpp.CommonParams()
    made.model.path = str(path)
    made.n_parallel = options.slots
    made.n_ctx = options.context_tokens * options.slots
    made.n_batch = PREFILL_STEP_TOKENS
    made.n_ubatch = PREFILL_STEP_TOKENS
    made.cpuparams.n_threads = options.threads
    made.embedding = True
    if not model_file.names_pooling(path):
        # Without one llama.cpp refuses embeddings. The last token has seen the whole input, and only with this pooling
        # is an input longer than a prefill step taken. A chat is not touched by it.
        made.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_LAST
    made.endpoint_metrics = True  # wait_until_free reads them, in process
    made.hostnames = [socket]
    made.api_keys = [secrets.token_hex(32)]
    made.ui = made.endpoint_slots = made.endpoint_props = False
    return made
