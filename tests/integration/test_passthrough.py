"""What is only passed on is passed on untouched: tool calls, logprobs, response_format, several choices, the trace."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from ruamel.yaml import YAML

from tests.integration import upstream
from tests.integration.clients import ALPHA, sync_client, trust, user
from tests.integration.processes import Stack, build, running
from tests.integration.test_privacy import written
from tests.integration.upstream import Upstream

pytest.importorskip("httpx2", reason="httpx2 is not installed (pip install .[openai])")

SLASHED = "org/chat-7b:latest"
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}},
    {"type": "function", "function": {"name": "time", "strict": True, "parameters": {"type": "object"}}},
]
SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {"name": "colour", "strict": True, "schema": {"type": "object", "required": ["colour"]}},
}
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.fixture(scope="module")
def server() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, certs: Any, server: Upstream) -> Iterator[Stack]:
    """Two workers in front of the scripted server; the model has a name with a slash too."""
    made = build(tmp_path_factory.mktemp("passthrough"), certs)
    for worker in made.workers:
        at = worker.command.index("--engine")
        worker.command[at + 1 : at + 2] = ["openai", "--openai-url", server.url]
    yaml = YAML()
    desired = yaml.load(made.config.read_text())
    desired["models"][0]["aliases"].append(SLASHED)
    words = {"name": "words", "arms": [{"name": "only", "weight_percent": 100}]}
    desired["models"].append(words)
    desired["tenants"][0]["models"].append("words")
    with made.config.open("w") as file:
        yaml.dump(desired, file)
    yield from running(made)


def events(stack: Stack, **more: Any) -> list[str]:
    """The data of each event of a raw stream."""
    body = {"model": "chat", "messages": user("x"), "stream": True, **more}
    with httpx.Client(verify=trust(stack)) as http:
        answer = http.post(
            f"{stack.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {ALPHA}"}, timeout=20
        )
    assert answer.status_code == 200, answer.text
    return [line.removeprefix("data: ") for line in answer.text.splitlines() if line]


@pytest.mark.parametrize(
    ("more", "chunks"),
    [
        ({"n": 2, "logprobs": True, "top_logprobs": 1}, upstream.CHAT),
        ({"tools": TOOLS, "tool_choice": "auto", "parallel_tool_calls": True}, upstream.TOOLS),
        ({"response_format": SCHEMA}, upstream.JSON_TEXT),
    ],
    ids=["choices-logprobs", "tools", "json-schema"],
)
def test_streamed_choices_are_those_of_the_server_byte_for_byte(
    stack: Stack, server: Upstream, more: dict[str, Any], chunks: list[str]
) -> None:
    *found, last = events(stack, **more)
    choices = re.compile(r'^\{"id":"chatcmpl-\w+","object":"chat.completion.chunk","created":\d+,"model":"chat",')
    assert [choices.sub("", event) for event in found] == [f'"choices":{chunk}}}' for chunk in chunks]
    assert last == "[DONE]"
    asked = server.asked[-1][2]
    assert {name: asked[name] for name in more} == more


def test_tool_calls_reach_the_sdk_streamed_and_whole(stack: Stack) -> None:
    with sync_client(stack) as client:
        whole = client.chat.completions.create(model="chat", messages=user("x"), tools=TOOLS)
        stream = client.chat.completions.create(model="chat", messages=user("x"), tools=TOOLS, stream=True)
        parts = [part for chunk in stream for part in chunk.choices[0].delta.tool_calls or []]
    calls = whole.choices[0].message.tool_calls
    assert calls is not None and whole.choices[0].finish_reason == "tool_calls"
    plain = [call.to_dict() for call in calls]
    assert plain == [
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Zürich"}'}},
        {"id": "call_2", "type": "function", "function": {"name": "time", "arguments": "{}"}},
    ]
    streamed = "".join(part.function.arguments or "" for part in parts if part.index == 0 and part.function)
    assert json.loads(streamed) == {"city": "Zürich"}


def test_logprobs_and_choices_reach_the_sdk_whole(stack: Stack) -> None:
    with sync_client(stack) as client:
        answer = client.chat.completions.create(
            model="chat", messages=user("x"), n=2, logprobs=True, top_logprobs=1, extra_body={}
        )
    assert [(c.index, c.message.content, c.finish_reason) for c in answer.choices] == [
        (0, "Hi", "stop"),
        (1, "naïve / café 😀!", "length"),
    ]
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None
    token = logprobs.content[0]
    assert (token.token, token.logprob, token.bytes, token.top_logprobs[0].logprob) == ("Hi", -0.1, [72, 105], -0.1)
    assert answer.choices[0].message.to_dict()["reasoning_content"] == "hm"
    usage = answer.usage
    assert usage is not None and usage.prompt_tokens_details is not None
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (9, 2)


def test_response_format_is_parsed_by_the_sdk(stack: Stack) -> None:
    with sync_client(stack) as client:
        answer = client.chat.completions.create(model="chat", messages=user("x"), response_format=SCHEMA)
    assert json.loads(answer.choices[0].message.content or "") == {"colour": "red"}


def test_embeddings_are_those_of_the_server(stack: Stack, server: Upstream) -> None:
    with sync_client(stack) as client:
        raw = client.embeddings.with_raw_response.create(
            model=SLASHED, input="x", encoding_format="float", dimensions=3
        )
    assert f'"data":{upstream.EMBEDDING}' in raw.text
    path, _, asked = server.asked[-1]
    assert (path, asked) == (
        "/v1/embeddings",
        {"model": "chat", "input": "x", "encoding_format": "float", "dimensions": 3},
    )


def test_model_that_makes_no_embeddings_is_a_typed_404(stack: Stack) -> None:
    with sync_client(stack) as client, pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="words", input="x")
    assert (caught.value.type, caught.value.code, caught.value.param) == (
        "invalid_request_error",
        "model_unsuitable",
        "model",
    )


@pytest.mark.parametrize("coded", ["org/chat-7b:latest", "org%2Fchat-7b%3Alatest"])
def test_model_with_a_slash_is_found_plain_and_coded(stack: Stack, coded: str) -> None:
    with httpx.Client(verify=trust(stack)) as http:
        answer = http.get(f"{stack.url}/v1/models/{coded}", headers={"authorization": f"Bearer {ALPHA}"})
    assert (answer.status_code, answer.json()["id"]) == (200, SLASHED)


def traced(stack: Stack, server: Upstream, headers: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The journal's record, and the headers that the server got."""
    with sync_client(stack) as client:
        raw = client.chat.completions.with_raw_response.create(model="chat", messages=user("x"), extra_headers=headers)
    return stack.record_of(raw.headers["x-request-id"]), server.asked[-1][1]


