"""The llama engine with its real model: text, usage, errors, cancellation. Skipped where the wheels are missing."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from abi.gen.reasons import Reason
from host_agent.worker import model_file
from host_agent.worker.answer import Answer, Outcome
from host_agent.worker.engines.base import EngineError

from .scripted import ScriptedJob

xllamacpp = pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install .[llama])")
try:
    MODEL = model_file.find_default()
except model_file.ModelMissing as missing:
    pytest.skip(str(missing), allow_module_level=True)

from host_agent.worker.engines.llama import LlamaEngine, LlamaOptions, processing  # noqa: E402 - needs xllamacpp

QUESTION = [{"role": "user", "content": "What is a DPU? One sentence."}]
GREEDY: dict[str, Any] = {"messages": QUESTION, "max_tokens": 24, "temperature": 0, "model": "chat"}


def build(slots: int = 1) -> LlamaEngine:
    return LlamaEngine(LlamaOptions(models={"chat": MODEL}, slots=slots))


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaEngine]:
    made = build()
    yield made
    made.close()


@pytest.fixture(scope="module")
def direct() -> dict[str, list[dict[str, Any]]]:
    """The engine's own whole answers, each from a fresh prefix cache, without a line of ours in between."""
    answers = {}
    for kind, body in (("chat", GREEDY), ("text", {"prompt": "Once upon a time", "max_tokens": 16, "temperature": 0})):
        parameters = xllamacpp.CommonParams()
        parameters.model.path, parameters.n_parallel, parameters.n_ctx = str(MODEL), 1, 2048
        server = xllamacpp.Server(parameters)
        got: list[dict[str, Any]] = []
        handle = server.handle_chat_completions if kind == "chat" else server.handle_completions
        handle(json.dumps(body), lambda text, got=got: bool(got.append(json.loads(text))))
        answers[kind] = got[0]["choices"]
    return answers


def run(engine: LlamaEngine, job: ScriptedJob) -> Outcome:
    answer = Answer(job)
    try:
        engine.generate(job, answer)
    except EngineError as error:
        return answer.fail(error)
    return answer.finish()


def test_streamed_greedy_text_equals_the_engine_called_directly(direct: dict[str, list[dict[str, Any]]]) -> None:
    job = ScriptedJob({**GREEDY, "stream": True})
    assert run(build(), job) is Outcome.ANSWERED
    assert job.text == direct["chat"][0]["message"]["content"]


def test_whole_greedy_answer_equals_the_engine_called_directly(direct: dict[str, list[dict[str, Any]]]) -> None:
    job = ScriptedJob(GREEDY)
    run(build(), job)
    assert job.ending[1]["choices"] == direct["chat"]


def test_text_completion_equals_the_engine_called_directly(direct: dict[str, list[dict[str, Any]]]) -> None:
    job = ScriptedJob({"prompt": "Once upon a time", "max_tokens": 16, "temperature": 0}, completions=True)
    run(build(), job)
    assert job.ending[1]["choices"] == direct["text"]


def test_stream_has_one_role_one_finish_and_usage(engine: LlamaEngine) -> None:
    job = ScriptedJob({**GREEDY, "stream": True})
    run(engine, job)
    roles = [choices for _, choices, _ in job.fragments if choices[0]["delta"].get("role")]
    assert len(roles) == 1 and roles[0] is job.fragments[0][1]
    assert [finish for _, _, finish in job.fragments] == [False] * (len(job.fragments) - 1) + [True]
    kind, fields = job.ending
    assert (kind, fields["finish"], fields["completion_tokens"]) == ("end", "length", 24)
    assert sum(count for count, _, _ in job.fragments) == 24
    assert fields["prompt_tokens"] > 30 and fields["decode_us"] > 0


def test_second_question_with_the_same_start_uses_the_prefix_cache(engine: LlamaEngine) -> None:
    for _ in range(2):
        job = ScriptedJob({**GREEDY, "max_tokens": 1})
        run(engine, job)
    assert job.ending[1]["cached_tokens"] > 30


def test_token_budget_ends_the_answer(engine: LlamaEngine) -> None:
    job = ScriptedJob({**GREEDY, "stream": True}, token_budget=3)
    run(engine, job)
    assert (job.ending[1]["finish"], job.ending[1]["completion_tokens"]) == ("length", 3)


