"""Queue, choice of workers, breakers and arms on real processes: two echo workers with one slot each."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from tests.integration.clients import ALPHA, BETA, trust
from tests.integration.processes import Stack, build, running, total, until

HTTP2 = [False, True]


def edit(stack: Stack, change: Callable[[Any], None]) -> None:
    """Changes the desired state's file."""
    yaml = YAML()
    desired = yaml.load(stack.config.read_text())
    change(desired)
    with stack.config.open("w") as file:
        yaml.dump(desired, file)


def settle(desired: Any) -> None:
    """Alpha tests arms and has the higher priority; beta may flood; failures show quickly."""
    alpha, beta = desired["tenants"][:2]
    alpha.update(priority=5, arm_override=True)
    beta.pop("limits")
    desired["listeners"][0]["limits"]["request_timeout"] = "5s"
    desired["queue"] = {"requests_max": 12, "requests_max_per_tenant": 8, "wait_max": "3s"}
    desired["steering"] = {
        "slow_start": None,
        "breaker": {"failures": 2, "open_min": "1s", "open_max": "4s"},
        "warm": {"lead_tokens_max": 2000},
    }
    desired["models"][0]["arms"][0]["weight_percent"] = 70
    desired["models"][0]["arms"][1]["weight_percent"] = 20
    desired["models"][0]["arms"].append({"name": "next", "weight_percent": 10, "engine_model": "chat"})


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[Stack]:
    """A stack whose workers take one request each; tests leave it idle, with two trusted workers."""
    stack = build(tmp_path_factory.mktemp("narrow"), certs)
    edit(stack, settle)
    for worker in stack.workers:
        worker.command += ["--slots", "1"]
    yield from running(stack)


@asynccontextmanager
async def caller(stack: Stack, key: str = ALPHA, *, http2: bool = False) -> AsyncIterator[httpx.AsyncClient]:
    """A client of one tenant."""
    headers = {"authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(
        base_url=stack.url,
        verify=trust(stack),
        http1=not http2,
        http2=http2,
        headers=headers,
        timeout=30,
        limits=limits,
    ) as client:
        yield client


async def ask(client: httpx.AsyncClient, text: str, *, stream: bool = False, **headers: str) -> httpx.Response:
    """One chat request; `_` in a header's name is `-`."""
    body = {"model": "chat", "stream": stream, "messages": [{"role": "user", "content": text}]}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/v1/chat/completions", json=body, headers=named)


def waiting(stack: Stack) -> float:
    """Requests in the queue."""
    return total(stack.fastpath.metrics(), "dpu_queue_depth")


async def reach(condition: Callable[[], bool], what: str, timeout_s: float = 10) -> None:
    """`until` beside running requests."""
    await asyncio.to_thread(until, condition, what, timeout_s)


async def occupied(stack: Stack, client: httpx.AsyncClient, ms: int) -> list[asyncio.Task[httpx.Response]]:
    """Two requests that keep both workers busy for so long."""
    tasks = [
        asyncio.create_task(ask(client, f"!echo tokens=1 prefill_ms={ms} ", x_conversation_id=f"o{i}"))
        for i in range(2)
    ]
    await reach(lambda: total(stack.fastpath.metrics(), "dpu_worker_outstanding_tokens") > 500, "both are busy")
    return tasks


