"""The openai engine against a small HTTP server that plays vLLM: streams, errors, silence, cancellation."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from abi.gen.reasons import Reason
from host_agent.worker.answer import Answer, Outcome
from host_agent.worker.engines.base import EngineError

from .scripted import ScriptedJob

pytest.importorskip("httpx2", reason="httpx2 is not installed (pip install .[openai])")

from host_agent.worker.engines.openai import OpenAIEngine, OpenAIOptions

CHUNKS: list[dict[str, Any]] = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}},
]


HELLO = b'{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}'
WIRE = {
    "no usage, comments, lines of all kinds": b": ping\r\n\r\ndata:" + HELLO + b"\r\rdata: [DONE]\n\n",
    "many lines": b"data: " + HELLO.replace(b",", b",\ndata: ", 1) + b"\n\ndata: [DONE]\n\n",
    "a refusal": b'data: {"error": {"code": 400, "type": "BadRequestError", "message": "secret prompt"}}\n\n',
    "too busy": b'event: error\ndata: {"error": {"code": 503, "type": "busy"}}\n\n',
    "an error event": b'event: error\ndata: {"message": "secret prompt"}\n\n',
    "no JSON": b"data: secret prompt\n\n",
}
"""What the server sends, byte for byte."""


class Server(BaseHTTPRequestHandler):
    """Does what the question's first message says."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[dict[str, Any]]] = []
    closed: ClassVar[threading.Event] = threading.Event()
    sick: ClassVar[bool] = False

    def do_GET(self) -> None:
        self.whole({"data": [{"id": "llama-3", "max_model_len": 4096}]}, 503 if self.sick else 200)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(body | {"path": self.path, "headers": dict(self.headers)})
        if self.path.endswith("/embeddings"):
            return self.whole({"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 3}})
        play = body["messages"][0]["content"]
        if play.isdigit():
            return self.whole({"error": {"message": "secret prompt"}}, int(play))
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        return self.stream(play)

    def stream(self, play: str) -> None:
        if play == "error":
            return self.event(json.dumps({"error": {"type": "overloaded", "message": "secret prompt"}}))
        if play in WIRE:
            self.send(WIRE[play])
            return self.send(b"")
        for chunk in CHUNKS[: 2 if play in ("cut", "hang") else None]:
            self.event(json.dumps(chunk))
        if play == "hang":
            self.wait_for_close()
        if play != "cut":
            self.event("[DONE]")
        return self.send(b"")

    def wait_for_close(self) -> None:
        self.connection.settimeout(20)
        if self.connection.recv(1) == b"":
            self.closed.set()

    def event(self, data: str) -> None:
        self.send(f"data: {data}\r\n\r\n".encode())

    def send(self, part: bytes) -> None:
        try:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        except OSError:
            self.close_connection = True

    def whole(self, answer: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def engine() -> Iterator[OpenAIEngine]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    made = OpenAIEngine(OpenAIOptions(url=url, models={}, slots=4, api_key="k", read_timeout_s=2))
    yield made
    made.close()
    server.shutdown()
    server.server_close()


def ask(play: str, **more: Any) -> ScriptedJob:
    return ScriptedJob(
        {"messages": [{"role": "user", "content": play}], "model": "x", "stream": True}, **({"model": "llama-3"} | more)
    )


def run(engine: OpenAIEngine, job: ScriptedJob) -> Outcome:
    answer = Answer(job)
    try:
        engine.generate(job, answer)
    except EngineError as error:
        return answer.fail(error)
    return answer.finish()


def test_models_are_what_the_server_says(engine: OpenAIEngine) -> None:
    assert [model.name for model in engine.models()] == ["llama-3"]


def test_stream_is_forwarded_with_usage(engine: OpenAIEngine) -> None:
    job = ask("answer", token_budget=5)
    assert run(engine, job) is Outcome.ANSWERED
    assert job.text == "Hello" and [count for count, _, _ in job.fragments] == [0, 1, 1, 0]
    assert (job.ending[1]["prompt_tokens"], job.ending[1]["completion_tokens"]) == (4, 2)
    asked = Server.asked[-1]
    assert (asked["model"], asked["max_tokens"], asked["headers"]["authorization"]) == ("llama-3", 5, "Bearer k")
    assert "traceparent" not in asked["headers"]


@pytest.mark.parametrize("embeddings", [False, True])
def test_trace_is_forwarded_to_the_server(engine: OpenAIEngine, embeddings: bool) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    run(engine, ask("answer", traceparent=parent, tracestate="rojo=1", embeddings=embeddings))
    headers = Server.asked[-1]["headers"]
    assert (headers["traceparent"], headers["tracestate"]) == (parent, "rojo=1")


def test_whole_answer_is_assembled(engine: OpenAIEngine) -> None:
    job = ask("answer", stream=False)
    run(engine, job)
    assert job.ending[1]["choices"][0]["message"] == {"role": "assistant", "content": "Hello"}


def test_embeddings_are_handed_through(engine: OpenAIEngine) -> None:
    job = ScriptedJob({"input": "x"}, embeddings=True, model="llama-3")
    assert run(engine, job) is Outcome.ANSWERED
    assert job.ending[1]["choices"] == [{"index": 0, "embedding": [0.5]}]
    assert job.ending[1]["prompt_tokens"] == 3


@pytest.mark.parametrize(
    ("play", "reason", "retry"),
    [
        ("400", Reason.FIELD_VALUE, False),
        ("401", Reason.WORKER_REFUSED, True),
        ("429", Reason.WORKERS_BUSY, True),
        ("500", Reason.WORKER_FAILED, True),
        ("error", Reason.WORKER_FAILED, True),
        ("cut", Reason.WORKER_FAILED, False),
        ("a refusal", Reason.FIELD_VALUE, False),
        ("too busy", Reason.WORKERS_BUSY, True),
        ("an error event", Reason.WORKER_FAILED, True),
        ("no JSON", Reason.WORKER_FAILED, True),
    ],
)
def test_error_of_the_server_becomes_a_reason(engine: OpenAIEngine, play: str, reason: Reason, retry: bool) -> None:
    job = ask(play)
    assert run(engine, job) is Outcome.FAILED
    kind, fields = job.ending
    assert (kind, fields["reason"], fields["retry"]) == ("fail", reason, retry)
    assert "secret" not in fields["detail"]


def test_cancel_closes_the_connection_of_a_silent_server(engine: OpenAIEngine) -> None:
    Server.closed.clear()
    job = ask("hang")
    thread = threading.Thread(target=run, args=(engine, job))
    thread.start()
    time.sleep(0.3)
    job.cancelled = True
    assert job.ended.wait(1) and Server.closed.wait(1)
    thread.join()
    assert job.ending[0] == "stopped"


def test_silence_longer_than_the_read_timeout_fails(engine: OpenAIEngine) -> None:
    job = ask("hang")
    assert run(engine, job) is Outcome.FAILED
    assert job.ending[1]["reason"] == Reason.WORKER_TIMEOUT


def test_name_that_is_not_announced_is_refused(engine: OpenAIEngine) -> None:
    job = ask("answer", model="other")
    run(engine, job)
    assert (job.ending[1]["reason"], job.ending[1]["retry"]) == (Reason.WORKER_REFUSED, True)


def test_unreachable_server_is_reported_at_start() -> None:
    import httpx2

    with pytest.raises(httpx2.ConnectError):
        OpenAIEngine(OpenAIOptions(url="http://127.0.0.1:9/v1", models={}, slots=1))


@pytest.mark.parametrize("play", list(WIRE)[:2])
def test_stream_is_read_as_the_standard_says(engine: OpenAIEngine, play: str) -> None:
    job = ask(play)
    assert run(engine, job) is Outcome.ANSWERED
    assert (job.text, job.ending[1]["completion_tokens"]) == ("hi", 1)


def test_type_of_a_refusal_is_named_and_its_message_is_not(engine: OpenAIEngine) -> None:
    job = ask("a refusal")
    run(engine, job)
    assert "400 BadRequestError" in job.ending[1]["detail"]


def test_context_is_what_the_server_says(engine: OpenAIEngine) -> None:
    assert engine.models()[0].context_tokens == 4096


class HeldJob(ScriptedJob):
    """A job whose client does not read until it is let go."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.begun, self.go = threading.Event(), threading.Event()

    def tokens(self, count: int, choices: bytes, finish: bool = False) -> bool:
        self.begun.set()
        assert self.go.wait(20)
        return super().tokens(count, choices, finish)


def test_client_that_does_not_read_holds_up_nobody_else(engine: OpenAIEngine) -> None:
    held = HeldJob({"messages": [{"role": "user", "content": "answer"}], "stream": True}, model="llama-3")
    thread = threading.Thread(target=run, args=(engine, held))
    thread.start()
    assert held.begun.wait(20)
    others = [ask("answer") for _ in range(5)]
    assert [run(engine, job) for job in others] == [Outcome.ANSWERED] * 5
    assert not held.endings
    held.go.set()
    thread.join(20)
    assert held.text == "Hello"


def test_server_that_is_not_well_is_named_until_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    engine = OpenAIEngine(OpenAIOptions(url=url, models={}, slots=1, health_interval_s=0.05))
    try:
        assert engine.trouble == ""
        monkeypatch.setattr(Server, "sick", True)
        until(lambda: "does not answer" in engine.trouble)
        monkeypatch.setattr(Server, "sick", False)
        until(lambda: engine.trouble == "")
    finally:
        engine.close()
        server.shutdown()
        server.server_close()


def until(condition: Any) -> None:
    """Waits for a condition, bounded."""
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came so")