def test_trace_is_joined_and_forwarded_with_a_span_of_ours(stack: Stack, server: Upstream) -> None:
    caller = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "rojo=00f067aa0ba902b7,congo=t61"}
    record, got = traced(stack, server, caller)
    assert (record["trace_id"], record["parent_span_id"]) == (TRACE, SPAN)
    assert record["span_id"] != SPAN and got["traceparent"] == f"00-{TRACE}-{record['span_id']}-01"
    assert got["tracestate"] == caller["tracestate"]


@pytest.mark.parametrize("parent", [None, "", f"00-{TRACE}-{SPAN}", f"00-{TRACE.upper()}-{SPAN}-01"])
def test_trace_is_begun_where_there_is_none_that_is_valid(stack: Stack, server: Upstream, parent: str | None) -> None:
    record, got = traced(stack, server, {"tracestate": "a=1"} | ({} if parent is None else {"traceparent": parent}))
    assert record["parent_span_id"] is None and record["trace_id"] not in ("0" * 32, TRACE)
    assert got["traceparent"] == f"00-{record['trace_id']}-{record['span_id']}-00"
    assert "tracestate" not in got


MARK = "Xylophonquark"


@pytest.mark.parametrize("status", [200, 400, 404, 422, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True])
def test_fault_of_the_server_is_typed_and_its_words_are_nowhere(stack: Stack, status: int, stream: bool) -> None:
    with sync_client(stack) as client, pytest.raises(openai.APIError) as caught:
        answer = client.chat.completions.create(model="chat", messages=user(f"fault {status} {MARK}"), stream=stream)
        assert [*answer]
    assert isinstance(caught.value.body, dict) and {"type", "code", "message"} <= caught.value.body.keys()
    assert MARK not in str(caught.value.body)
    assert [where for where, text in written(stack) if MARK in text] == []
