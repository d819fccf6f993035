"""Answers: what chunks of an engine become, and that each job ends once."""

from __future__ import annotations

from typing import Any

import pytest

from abi.gen.reasons import Reason
from host_agent.worker.answer import Answer, Outcome, compact
from host_agent.worker.engines.base import EngineError, engine_body

from .scripted import ScriptedJob


def chat(content: str | None = None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    delta = delta if content is None else {"content": content, **delta}
    return {"id": "chatcmpl-engine", "choices": [{"finish_reason": finish, "index": 0, "delta": delta}]}


ROLE = chat(role="assistant")
USAGE = {
    "choices": [],
    "usage": {"completion_tokens": 2, "prompt_tokens": 39, "prompt_tokens_details": {"cached_tokens": 31}},
    "timings": {"prompt_ms": 5.5, "predicted_ms": 20.25},
}
WHOLE = [ROLE, chat("Hi"), chat(" you"), chat(finish="stop"), USAGE]


def play(job: ScriptedJob, chunks: list[dict[str, Any]]) -> Outcome:
    answer = Answer(job)
    for chunk in chunks:
        if not answer.chunk(chunk):
            break
    return answer.finish()


def test_stream_sends_the_choices_as_they_are_and_counts_content_chunks() -> None:
    job = ScriptedJob({"stream": True})
    assert play(job, WHOLE) is Outcome.ANSWERED
    assert job.fragments == [
        (0, ROLE["choices"], False),
        (1, WHOLE[1]["choices"], False),
        (1, WHOLE[2]["choices"], False),
        (0, WHOLE[3]["choices"], True),
    ]
    figures = {"prompt_tokens": 39, "cached_tokens": 31, "completion_tokens": 2}
    times = {"queue_us": 7, "prefill_us": 5500, "decode_us": 20250}
    assert job.ending == ("end", {"finish": "stop", **figures, **times})


def test_whole_answer_is_put_together_from_the_stream() -> None:
    job = ScriptedJob()
    play(job, WHOLE)
    kind, fields = job.ending
    assert kind == "result" and job.fragments == []
    message = {"role": "assistant", "content": "Hi you"}
    assert fields["choices"] == [{"index": 0, "message": message, "finish_reason": "stop"}]


def test_prefill_progress_is_not_sent() -> None:
    job = ScriptedJob({"stream": True})
    play(job, [{**ROLE, "prompt_progress": {"processed": 128}}, *WHOLE])
    assert len(job.fragments) == 4


@pytest.mark.parametrize("stream", [True, False])
def test_cancelled_job_is_stopped_with_its_waste(stream: bool) -> None:
    job = ScriptedJob({"stream": stream})
    answer = Answer(job)
    assert answer.chunk(ROLE) and answer.chunk(chat("Hi"))
    job.cancelled = True
    assert not answer.chunk(chat(" you"))
    assert answer.finish() is Outcome.CANCELLED
    assert job.ending == ("stopped", {"tokens_wasted": 1 if stream else 2})


def test_fragment_that_is_not_taken_is_waste() -> None:
    job = ScriptedJob({"stream": True}, cancel_after=2)
    assert play(job, WHOLE) is Outcome.CANCELLED
    assert job.ending == ("stopped", {"tokens_wasted": 1})


@pytest.mark.parametrize(("sent", "retry"), [([], True), ([ROLE], True), ([chat("Hi")], False)])
def test_failure_may_be_retried_only_before_the_first_token(sent: list[dict[str, Any]], retry: bool) -> None:
    job = ScriptedJob({"stream": True})
    answer = Answer(job)
    for chunk in sent:
        answer.chunk(chunk)
    assert answer.fail(EngineError(Reason.WORKER_FAILED, "broken", retry=True)) is Outcome.FAILED
    assert job.ending == ("fail", {"reason": 502, "detail": "broken", "retry": retry})


def test_answer_after_the_deadline_fails() -> None:
    seconds = iter([0.0, 0.06])
    answer = Answer(ScriptedJob({"stream": True}, deadline_ms=50), clock=lambda: next(seconds))
    with pytest.raises(EngineError, match="deadline"):
        answer.chunk(ROLE)


def test_engine_without_times_gets_ours() -> None:
    now = [0.0]
    job = ScriptedJob({"stream": True})
    answer = Answer(job, clock=lambda: now[0])
    for at, chunk in [(0.25, chat("Hi")), (0.75, chat(" you")), (0.8, chat(finish="length"))]:
        now[0] = at
        answer.chunk(chunk)
    answer.finish()
    fields = job.ending[1]
    assert (fields["prefill_us"], fields["decode_us"], fields["completion_tokens"]) == (250_000, 500_000, 2)


@pytest.mark.parametrize(
    ("body", "budget", "expected"),
    [
        ({}, 0, None),
        ({}, 9, 9),
        ({"max_tokens": 5}, 0, 5),
        ({"max_tokens": 5}, 9, 5),
        ({"max_tokens": 9}, 5, 5),
        ({"max_completion_tokens": 4, "max_tokens": 6}, 9, 4),
        ({"max_tokens": 5, "n": 3}, 9, 3),
        ({"max_tokens": 5, "n": 3}, 15, 5),
        ({"n": 3}, 2, 1),
    ],
)
def test_tightest_bound_on_tokens_wins(body: dict[str, Any], budget: int, expected: int | None) -> None:
    sent = engine_body(ScriptedJob(body, token_budget=budget))
    assert (sent.get("max_tokens"), "max_completion_tokens" in sent) == (expected, False)
    assert sent["stream"] is True and sent["stream_options"] == {"include_usage": True}


def test_fragment_is_one_line_of_utf8_even_with_half_a_surrogate_pair() -> None:
    assert compact(["é\n"]) == '["é\\n"]'.encode()
    assert compact(["\ud83d"]) == b'["\\ud83d"]'
