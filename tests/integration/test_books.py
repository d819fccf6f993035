"""The books add up under load and faults: requests in = sum over outcomes = journal lines, tokens billed = sent."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.integration.clients import ALPHA, trust, user
from tests.integration.processes import Samples, Stack, total, until

TASKS = 6
"""Of each HTTP version."""
SEED = 20261123
URL = "/v1/chat/completions"


@dataclass
class Seen:
    """What clients saw: by request id the tokens that they read, and which of them they did not read to the end."""

    tokens: dict[str, int] = field(default_factory=dict)
    aborted: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)


def body(text: str, **more: Any) -> dict[str, Any]:
    """A chat request."""
    return {"model": "chat", "messages": user(text), **more}


async def whole(client: httpx.AsyncClient, seen: Seen, tokens: int) -> None:
    """A whole answer: its text has as many tokens as its usage says."""
    answer = await client.post(URL, json=body(f"!echo tokens={tokens} delay_ms=2"))
    seen.statuses[answer.status_code] += 1
    said = answer.json()
    found = said["choices"][0]["message"]["content"].count("tok") if answer.status_code == 200 else 0
    assert answer.status_code != 200 or found == said["usage"]["completion_tokens"] == tokens
    seen.tokens[answer.headers["x-request-id"]] = found


async def refused(client: httpx.AsyncClient, seen: Seen, tokens: int) -> None:
    """Broken in one of several ways."""
    ways: list[dict[str, Any]] = [
        {"content": b"{", "headers": {"content-type": "application/json"}},
        {"json": body("x"), "headers": {"authorization": "Bearer nobody"}},
        {"json": body("x") | {"model": "nobody"}},
        {"json": body("x", nonsense=1)},
    ]
    answer = await client.post(URL, **ways[tokens % len(ways)])
    assert answer.status_code in (400, 401, 404)
    seen.statuses[answer.status_code] += 1
    seen.tokens[answer.headers["x-request-id"]] = 0


async def streamed(client: httpx.AsyncClient, seen: Seen, text: str, stop_after: int | None = None) -> None:
    """A stream, read to its end or to `stop_after` tokens."""
    async with client.stream("POST", URL, json=body(text, stream=True)) as answer:
        name = answer.headers["x-request-id"]
        seen.statuses[answer.status_code] += 1
        seen.tokens[name] = 0
        async for line in answer.aiter_lines():
            if stop_after is not None and seen.tokens[name] >= stop_after:
                seen.aborted.add(name)
                return
            if '"choices"' in line:
                choices = json.loads(line.removeprefix("data: "))["choices"]
                seen.tokens[name] += sum(1 for choice in choices if choice["delta"].get("content"))


async def some(client: httpx.AsyncClient, seen: Seen, dice: random.Random, stopping: asyncio.Event) -> None:
    """Requests of every kind after each other."""
    while not stopping.is_set():
        tokens = dice.randint(1, 12)
        kind = dice.choice(["whole", "stream", "stream", "abort", "refused", "fails"])
        if kind == "whole":
            await whole(client, seen, tokens)
        elif kind == "refused":
            await refused(client, seen, tokens)
        elif kind == "abort":
            await streamed(client, seen, "!echo tokens=300 delay_ms=3", stop_after=tokens)
        elif kind == "fails":
            await streamed(client, seen, f"!echo tokens=20 delay_ms=2 fail_after={tokens}")
        else:
            await streamed(client, seen, f"!echo tokens={tokens} delay_ms=2")


async def faults(stack: Stack) -> None:
    """A worker dies, the plan changes, the worker comes back: everything while requests run."""
    wait = asyncio.to_thread
    await asyncio.sleep(0.7)
    await wait(stack.workers[0].kill)
    before = total(stack.fastpath.metrics(), "dpu_plan_epoch")
    stack.config.write_text(stack.config.read_text().replace("gpt-4o-mini", "gpt-renamed"))
    stack.agent.send(signal.SIGHUP)
    await wait(until, lambda: total(stack.fastpath.metrics(), "dpu_plan_epoch") > before, "the new plan is there", 10)
    await wait(stack.workers[0].start)
    await wait(stack.workers[0].wait_ready)
    await asyncio.sleep(0.7)


def client_of(stack: Stack, *, http2: bool) -> httpx.AsyncClient:
    """Speaks one version only."""
    headers = {"authorization": f"Bearer {ALPHA}"}
    return httpx.AsyncClient(
        base_url=stack.url, verify=trust(stack), headers=headers, timeout=20, http1=not http2, http2=http2
    )


async def load(stack: Stack, seen: Seen) -> None:
    """Both HTTP versions, until the faults are over."""
    stopping, dice = asyncio.Event(), random.Random(SEED)
    async with client_of(stack, http2=False) as h1, client_of(stack, http2=True) as h2:
        tasks = [
            asyncio.create_task(some(client, seen, random.Random(dice.random()), stopping))
            for client in (h1, h2)
            for _ in range(TASKS)
        ]
        try:
            await faults(stack)
        finally:
            stopping.set()
            await asyncio.gather(*tasks)


def journal(stack: Stack, lines: int) -> dict[str, dict[str, Any]]:
    """All records by request id, once there are so many."""
    until(lambda: len(stack.journal()) >= lines, f"{lines} lines in the journal", 10)
    records = stack.journal()
    by_id = {record["request_id"]: record for record in records}
    assert len(by_id) == len(records) == lines
    return by_id


def compare(seen: Seen, records: dict[str, dict[str, Any]]) -> None:
    """Each request that a client knows has one record, with the tokens that it read (at least those, where it left)."""
    for name, tokens in seen.tokens.items():
        sent = records[name]["completion_tokens"]
        assert sent >= tokens if name in seen.aborted else sent == tokens, records[name]


def sums(
    samples: Samples, records: dict[str, dict[str, Any]], of: Callable[[dict[str, Any]], int], **labels: str
) -> None:
    """What the metrics say is what the records say."""
    assert total(samples, "dpu_tokens_total", **labels) == sum(of(record) for record in records.values())


def test_books_add_up_over_both_versions_under_faults(own_stack: Stack) -> None:
    seen = Seen()
    asyncio.run(load(own_stack, seen))
    fastpath = own_stack.fastpath
    until(lambda: total(fastpath.metrics(), "dpu_requests_in_flight") == 0, "nothing runs", 10)
    samples = fastpath.metrics()
    received, ended = total(samples, "dpu_requests_received_total"), total(samples, "dpu_requests_total")
    assert received == ended > 100
    records = journal(own_stack, int(ended))
    by_outcome = Counter(record["outcome"] for record in records.values())
    for outcome in ("answered", "refused", "failed", "client_gone"):
        assert total(samples, "dpu_requests_total", outcome=outcome) == by_outcome[outcome] > 0, outcome
    assert set(seen.tokens) == set(records), "a request that no client knows, or one without a record"
    compare(seen, records)
    sums(samples, records, lambda record: record["completion_tokens"], kind="completion")
    sums(samples, records, lambda record: record["tokens_wasted"], kind="wasted")
    assert total(samples, "gen_ai_client_token_usage_sum", gen_ai_token_type="output") == sum(
        record["completion_tokens"] for record in records.values()
    )
    drained(own_stack, seen, int(ended))


def drained(stack: Stack, seen: Seen, before: int) -> None:
    """SIGTERM in the middle: what runs is finished and written down, also by a process that is about to end."""
    running = Seen()

    async def drain() -> None:
        # Not over HTTP/2: python-h2 takes nothing on a connection after its GOAWAY, not even what it waits for.
        async with client_of(stack, http2=False) as client:
            streams = [streamed(client, running, "!echo tokens=40 delay_ms=20") for _ in range(6)]
            tasks = [asyncio.create_task(stream) for stream in streams]
            while len(running.tokens) < len(tasks):
                await asyncio.sleep(0.01)
            stack.fastpath.send(signal.SIGTERM)
            await asyncio.gather(*tasks)

    asyncio.run(drain())
    assert stack.fastpath.wait() == 0
    assert list(running.tokens.values()) == [40] * 6
    records = journal(stack, before + len(running.tokens))
    compare(running, records)
    compare(seen, records)
