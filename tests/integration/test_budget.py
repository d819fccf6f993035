"""Token budgets of the running program: reserved, debited as sent, ended cleanly, everything else given back."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from ruamel.yaml import YAML

from tests.integration.clients import ALPHA, async_client, content, script, sync_client, user
from tests.integration.processes import Samples, Stack, build, running, total, until

BURST = 2_000
SLOWLY = {"tokens": BURST, "per": "24h", "burst": BURST}
"""Next to nothing comes back while a test runs, so that sums are exact."""
TENANTS = ("obeyed", "ignored", "crowd", "aborts", "failed", "headers", "reloaded", "drained", "lonely")
"""One for each test: they share stacks and not buckets."""
Edit = Callable[[dict[str, Any]], None]


def key_of(tenant: str) -> str:
    """Its API key."""
    return f"sk-test-{tenant}"


def edit_config(stack: Stack, change: Edit) -> None:
    """Changes the desired state on disk."""
    yaml = YAML()
    desired = yaml.load(stack.config.read_text())
    change(desired)
    with stack.config.open("w") as file:
        yaml.dump(desired, file)


def add_tenants(desired: dict[str, Any]) -> None:
    """2,000 tokens a day for each, and no other limit but many requests."""
    for name in TENANTS:
        digest = hashlib.sha256(key_of(name).encode()).hexdigest()
        limits = {"token_rate": dict(SLOWLY), "request_rate": {"requests": 100_000, "per": "1m"}}
        desired["tenants"].append({"name": name, "keys": [f"sha256:{digest}"], "models": ["chat"], "limits": limits})


def limits_of(desired: dict[str, Any], tenant: str) -> dict[str, Any]:
    """A tenant's limits."""
    limits: dict[str, Any] = next(item for item in desired["tenants"] if item["name"] == tenant)["limits"]
    return limits


def made(folder: Path, certs: Path, change: Edit = lambda desired: None) -> Iterator[Stack]:
    """A running stack with the tenants of these tests."""
    stack = build(folder, certs)
    edit_config(stack, add_tenants)
    edit_config(stack, change)
    yield from running(stack)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[Stack]:
    """One stack for the tests that leave it running."""

    def short_drain(desired: dict[str, Any]) -> None:
        desired["listeners"][0]["limits"]["drain_timeout"] = "300ms"

    yield from made(tmp_path_factory.mktemp("budget"), certs, short_drain)


@dataclass
class Books:
    """What /metrics says of a tenant once nothing runs."""

    debited: float
    prompts: float
    sent: float
    left: float
    reserved: float
    refunded: float


def books(stack: Stack, tenant: str) -> Books:
    """Waits until every request has ended and looks."""
    found: list[Samples] = []

    def idle() -> bool:
        found[:] = [stack.fastpath.metrics()]
        return total(found[0], "dpu_requests_in_flight") == 0

    until(idle, "no request runs", 10)
    samples = found[0]
    return Books(
        debited=total(samples, "dpu_tokens_debited_total", tenant=tenant),
        prompts=total(samples, "dpu_tokens_debited_total", tenant=tenant, kind="prompt"),
        sent=total(samples, "dpu_tokens_total", tenant=tenant, kind="completion"),
        left=total(samples, "dpu_token_bucket_left", scope="tenant", owner=tenant),
        reserved=total(samples, "dpu_token_bucket_reserved", scope="tenant", owner=tenant),
        refunded=total(samples, "dpu_tokens_refunded_total", tenant=tenant),
    )


def check(found: Books) -> None:
    """Debited is what was sent and prompted, and exactly that is missing from the bucket."""
    assert found.debited == found.sent + found.prompts
    assert 0 <= found.left - (BURST - found.debited) <= 2  # what a day's rate gives back in a minute
    assert found.reserved == 0


def journal_tokens(stack: Stack, tenant: str) -> int:
    """Prompt and completion tokens of a tenant's decision records."""
    records = [record for record in stack.journal() if record["tenant"] == tenant]
    return sum(record["prompt_tokens"] + record["completion_tokens"] for record in records)


