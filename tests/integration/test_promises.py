"""What is promised when parts die, change or leave: design section 8, tried on real processes under load."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

import openai
import pytest

from tests.integration.clients import async_client, content, script, sync_client, user
from tests.integration.processes import Stack, http_status, total, until

LOAD_TASKS = 8


def test_abort_mid_stream_stops_the_engine_and_is_recorded(stack: Stack, client: openai.OpenAI) -> None:
    cancelled = cancelled_at_workers(stack)
    raw = client.chat.completions.with_raw_response.create(
        model="chat", messages=script(tokens=10_000, delay_ms=10), stream=True
    )
    stream = raw.parse()
    next(iter(stream))
    stream.close()
    record = stack.record_of(raw.headers["x-request-id"])
    assert (record["outcome"], record["reason"]) == ("client_gone", "client_gone")
    assert record["completion_tokens"] < 1000
    until(lambda: cancelled_at_workers(stack) == cancelled + 1, "the worker counts the cancelled request", 5)


def cancelled_at_workers(stack: Stack) -> float:
    """Requests whose generation was stopped on request, over all workers."""
    return sum(total(worker.metrics(), "dpu_worker_requests_total", outcome="cancelled") for worker in stack.workers)


def test_killed_worker_ends_its_stream_with_an_error_and_the_other_answers(own_stack: Stack) -> None:
    with sync_client(own_stack) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="chat", messages=script(tokens=10_000, delay_ms=20), stream=True
        )
        stream = iter(raw.parse())
        next(stream)
        serving = busy_worker(own_stack)
        own_stack.workers[serving].kill()
        began = time.monotonic()
        with pytest.raises(openai.APIError):
            for _ in stream:
                pass
        assert time.monotonic() - began < 2
        answer = client.chat.completions.create(model="chat", messages=user("still here"))
        assert answer.choices[0].message.content
    record = own_stack.record_of(raw.headers["x-request-id"])
    assert (record["outcome"], record["reason"]) == ("failed", "worker_lost")


def test_requests_that_had_not_begun_to_answer_go_to_the_other_worker(own_stack: Stack) -> None:
    async def ask_and_kill() -> list[str | None]:
        async with async_client(own_stack) as client:
            waiting = [
                asyncio.create_task(
                    client.chat.completions.create(model="chat", messages=script(prefill_ms=700, tokens=3))
                )
                for _ in range(12)
            ]
            await asyncio.sleep(0.4)
            own_stack.workers[0].kill()
            return [answer.choices[0].message.content for answer in await asyncio.gather(*waiting)]

    assert [str(text).split() for text in asyncio.run(ask_and_kill())] == [["tok"] * 3] * 12
    samples = own_stack.fastpath.metrics()
    assert total(samples, "dpu_request_retries_total") > 0
    assert total(samples, "dpu_requests_total", outcome="answered") == 12


def busy_worker(stack: Stack) -> int:
    """Index of the worker that runs the only request there is; the fast path publishes this a few times a second."""

    def running() -> list[float]:
        samples = stack.fastpath.metrics()
        return [total(samples, "dpu_worker_outstanding", worker=f"w{index}") for index in range(2)]

    until(lambda: sum(running()) == 1, "one worker is seen to be busy", 5)
    return running().index(1)


def test_restarted_worker_is_used_again(own_stack: Stack) -> None:
    worker = own_stack.workers[0]
    worker.kill()
    until(lambda: total(own_stack.fastpath.metrics(), "dpu_worker_up", worker="w0") == 0, "w0 is seen as gone", 5)
    worker.start()
    until(lambda: total(own_stack.fastpath.metrics(), "dpu_worker_up", worker="w0") == 1, "w0 is back", 15)


class Load:
    """Short streams from several tasks, until told to stop; every failure is kept."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.answered = 0
        self.failures: list[str] = []
        self.stopping = False

    async def one_by_one(self, client: openai.AsyncOpenAI) -> None:
        """Requests after each other; the content of each is checked."""
        while not self.stopping:
            try:
                stream = await client.chat.completions.create(
                    model="chat", messages=script(tokens=10, delay_ms=5), stream=True
                )
                text = content([chunk async for chunk in stream])
            except openai.OpenAIError as error:
                self.failures.append(repr(error))
                continue
            self.answered += 1
            if text.count("tok") != 10:
                self.failures.append(f"cut short: {text!r}")

    async def during(self, act: Callable[[], Awaitable[None]]) -> None:
        """Load before, while and after `act`."""
        async with async_client(self.stack) as client:
            tasks = [asyncio.create_task(self.one_by_one(client)) for _ in range(LOAD_TASKS)]
            try:
                await asyncio.sleep(0.5)
                await act()
                await asyncio.sleep(0.5)
            finally:
                self.stopping = True
                await asyncio.gather(*tasks)


