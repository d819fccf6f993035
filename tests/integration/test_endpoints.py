"""Endpoints beside chat, as the OpenAI SDK sees them: embeddings and models."""

from __future__ import annotations

import math
import urllib.parse

import httpx
import openai
import pytest

from tests.integration.clients import ALPHA, sync_client, trust, user
from tests.integration.processes import Stack

DIMENSIONS = 64


def test_embeddings_as_the_sdk_asks_for_them(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="gpt-4o-mini", input=["one", "two words", "one"])  # base64 on the wire
    vectors = [item.embedding for item in answer.data]
    assert (answer.object, answer.model, [item.index for item in answer.data]) == ("list", "gpt-4o-mini", [0, 1, 2])
    assert all(len(vector) == DIMENSIONS and math.isclose(math.hypot(*vector), 1, abs_tol=1e-5) for vector in vectors)
    assert vectors[0] == vectors[2] != vectors[1]
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (4, 4)


@pytest.mark.parametrize("text", ["one", [1, 2, 3], [[1, 2], [3]], ["a", "b"]], ids=str)
def test_embeddings_take_text_and_token_ids_and_base64_holds_the_same_floats(
    client: openai.OpenAI, text: str | list[str] | list[int] | list[list[int]]
) -> None:
    coded = client.embeddings.create(model="chat", input=text)
    plain = client.embeddings.create(model="chat", input=text, encoding_format="float")
    assert len(coded.data) == len(plain.data) > 0
    for one, other in zip(coded.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding)


def test_embeddings_have_the_dimensions_that_were_asked_for(client: openai.OpenAI) -> None:
    assert len(client.embeddings.create(model="chat", input="x", dimensions=7).data[0].embedding) == 7


def test_embeddings_are_in_journal_and_metrics_like_every_request(stack: Stack, client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model="chat", input="three small words")
    record = stack.record_of(raw.headers["x-request-id"])
    assert (record["endpoint"], record["outcome"], record["prompt_tokens"]) == ("embeddings", "answered", 3)
    assert record["completion_tokens"] == 0


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "x", "dimensions": 0}, "dimensions"),
        ({"input": [1.5]}, "input[0]"),
        ({"input": "x", "stream": True}, "stream"),
        ({}, "input"),
    ],
    ids=str,
)
def test_embeddings_that_break_the_rules_are_refused(
    client: openai.OpenAI, fields: dict[str, object], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/embeddings", body={"model": "chat", **fields}, cast_to=object)
    assert (caught.value.type, caught.value.param) == ("invalid_request_error", param)


def test_models_are_found_by_name_and_alias_whatever_the_coding(stack: Stack, client: openai.OpenAI) -> None:
    assert client.models.retrieve("chat").id == "chat"
    assert client.models.retrieve("gpt-4o-mini").owned_by == "dpu-app"
    with httpx.Client(verify=trust(stack)) as http:
        coded = http.get(f"{stack.url}/v1/models/%63hat", headers={"authorization": f"Bearer {ALPHA}"})
        assert (coded.status_code, coded.json()["id"], coded.json()["object"]) == (200, "chat", "model")


@pytest.mark.parametrize("name", ["nobody", "org/nobody", "ch at", "chat/"])
def test_model_that_is_not_there_is_a_typed_404(stack: Stack, name: str) -> None:
    with httpx.Client(verify=trust(stack)) as http:
        path = f"{stack.url}/v1/models/{urllib.parse.quote(name, safe='')}"
        answer = http.get(path, headers={"authorization": f"Bearer {ALPHA}"})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"], error["param"]) == (
        404,
        "invalid_request_error",
        "model_not_found",
        "model",
    )
    assert answer.headers["x-request-id"]


def test_models_want_a_key_too(stack: Stack) -> None:
    with sync_client(stack, "sk-nobody") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.retrieve("chat")


@pytest.mark.parametrize("stream", [False, True])
def test_several_choices_are_several_answers(client: openai.OpenAI, stream: bool) -> None:
    if not stream:
        answer = client.chat.completions.create(model="chat", messages=user("one two"), n=3)
        assert [choice.message.content for choice in answer.choices] == ["one two"] * 3
        assert answer.usage is not None and answer.usage.completion_tokens == 6
        return
    texts = ["", "", ""]
    for chunk in client.chat.completions.create(model="chat", messages=user("one two"), n=3, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == ["one two"] * 3


def test_more_choices_than_allowed_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="chat", messages=user("x"), n=9)
    assert caught.value.param == "n"