def finish_reasons(chunks: list[ChatCompletionChunk]) -> dict[int, str]:
    """The last word of each choice."""
    choices = [choice for chunk in chunks for choice in chunk.choices]
    return {choice.index: choice.finish_reason for choice in choices if choice.finish_reason}


def cancelled(stack: Stack) -> float:
    """Requests whose generation was stopped on request, over all workers."""
    return sum(total(worker.metrics(), "dpu_worker_requests_total", outcome="cancelled") for worker in stack.workers)


@pytest.mark.parametrize("ignore", [0, 1], ids=["engine obeys", "engine ignores"])
def test_stream_ends_cleanly_at_the_budget(shared: Stack, ignore: int) -> None:
    tenant = "ignored" if ignore else "obeyed"
    before = cancelled(shared)
    with sync_client(shared, key_of(tenant)) as beta:
        raw = beta.chat.completions.with_raw_response.create(
            model="chat",
            messages=script(tokens=1_000_000, ignore_budget=ignore),
            max_tokens=2048,
            stream=True,
            stream_options={"include_usage": True},
        )
        text = raw.http_response.read().decode()
    assert text.endswith("data: [DONE]\n\n")
    chunks = [ChatCompletionChunk.model_validate_json(line[6:]) for line in text.splitlines()[:-2] if line]
    assert finish_reasons(chunks) == {0: "length"}
    usage = chunks[-1].usage
    assert usage is not None and chunks[-1].choices == []
    said = content(chunks).count("tok")
    assert usage.completion_tokens == said
    assert BURST - 100 < said < BURST
    record = shared.record_of(raw.headers["x-request-id"])
    assert (record["outcome"], record["reason"], record["status"]) == ("answered", "none", 200)
    assert (record["budget_ended"], record["tokens_granted"], record["completion_tokens"]) == (True, said, said)
    assert (record["cancel_ms"] is not None) == bool(ignore)
    found = books(shared, tenant)
    check(found)
    assert found.sent == said
    samples = shared.fastpath.metrics()
    assert total(samples, "dpu_budget_ended_total", tenant=tenant) == 1
    assert cancelled(shared) - before == ignore


def test_engine_that_ignores_max_tokens_is_stopped_there_and_at_every_choice(shared: Stack) -> None:
    with sync_client(shared) as alpha:
        chunks = list(
            alpha.chat.completions.create(
                model="chat", messages=script(tokens=500, ignore_budget=1, delay_ms=1), max_tokens=10, n=3, stream=True
            )
        )
        assert finish_reasons(chunks) == {0: "length", 1: "length", 2: "length"}
        said = [choice.index for chunk in chunks for choice in chunk.choices if choice.delta.content]
        assert len(said) == 30
        with pytest.raises(openai.InternalServerError) as caught:
            alpha.chat.completions.create(model="chat", messages=script(tokens=50, ignore_budget=1), max_tokens=10)
        assert caught.value.status_code == 502


def test_engine_that_falls_silent_at_the_budget_is_not_waited_for(shared: Stack) -> None:
    before = cancelled(shared)
    with sync_client(shared) as alpha:
        chunks = list(
            alpha.chat.completions.create(
                model="chat", messages=script(tokens=50, hang_after=10), max_tokens=10, stream=True
            )
        )
    assert (content(chunks).count("tok"), finish_reasons(chunks)) == (10, {0: "length"})
    until(lambda: cancelled(shared) == before + 1, "the silent engine is stopped", 5)


def test_twenty_at_once_never_overshoot_the_bucket(shared: Stack) -> None:
    async def one(beta: openai.AsyncOpenAI) -> int:
        try:
            stream = await beta.chat.completions.create(
                model="chat", messages=script(tokens=400, delay_ms=1), max_tokens=400, stream=True
            )
        except openai.RateLimitError as error:
            assert int(error.response.headers["retry-after"]) >= 1
            assert error.response.headers["x-ratelimit-limit-tokens"] == str(BURST)
            return 0
        return content([chunk async for chunk in stream]).count("tok")

    async def twenty() -> list[int]:
        async with async_client(shared, key_of("crowd")) as beta:
            return await asyncio.gather(*(one(beta) for _ in range(20)))

    said = asyncio.run(twenty())
    assert 1_600 <= sum(said) <= BURST
    found = books(shared, "crowd")
    check(found)
    assert found.sent == sum(said)
    assert found.debited <= BURST
    until(lambda: journal_tokens(shared, "crowd") == found.debited, "the journal adds up to what was debited", 5)


