"""A real model behind the whole product, started by the launcher that people use: equal text, confirmed cancel."""

from __future__ import annotations

import json
import ssl
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from certs import dev_ca
from deploy.local import ports
from deploy.local.processes import StackError
from deploy.local.settings import ROOT, Settings
from deploy.local.show import find_record
from deploy.local.stack import Stack
from host_agent.worker import model_file
from tests.integration.processes import free_ports, parse_metrics, total, until

xllamacpp = pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install .[llama])")
pytest.importorskip("dpu_fastpath", reason="the Rust module is not built (make setup)")
try:
    MODEL = model_file.find_default()
except model_file.ModelMissing as missing:
    pytest.skip(str(missing), allow_module_level=True)

pytestmark = pytest.mark.timeout(300)  # a model on two cores that others use too

QUESTION: Any = [{"role": "user", "content": "Name three colours."}]
TOKENS = 24


def free_block(count: int) -> int:
    """The first of `count` free ports in a row."""
    for first in free_ports(32):
        if not any(ports.taken("127.0.0.1", first + offset) for offset in range(count)):
            return first
    raise AssertionError("no free ports in a row")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    dev_ca.make(ROOT / "certs/dev")
    said: list[str] = []
    settings = Settings(
        engine="llama",
        workers=1,
        slots=1,
        run_dir=tmp_path_factory.mktemp("run"),
        port=free_block(1),
        health_port=free_block(3),
        worker_port=free_block(1),
    )
    made = Stack(settings, said.append)
    try:
        made.start()
        assert any("effective.yaml" in line for line in said) and "ready" in said[-1]
        yield made
    finally:
        made.stop()
    assert [child.ended() for child in made.children] == [0, 0, 0]


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    http = openai.DefaultHttpxClient(verify=ssl.create_default_context(cafile=str(stack.ca)))
    with openai.OpenAI(
        base_url=f"{stack.url}/v1", api_key="sk-dev-alpha", http_client=http, max_retries=0, timeout=120
    ) as made:
        yield made


def direct_text() -> str:
    """What the engine says without a line of ours in between, from a fresh prefix cache and one slot."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path, parameters.n_parallel, parameters.n_ctx = str(MODEL), 1, 2048
    got: list[dict[str, Any]] = []

    def take(text: str) -> bool:
        got.append(json.loads(text))
        return False

    body = {"messages": QUESTION, "max_tokens": TOKENS, "temperature": 0}
    xllamacpp.Server(parameters).handle_chat_completions(json.dumps(body), take)
    text = got[0]["choices"][0]["message"]["content"]
    assert isinstance(text, str)
    return text


def test_greedy_text_through_the_product_equals_the_engines_own(client: openai.OpenAI) -> None:
    # First in this file: equal prefix caches, both empty.
    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=QUESTION, max_completion_tokens=TOKENS, temperature=0, stream=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == direct_text()


def test_whole_answer_has_usage_of_the_engine(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=QUESTION, max_tokens=4, temperature=0)
    assert answer.usage is not None and answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 4 and answer.usage.prompt_tokens > 20
    assert answer.choices[0].message.content


def test_cancelled_generation_has_really_stopped(stack: Stack, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="chat", messages=QUESTION, max_tokens=1000, temperature=0, stream=True
    )
    stream = raw.parse()
    for _ in range(3):
        next(iter(stream))
    stream.close()
    record = find_record(stack.journal, raw.headers["x-request-id"])
    assert (record["outcome"], record["worker"]) == ("client_gone", "w0")
    assert record["completion_tokens"] < 500

    def stopped() -> bool:
        return total(metrics(stack), "dpu_worker_engine_requests_total", outcome="cancelled") == 1

    until(stopped, "the engine counts the cancelled request", 10)
    seconds = total(metrics(stack), "dpu_worker_engine_cancel_seconds_sum")
    print(f"CANCEL seen to slot free: {seconds * 1000:.2f} ms; record: {record}")
    assert seconds < 2
    began = time.monotonic()
    client.chat.completions.create(model="chat", messages=QUESTION, max_tokens=1)
    assert time.monotonic() - began < 30, "the slot was not free"


def metrics(stack: Stack) -> Any:
    """The worker's metrics."""
    with urllib.request.urlopen(stack.workers[0].health + "/metrics", timeout=5) as answer:
        return parse_metrics(answer.read().decode())


def test_prompt_that_does_not_fit_is_refused_with_its_size(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "word " * 4000}], max_tokens=1
        )
    assert "word word" not in str(refused.value)


def test_taken_port_is_refused_by_name(stack: Stack, tmp_path: Path) -> None:
    again = Stack(Settings(engine="echo", run_dir=tmp_path, port=stack.effective.port), lambda _: None)
    with pytest.raises(StackError, match=f"port {stack.effective.port} .* taken by .*pid {stack.fastpath.pid}"):
        again.start()


def test_embeddings_come_from_the_same_model(client: openai.OpenAI) -> None:
    texts = ["a cat sat on the mat", "a cat lay on the mat", "quarterly tax return"]
    vectors = [item.embedding for item in client.embeddings.create(model="chat", input=texts).data]
    near, far = (sum(a * b for a, b in zip(vectors[0], other, strict=True)) for other in vectors[1:])
    assert near > far
