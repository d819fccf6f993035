"""Assembling: parts of tool calls, logprobs, several choices."""

from __future__ import annotations

from host_agent.worker.assemble import Assembler


def test_tool_calls_merge_by_index() -> None:
    whole = Assembler(completions=False)
    parts = [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"x"'}},
        {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        {"index": 0, "function": {"arguments": ":1}"}},
    ]
    for part in parts:
        whole.add([{"index": 0, "delta": {"tool_calls": [part]}, "finish_reason": None}])
    calls = whole.choices()[0]["message"]["tool_calls"]
    assert [(call["id"], call["function"]) for call in calls] == [
        ("a", {"name": "f", "arguments": '{"x":1}'}),
        ("b", {"name": "g", "arguments": "{}"}),
    ]


def test_logprobs_grow() -> None:
    whole = Assembler(completions=False)
    for token in ("a", "b"):
        whole.add([{"index": 0, "delta": {"content": token}, "logprobs": {"content": [{"token": token}]}}])
    assert whole.choices()[0]["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}]}


def test_choices_come_in_the_order_of_their_index() -> None:
    whole = Assembler(completions=True)
    whole.add([{"index": 1, "text": "B", "finish_reason": None}])
    whole.add([{"index": 0, "text": "A", "finish_reason": "stop"}])
    whole.add([{"index": 1, "text": "b", "finish_reason": "length"}])
    assert [(c["text"], c["finish_reason"]) for c in whole.choices()] == [("A", "stop"), ("Bb", "length")]