def test_cancel_stops_generation_and_frees_the_slot(engine: LlamaEngine) -> None:
    job = ScriptedJob({**GREEDY, "max_tokens": 1000, "stream": True}, cancel_after=4)
    assert run(engine, job) is Outcome.CANCELLED
    assert job.ending == ("stopped", {"tokens_wasted": 1})
    assert processing(engine.servers["chat"]) == 0


def test_cancel_during_a_long_prefill_stops_at_the_next_step(engine: LlamaEngine) -> None:
    body = {"messages": [{"role": "user", "content": "peace " * 1500}], "max_tokens": 4, "stream": True}
    job = ScriptedJob(body)
    thread = threading.Thread(target=run, args=(engine, job))
    thread.start()
    time.sleep(0.2)
    job.cancelled = True
    assert job.ended.wait(30), "the slot never came back"
    thread.join()
    assert job.ending == ("stopped", {"tokens_wasted": 0}) and job.fragments == []


@pytest.mark.parametrize(
    ("body", "more", "reason", "detail"),
    [
        ({"messages": [{"role": "user", "content": "w " * 5000}]}, {}, Reason.FIELD_VALUE, "context 2048"),
        ({"messages": "secret prompt"}, {}, Reason.FIELD_VALUE, "refused"),
        ({**GREEDY, "temperature": "secret prompt"}, {}, Reason.FIELD_VALUE, "invalid_request_error"),
        (GREEDY, {"model": "other"}, Reason.WORKER_REFUSED, "not loaded"),
    ],
)
def test_what_the_engine_refuses_fails_with_a_reason(
    engine: LlamaEngine, body: dict[str, Any], more: dict[str, Any], reason: Reason, detail: str
) -> None:
    job = ScriptedJob(body, **more)
    assert run(engine, job) is Outcome.FAILED
    kind, fields = job.ending
    assert (kind, fields["reason"]) == ("fail", reason)
    assert detail in fields["detail"] and "secret" not in fields["detail"]


def test_two_slots_answer_at_the_same_time() -> None:
    engine = build(slots=2)
    jobs = [ScriptedJob({**GREEDY, "stream": True}) for _ in range(2)]
    threads = [threading.Thread(target=run, args=(engine, job)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [job.ending[0] for job in jobs] == ["end", "end"]


def listening() -> set[str]:
    """Sockets of this process on which somebody could reach it: TCP ports, and Unix sockets that have a file."""
    folder = Path("/proc/self/fd")
    held = {os.readlink(link) for link in folder.iterdir() if link.is_symlink()}
    tcp = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    unix = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    found = {fields[1] for fields in tcp if fields[3] == "0A" and f"socket:[{fields[9]}]" in held}
    return found | {f[7] for f in unix if len(f) > 7 and f"socket:[{f[6]}]" in held and Path(f[7]).exists()}


def test_engine_cannot_be_reached_around_the_worker() -> None:
    before = listening()
    engine = build()
    assert listening() <= before
    engine.close()


def test_model_is_described(engine: LlamaEngine) -> None:
    model = engine.models()[0]
    assert (model.name, model.quantisation, model.context_tokens) == ("chat", "Q4_1", 2048)
    assert model.digest != bytes(32) and len(model.digest) == 32


def test_embeddings_come_from_the_model_that_chats(engine: LlamaEngine) -> None:
    job = ScriptedJob({"input": ["hello", "hello", "peace " * 200], "encoding_format": "float"}, embeddings=True)
    assert run(engine, job) is Outcome.ANSWERED
    vectors = [item["embedding"] for item in job.ending[1]["choices"]]
    assert [item["index"] for item in job.ending[1]["choices"]] == [0, 1, 2]
    assert len(vectors[2]) > 100 and abs(sum(x * x for x in vectors[2]) - 1) < 1e-3
    assert vectors[0] == pytest.approx(vectors[1], abs=0.05) and vectors[0] != vectors[2]
    assert job.ending[1]["prompt_tokens"] > 200


@pytest.mark.parametrize("body", [{"input": "x", "dimensions": 8}, {"input": "peace " * 4000}])
def test_embeddings_that_the_model_cannot_make_are_the_clients_fault(engine: LlamaEngine, body: dict[str, Any]) -> None:
    job = ScriptedJob(body, embeddings=True)
    assert run(engine, job) is Outcome.FAILED
    assert (job.ending[1]["reason"], job.ending[1]["retry"]) == (Reason.FIELD_VALUE, False)