def test_stream_that_its_client_aborts_costs_what_was_sent(shared: Stack) -> None:
    with sync_client(shared, key_of("aborts")) as beta:
        seen = 0
        for _ in range(3):
            stream = beta.chat.completions.create(
                model="chat", messages=script(tokens=1_000, delay_ms=10), max_tokens=500, stream=True
            )
            for chunk in stream:
                seen += sum(bool(choice.delta.content) for choice in chunk.choices)
                if seen % 7 == 6:
                    break
            stream.close()
    found = books(shared, "aborts")
    check(found)
    assert seen <= found.sent < 3 * 500
    until(lambda: journal_tokens(shared, "aborts") == found.debited, "the journal adds up to what was debited", 5)


def test_stream_whose_worker_dies_costs_what_was_sent(shared: Stack) -> None:
    with sync_client(shared, key_of("failed")) as beta:
        stream = beta.chat.completions.create(
            model="chat", messages=script(tokens=1_000, fail_after=9), max_tokens=500, stream=True
        )
        seen = 0
        with pytest.raises(openai.APIError):
            for chunk in stream:
                seen += sum(bool(choice.delta.content) for choice in chunk.choices)
        with pytest.raises(openai.InternalServerError) as caught:
            beta.chat.completions.create(model="chat", messages=script(tokens=9, fail_after=0), max_tokens=500)
        remaining = int(caught.value.response.headers["x-ratelimit-remaining-tokens"])
    found = books(shared, "failed")
    check(found)
    assert (seen, found.sent) == (9, 9)
    assert remaining == found.left, "what failed before its first token was given back before the answer said so"