@pytest.mark.parametrize("http2", HTTP2)
def test_requests_wait_for_busy_workers_and_a_higher_priority_goes_first(narrow: Stack, http2: bool) -> None:
    ended: list[str] = []

    async def one(client: httpx.AsyncClient, name: str) -> httpx.Response:
        answer = await ask(client, "!echo tokens=1 prefill_ms=150", x_conversation_id=f"{name}{len(ended)}")
        ended.append(name)
        return answer

    async def play() -> list[httpx.Response]:
        async with caller(narrow, http2=http2) as alpha, caller(narrow, BETA, http2=http2) as beta:
            busy = await occupied(narrow, alpha, 1_500)
            low = [asyncio.create_task(one(beta, "beta")) for _ in range(6)]
            await reach(lambda: waiting(narrow) == 6, "beta waits")
            high = [asyncio.create_task(one(alpha, "alpha")) for _ in range(2)]
            await reach(lambda: waiting(narrow) == 8, "alpha waits")
            return list(await asyncio.gather(*busy, *low, *high))

    answers = asyncio.run(play())
    assert [answer.status_code for answer in answers] == [200] * 10
    assert set(ended[:2]) == {"alpha"}, ended
    record = narrow.record_of(answers[-1].headers["x-request-id"])
    assert record["waited_ms"] > 0
    samples = narrow.fastpath.metrics()
    assert total(samples, "dpu_queue_wait_seconds_count", priority="0") >= 6
    assert waiting(narrow) == 0


@pytest.mark.parametrize("http2", HTTP2)
def test_a_full_queue_refuses_with_503_and_retry_after(narrow: Stack, http2: bool) -> None:
    async def play() -> list[httpx.Response]:
        async with caller(narrow, http2=http2) as alpha, caller(narrow, BETA, http2=http2) as beta:
            busy = await occupied(narrow, alpha, 1_500)
            text = "!echo tokens=1"
            flood = [asyncio.create_task(ask(beta, text, x_conversation_id=str(i))) for i in range(9)]
            await reach(lambda: waiting(narrow) == 8, "beta has as many waiting as it may")
            rest = [asyncio.create_task(ask(alpha, text, x_conversation_id=str(i))) for i in range(5)]
            return list(await asyncio.gather(*flood, *rest, *busy))

    answers = asyncio.run(play())
    flood, rest = answers[:9], answers[9:14]
    for group, reason in ((flood, "queue_full_tenant"), (rest, "queue_full")):
        refused = [answer for answer in group if answer.status_code == 503]
        assert len(refused) == 1
        assert refused[0].json()["error"]["code"] == "queue_full"
        assert int(refused[0].headers["retry-after"]) >= 1
        assert int(refused[0].headers["retry-after-ms"]) >= 100
        assert narrow.record_of(refused[0].headers["x-request-id"])["reason"] == reason
    assert Counter(answer.status_code for answer in answers) == {200: 14, 503: 2}


@pytest.mark.parametrize("http2", HTTP2)
def test_a_client_that_goes_away_leaves_the_queue_at_once(narrow: Stack, http2: bool) -> None:
    async def play() -> None:
        async with caller(narrow, http2=http2) as alpha:
            busy = await occupied(narrow, alpha, 2_000)
            async with caller(narrow, BETA, http2=http2) as beta:
                tasks = [asyncio.create_task(ask(beta, "never asked", stream=True)) for _ in range(3)]
                await reach(lambda: waiting(narrow) == 3, "they wait")
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            await reach(lambda: waiting(narrow) == 0, "they are gone while the workers are still busy", 1)
            assert not any(task.done() for task in busy)
            await asyncio.gather(*busy)

    before = total(narrow.fastpath.metrics(), "dpu_queue_refusals_total", reason="left")
    asyncio.run(play())
    assert total(narrow.fastpath.metrics(), "dpu_queue_refusals_total", reason="left") == before + 3


def test_the_longest_wait_ends_with_503_queue_timeout(narrow: Stack) -> None:
    async def play() -> httpx.Response:
        async with caller(narrow) as alpha:
            busy = await occupied(narrow, alpha, 4_500)
            late = await ask(alpha, "too late")
            await asyncio.gather(*busy)
            return late

    late = asyncio.run(play())
    assert (late.status_code, late.json()["error"]["code"]) == (503, "queue_timeout")
    assert int(late.headers["retry-after"]) >= 1


