"""The unmodified `openai` package against the whole product: answers, streams, typed errors."""

from __future__ import annotations

import asyncio
import time

import openai
import pytest

from tests.integration.clients import BETA, async_client, content, script, sync_client, user
from tests.integration.processes import Stack

TEXT = "the quick brown fox"


def test_answer_is_whole_and_counted(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=user(TEXT))
    assert answer.choices[0].message.content is not None
    assert answer.choices[0].message.content.split() == TEXT.split()
    assert answer.choices[0].finish_reason == "stop"
    assert answer.object == "chat.completion"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (4, 4, 8)


def test_stream_says_the_same_as_the_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=user(TEXT))
    chunks = list(client.chat.completions.create(model="chat", messages=user(TEXT), stream=True))
    assert content(chunks) == answer.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert {chunk.model for chunk in chunks} == {"chat"}


def test_stream_has_usage_only_where_it_was_asked_for(client: openai.OpenAI) -> None:
    plain = list(client.chat.completions.create(model="chat", messages=user(TEXT), stream=True))
    asked = list(
        client.chat.completions.create(
            model="chat", messages=user(TEXT), stream=True, stream_options={"include_usage": True}
        )
    )
    assert [chunk.usage for chunk in plain if chunk.usage] == []
    assert asked[-1].usage is not None
    assert asked[-1].usage.completion_tokens == 4
    assert asked[-1].choices == []


def test_tokens_arrive_one_by_one_and_not_at_the_end(client: openai.OpenAI) -> None:
    arrived = [
        time.monotonic()
        for chunk in client.chat.completions.create(model="chat", messages=script(tokens=5, delay_ms=100), stream=True)
        if chunk.choices and chunk.choices[0].delta.content
    ]
    assert len(arrived) == 5
    assert arrived[-1] - arrived[0] > 0.3


def test_token_budget_ends_the_answer_with_length(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=script(tokens=50), max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


def test_legacy_completions_answer_and_stream(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="chat", prompt=TEXT)
    chunks = list(client.completions.create(model="chat", prompt=TEXT, stream=True))
    assert answer.object == "text_completion"
    assert answer.choices[0].text.split() == TEXT.split()
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == answer.choices[0].text


def test_alias_is_answered_under_the_name_that_was_asked(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=user(TEXT))
    assert answer.model == "gpt-4o-mini"


def test_models_lists_names_and_aliases(client: openai.OpenAI) -> None:
    assert {"chat", "gpt-4o-mini"} <= {model.id for model in client.models.list()}


def test_asynchronous_client_streams_many_at_once(stack: Stack) -> None:
    async def one(client: openai.AsyncOpenAI, number: int) -> str:
        stream = await client.chat.completions.create(
            model="chat", messages=user(f"this is request {number}"), stream=True
        )
        return content([chunk async for chunk in stream])

    async def many() -> list[str]:
        async with async_client(stack) as client:
            return await asyncio.gather(*(one(client, number) for number in range(40)))

    assert [text.split()[-1] for text in asyncio.run(many())] == [str(number) for number in range(40)]


def test_answers_have_a_request_id_that_is_in_the_journal(stack: Stack, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=user(TEXT))
    record = stack.record_of(raw.headers["x-request-id"])
    assert record["outcome"] == "answered"
    assert (record["tenant"], record["model_asked"], record["model"]) == ("alpha", "gpt-4o-mini", "chat")
    assert record["arm"] in {"stable", "canary"}
    assert record["worker"] in {"w0", "w1"}
    assert (record["prompt_tokens"], record["completion_tokens"]) == (4, 4)
    assert TEXT not in str(record)


def test_wrong_key_is_an_authentication_error(stack: Stack) -> None:
    with sync_client(stack, "sk-nobody") as stranger, pytest.raises(openai.AuthenticationError) as caught:
        stranger.chat.completions.create(model="chat", messages=user(TEXT))
    assert caught.value.request_id
    assert caught.value.code == "invalid_api_key"


def test_unknown_model_is_a_not_found_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nobody", messages=user(TEXT))
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    "extra",
    [{"no_such_field": 1}, {"max_tokens": 0}, {"temperature": "warm"}, {"n": 1.5}],
    ids=lambda extra: next(iter(extra)),
)
def test_request_that_breaks_the_rules_is_a_bad_request_error(client: openai.OpenAI, extra: dict[str, object]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="chat", messages=user(TEXT), extra_body=extra)
    assert caught.value.type == "invalid_request_error"


def test_over_limit_request_is_a_rate_limit_error_with_retry_after(own_stack: Stack) -> None:
    with sync_client(own_stack, BETA) as beta:
        with pytest.raises(openai.RateLimitError) as caught:
            for _ in range(70):
                beta.chat.completions.create(model="chat", messages=user("hi"))
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert caught.value.response.headers["x-ratelimit-limit-requests"] == "60"


def test_fifth_request_at_once_is_a_rate_limit_error_and_room_comes_back(own_stack: Stack) -> None:
    with sync_client(own_stack, BETA) as beta:
        held = [
            beta.chat.completions.create(model="chat", messages=script(tokens=100, delay_ms=50), stream=True)
            for _ in range(4)
        ]
        for stream in held:
            next(stream)
        with pytest.raises(openai.RateLimitError):
            beta.chat.completions.create(model="chat", messages=user("one too many"))
        for stream in held:
            stream.close()
        for _ in range(50):
            try:
                beta.chat.completions.create(model="chat", messages=user("again"))
                break
            except openai.RateLimitError:
                continue
        else:
            pytest.fail("the room of closed streams did not come back")