def test_answers_say_what_is_left_and_refusals_when_it_is_enough(shared: Stack) -> None:
    with sync_client(shared, key_of("headers")) as beta:
        answer = beta.chat.completions.with_raw_response.create(model="chat", messages=user("one two three"))
        usage = answer.parse().usage
        assert usage is not None
        assert answer.headers["x-ratelimit-limit-tokens"] == str(BURST)
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) == BURST - usage.total_tokens
        assert answer.headers["x-ratelimit-reset-tokens"].endswith("s")
        assert "x-ratelimit-remaining-requests" in answer.headers
        listed = beta.models.with_raw_response.list()
        assert int(listed.headers["x-ratelimit-remaining-tokens"]) == BURST - usage.total_tokens
        with pytest.raises(openai.BadRequestError) as wrong:
            beta.chat.completions.create(model="chat", messages=user("x"), extra_body={"no_such_field": 1})
        assert "x-ratelimit-remaining-tokens" in wrong.value.response.headers
        beta.chat.completions.create(model="chat", messages=script(tokens=4000), max_tokens=2048)
        with pytest.raises(openai.RateLimitError) as refused:
            beta.chat.completions.create(model="chat", messages=user("again"))
        assert (refused.value.type, refused.value.code) == ("tokens", "rate_limit_exceeded")
        wait_ms = int(refused.value.response.headers["retry-after-ms"])
        assert int(refused.value.response.headers["retry-after"]) == -(-wait_ms // 1000)
        with pytest.raises(openai.BadRequestError) as never:
            beta.chat.completions.create(model="chat", messages=user("word " * 2_000))
        assert never.value.code == "prompt_exceeds_token_limit"


def test_reload_in_the_middle_keeps_the_levels(shared: Stack) -> None:
    with sync_client(shared, key_of("reloaded")) as beta:
        beta.chat.completions.create(model="chat", messages=script(tokens=300), max_tokens=300)
        stream = beta.chat.completions.create(
            model="chat", messages=script(tokens=200, delay_ms=10), max_tokens=200, stream=True
        )
        first = next(iter(stream))
        before = shared.fastpath.metrics()
        held = total(before, "dpu_token_bucket_left", scope="tenant", owner="reloaded")

        def another_rate(desired: dict[str, Any]) -> None:
            limits_of(desired, "reloaded")["token_rate"]["per"] = "48h"

        edit_config(shared, another_rate)
        shared.agent.send(signal.SIGHUP)
        epoch = total(before, "dpu_plan_epoch")
        until(lambda: total(shared.fastpath.metrics(), "dpu_plan_epoch") > epoch, "the new plan is in force", 10)
        after = total(shared.fastpath.metrics(), "dpu_token_bucket_left", scope="tenant", owner="reloaded")
        assert held <= after <= held + 2
        assert content([first, *stream]).count("tok") == 200
    found = books(shared, "reloaded")
    check(found)
    assert found.sent == 500


def test_drain_that_cuts_a_stream_ends_its_books(shared: Stack) -> None:
    """The last one of the shared stack: it is gone afterwards."""
    with sync_client(shared, key_of("drained")) as drained:
        stream = drained.chat.completions.create(
            model="chat", messages=script(tokens=2_000, delay_ms=20), max_tokens=1_900, stream=True
        )
        seen = [next(iter(stream))]
        shared.fastpath.send(signal.SIGTERM)
        with pytest.raises(openai.APIError):
            seen.extend(stream)
    assert shared.fastpath.wait() == 0
    record = next(record for record in shared.journal() if record["tenant"] == "drained")
    assert record["reason"] == "drain_cut"
    assert record["completion_tokens"] == content(seen).count("tok")


def tight(desired: dict[str, Any]) -> None:
    """The model has fewer tokens than a tenant, and all tenants together have fewer than the model."""
    desired["models"][0]["limits"] = {"token_rate": {"tokens": 1_000, "per": "24h"}}
    desired["limits"] = {"token_rate": {"tokens": 500, "per": "24h"}, "grant_tokens_min": 4}


@pytest.fixture(scope="module")
def tightened(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[Stack]:
    """One stack for a test that uses up what all share, and one that kills its workers, in this order."""
    yield from made(tmp_path_factory.mktemp("tight"), certs, tight)


def test_model_and_global_buckets_count_for_every_tenant(tightened: Stack) -> None:
    def ask(client: openai.OpenAI) -> str | None:
        answer = client.chat.completions.create(model="chat", messages=script(tokens=150), max_tokens=150)
        return answer.choices[0].finish_reason

    with sync_client(tightened, ALPHA) as alpha, sync_client(tightened, key_of("crowd")) as crowd:
        first = alpha.chat.completions.with_raw_response.create(model="chat", messages=user("hi"))
        assert first.headers["x-ratelimit-limit-tokens"] == "500"
        # 500 are two whole answers and what is left for a third.
        assert [ask(client) for client in (alpha, crowd, alpha)] == ["stop", "stop", "length"]
        with pytest.raises(openai.RateLimitError) as refused:
            for _ in range(20):
                ask(crowd)
        assert "all tenants together" in refused.value.message
    samples = tightened.fastpath.metrics()
    debited = total(samples, "dpu_tokens_debited_total")
    for scope, burst in (("all", 500), ("model", 1_000)):
        assert 0 <= total(samples, "dpu_token_bucket_left", scope=scope) - (burst - debited) <= 2


def test_without_a_worker_everything_is_given_back(tightened: Stack) -> None:
    for worker in tightened.workers:
        worker.kill()
    until(lambda: total(tightened.fastpath.metrics(), "dpu_worker_up") == 0, "both workers are seen as gone", 10)
    with sync_client(tightened, key_of("lonely")) as lonely, pytest.raises(openai.InternalServerError) as caught:
        # So short that it fits into what the test before has left.
        lonely.completions.create(model="chat", prompt="a", max_tokens=1)
    headers = caught.value.response.headers
    assert (caught.value.status_code, int(headers["retry-after"]) >= 1) == (503, True)
    assert int(headers["retry-after-ms"]) >= 1
    found = books(tightened, "lonely")
    check(found)
    assert (found.debited, found.left) == (0, BURST)