def test_a_conversation_meets_its_worker_again_and_ties_rotate(narrow: Stack) -> None:
    async def play() -> dict[str, list[str]]:
        met: dict[str, list[str]] = {}
        async with caller(narrow) as alpha:
            for _ in range(3):
                for name in ("a", "b", "c", "d"):
                    answer = await ask(alpha, "hello", x_conversation_id=f"warm-{name}")
                    record = narrow.record_of(answer.headers["x-request-id"])
                    met.setdefault(name, []).append(record["worker"])
        return met

    before = total(narrow.fastpath.metrics(), "dpu_worker_choice_total", why="warm")
    met = asyncio.run(play())
    assert all(len(set(workers)) == 1 for workers in met.values()), met
    assert {workers[0] for workers in met.values()} == {"w0", "w1"}
    assert total(narrow.fastpath.metrics(), "dpu_worker_choice_total", why="warm") == before + 8


def test_a_warm_worker_that_is_busy_is_passed_by(narrow: Stack) -> None:
    async def play() -> tuple[str, str]:
        async with caller(narrow) as alpha:
            first = asyncio.create_task(ask(alpha, "!echo tokens=1 prefill_ms=700", x_conversation_id="busy-warm"))
            await reach(lambda: total(narrow.fastpath.metrics(), "dpu_worker_outstanding_tokens") > 0, "one is busy")
            second = await ask(alpha, "hello", x_conversation_id="busy-warm")
            ids = [(await first).headers["x-request-id"], second.headers["x-request-id"]]
            return narrow.record_of(ids[0])["worker"], narrow.record_of(ids[1])["worker"]

    first, second = asyncio.run(play())
    assert first != second


def trusted(stack: Stack) -> bool:
    """Whether both workers are in the state `ready`."""
    return total(stack.fastpath.metrics(), "dpu_worker_state", state="ready") == 2


def opened(stack: Stack) -> float:
    """Times that a breaker opened."""
    return total(stack.fastpath.metrics(), "dpu_worker_breaker_opened_total")


@pytest.mark.parametrize("fault", ["fail_after=0", "hang_after=0"])
def test_a_worker_that_fails_or_hangs_is_left_alone_and_comes_back_by_a_probe(narrow: Stack, fault: str) -> None:
    async def play() -> None:
        async with caller(narrow) as alpha:
            conversation = f"sick-{fault}"
            assert (await ask(alpha, "hello", x_conversation_id=conversation)).status_code == 200
            before = opened(narrow)
            tries = 0
            while opened(narrow) == before:
                failed = await ask(alpha, f"!echo tokens=3 {fault}", x_conversation_id=conversation)
                assert failed.status_code in (502, 503, 504)
                tries += 1
                assert tries <= 4, "two failures of one worker open its breaker"
            answer = await ask(alpha, "hello", x_conversation_id=conversation)
            record = narrow.record_of(answer.headers["x-request-id"])
            assert (answer.status_code, record["choice"] in ("only", "probe")) == (200, True), record

            def probed() -> bool:
                asyncio.run_coroutine_threadsafe(ask(alpha, "hello"), loop).result(10)
                return trusted(narrow)

            loop = asyncio.get_running_loop()
            await reach(probed, "a probe has closed the breaker", 15)

    asyncio.run(play())
    assert total(narrow.fastpath.metrics(), "dpu_worker_choice_total", why="probe") >= 1


@pytest.mark.parametrize("http2", HTTP2)
def test_a_tester_chooses_the_arm_where_the_tenant_may(narrow: Stack, http2: bool) -> None:
    async def play() -> list[httpx.Response]:
        async with caller(narrow, http2=http2) as alpha, caller(narrow, BETA, http2=http2) as beta:
            return [
                await ask(alpha, "hello", x_dpu_arm="next"),
                await ask(alpha, "hello", x_dpu_arm="nope"),
                await ask(beta, "hello", x_dpu_arm="next"),
                await ask(alpha, "hello", x_conversation_id="x" * 257),
            ]

    chosen, unknown, forbidden, long = asyncio.run(play())
    record = narrow.record_of(chosen.headers["x-request-id"])
    assert (chosen.status_code, record["arm"], record["arm_overridden"]) == (200, "next", True)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "unknown_arm")
    assert "stable, canary, next" in unknown.json()["error"]["message"]
    assert (forbidden.status_code, forbidden.json()["error"]["code"]) == (403, "arm_override_not_allowed")
    assert (long.status_code, long.json()["error"]["code"]) == (400, "conversation_id_too_long")