def epoch(stack: Stack) -> float:
    """The epoch that the fast path says is programmed."""
    return total(stack.fastpath.metrics(), "dpu_plan_epoch")


def test_killed_agent_fails_no_request_and_changes_nothing_when_it_is_back(own_stack: Stack) -> None:
    before = epoch(own_stack)

    async def kill_and_restart() -> None:
        await asyncio.to_thread(own_stack.agent.kill)
        await asyncio.sleep(1)
        own_stack.agent.start()
        await asyncio.to_thread(own_stack.agent.wait_ready)

    load = Load(own_stack)
    asyncio.run(load.during(kill_and_restart))
    assert load.failures == []
    assert load.answered > 0
    assert epoch(own_stack) == before


def test_reload_under_load_drops_no_request_and_is_in_force(own_stack: Stack) -> None:
    before = epoch(own_stack)

    async def reload() -> None:
        text = own_stack.config.read_text()
        own_stack.config.write_text(text.replace("gpt-4o-mini", "gpt-renamed"))
        own_stack.agent.send(signal.SIGHUP)
        await asyncio.to_thread(until, lambda: epoch(own_stack) > before, "the new plan is programmed", 10)

    load = Load(own_stack)
    asyncio.run(load.during(reload))
    assert load.failures == []
    assert load.answered > 0
    with sync_client(own_stack) as client:
        assert "gpt-renamed" in {model.id for model in client.models.list()}


def test_stream_that_began_before_a_reload_ends_whole(own_stack: Stack) -> None:
    before = epoch(own_stack)
    with sync_client(own_stack) as client:
        stream = client.chat.completions.create(model="chat", messages=script(tokens=60, delay_ms=20), stream=True)
        first = next(iter(stream))
        own_stack.config.write_text(own_stack.config.read_text().replace("gpt-4o-mini", "gpt-renamed"))
        own_stack.agent.send(signal.SIGHUP)
        until(lambda: epoch(own_stack) > before, "the new plan is programmed", 10)
        assert content([first, *stream]).count("tok") == 60


def test_reload_of_a_broken_file_changes_nothing(own_stack: Stack) -> None:
    before = epoch(own_stack)
    own_stack.config.write_text(own_stack.config.read_text().replace("tenants:", "tennants:"))
    own_stack.agent.send(signal.SIGHUP)
    time.sleep(1)
    assert epoch(own_stack) == before
    with sync_client(own_stack) as client:
        assert client.chat.completions.create(model="chat", messages=user("as before")).choices


def test_drained_fast_path_finishes_its_stream_and_exits_0(own_stack: Stack) -> None:
    with sync_client(own_stack) as client:
        stream = client.chat.completions.create(model="chat", messages=script(tokens=40, delay_ms=100), stream=True)
        first = next(iter(stream))
        own_stack.fastpath.send(signal.SIGTERM)
        base = f"http://127.0.0.1:{own_stack.fastpath.http}"
        until(lambda: http_status(f"{base}/readyz") == 503, "readiness says no")
        samples = own_stack.fastpath.metrics()
        assert (total(samples, "dpu_draining"), total(samples, "dpu_requests_in_flight")) == (1, 1)
        assert http_status(f"{base}/livez") == 200
        assert content([first, *stream]).count("tok") == 40
    assert own_stack.fastpath.wait() == 0


def test_fast_path_without_a_plan_is_alive_and_not_ready(own_stack: Stack) -> None:
    own_stack.agent.stop()
    own_stack.fastpath.stop()
    own_stack.fastpath.start()
    base = f"http://127.0.0.1:{own_stack.fastpath.http}"
    until(lambda: http_status(f"{base}/livez") == 200, "the fast path is alive")
    assert http_status(f"{base}/readyz") == 503