def arms_of(stack: Stack, conversations: list[str]) -> dict[str, tuple[int, str]]:
    """Bucket and arm of each conversation, by the journal."""

    async def play() -> list[str]:
        async with caller(stack) as alpha:
            answers = [await ask(alpha, "hello", x_conversation_id=name) for name in conversations]
            return [answer.headers["x-request-id"] for answer in answers]

    ids = asyncio.run(play())
    records = [stack.record_of(request_id) for request_id in ids]
    return {name: (r["bucket"], r["arm"]) for name, r in zip(conversations, records, strict=True)}


def test_a_live_change_of_three_weights_moves_only_conversations_of_the_shrinking_arm(narrow: Stack) -> None:
    names = [f"conversation-{i}" for i in range(60)]
    before = arms_of(narrow, names)

    def shift(desired: Any) -> None:
        for arm, weight in zip(desired["models"][0]["arms"], (40, 20, 40), strict=True):
            arm["weight_percent"] = weight

    epoch = total(narrow.fastpath.metrics(), "dpu_plan_epoch")
    edit(narrow, shift)
    narrow.agent.send(signal.SIGHUP)
    until(lambda: total(narrow.fastpath.metrics(), "dpu_plan_epoch") > epoch, "the new weights are programmed", 10)
    after = arms_of(narrow, names)
    assert [before[name][0] for name in names] == [after[name][0] for name in names]
    moves = Counter((before[name][1], after[name][1]) for name in names if before[name][1] != after[name][1])
    assert set(moves) == {("stable", "next")}, moves


def test_requests_that_wait_are_served_by_a_worker_that_comes_back_and_a_drain_serves_the_rest(
    own_stack: Stack,
) -> None:
    def patient(desired: Any) -> None:
        settle(desired)
        desired["queue"]["wait_max"] = "25s"
        desired["listeners"][0]["limits"]["request_timeout"] = "30s"

    edit(own_stack, patient)
    for worker in own_stack.workers:
        worker.stop()
        worker.command += ["--slots", "1"]
        worker.start()
        worker.wait_ready()
    own_stack.agent.send(signal.SIGHUP)
    until(
        lambda: trusted(own_stack) and total(own_stack.fastpath.metrics(), "dpu_worker_capacity_requests") == 2, "ready"
    )

    async def play() -> list[httpx.Response]:
        async with caller(own_stack) as alpha:
            await asyncio.to_thread(own_stack.workers[1].kill)
            await reach(lambda: total(own_stack.fastpath.metrics(), "dpu_worker_up", worker="w1") == 0, "w1 is gone")
            busy = asyncio.create_task(ask(alpha, "!echo tokens=1 prefill_ms=6000", x_conversation_id="long"))
            await reach(lambda: total(own_stack.fastpath.metrics(), "dpu_worker_outstanding_tokens") > 0, "w0 is busy")
            late = asyncio.create_task(ask(alpha, "hello"))
            await reach(lambda: waiting(own_stack) == 1, "it waits")
            await asyncio.to_thread(own_stack.workers[1].start)
            served = await late
            assert not busy.done()
            more = [
                asyncio.create_task(ask(alpha, "!echo tokens=1 prefill_ms=300", x_conversation_id=str(i)))
                for i in range(4)
            ]
            await reach(lambda: waiting(own_stack) >= 2, "some wait")
            own_stack.fastpath.send(signal.SIGTERM)
            return [served, await busy, *await asyncio.gather(*more)]

    answers = asyncio.run(play())
    assert [answer.status_code for answer in answers] == [200] * 6
    assert own_stack.record_of(answers[0].headers["x-request-id"])["worker"] == "w1"
    assert own_stack.fastpath.wait() == 0
