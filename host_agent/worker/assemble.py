"""Puts the chunks of a stream together into the `choices` of a whole answer, as every OpenAI client does."""

from __future__ import annotations

from typing import Any


class Assembler:
    """Collects chunks of chat or text completions; `choices()` is then what the engine would have sent whole."""

    def __init__(self, *, completions: bool) -> None:
        self.completions = completions
        self.by_index: dict[int, dict[str, Any]] = {}

    def add(self, choices: list[dict[str, Any]]) -> None:
        """Takes the `choices` of one chunk."""
        for choice in choices:
            index = choice.get("index", 0)
            whole = self.by_index.setdefault(index, self.empty(index))
            self.add_text(whole, choice) if self.completions else add_delta(whole["message"], choice.get("delta") or {})
            add_logprobs(whole, choice.get("logprobs"))
            if choice.get("finish_reason") is not None:
                whole["finish_reason"] = choice["finish_reason"]

    def empty(self, index: int) -> dict[str, Any]:
        """A choice of which nothing is known yet."""
        if self.completions:
            return {"index": index, "text": "", "logprobs": None, "finish_reason": None}
        return {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}

    @staticmethod
    def add_text(whole: dict[str, Any], choice: dict[str, Any]) -> None:
        """Appends the text of one chunk of a text completion."""
        whole["text"] += choice.get("text") or ""

    def choices(self) -> list[dict[str, Any]]:
        """The choices in the order of their index."""
        return [self.by_index[index] for index in sorted(self.by_index)]


def add_delta(message: dict[str, Any], delta: dict[str, Any]) -> None:
    """Appends one delta: strings grow, tool calls merge by index, the role is said once."""
    for key, value in delta.items():
        if key == "tool_calls":
            merge_tool_calls(message.setdefault("tool_calls", []), value or [])
        elif isinstance(value, str) and key != "role":
            message[key] = (message.get(key) or "") + value
        elif value is not None:
            message[key] = value


def merge_tool_calls(calls: list[dict[str, Any]], parts: list[dict[str, Any]]) -> None:
    """A part with a new index opens a call; later parts append to its arguments."""
    for part in parts:
        while len(calls) <= part.get("index", 0):
            calls.append({"type": "function", "function": {"name": "", "arguments": ""}})
        call = calls[part.get("index", 0)]
        call.update({key: part[key] for key in ("id", "type") if part.get(key)})
        for key, value in (part.get("function") or {}).items():
            call["function"][key] = call["function"].get(key, "") + (value or "")


def add_logprobs(whole: dict[str, Any], logprobs: dict[str, Any] | None) -> None:
    """Every list in them grows, whatever its name: chat and text completions differ."""
    if logprobs is None:
        return
    target = whole.get("logprobs") or {}
    for key, value in logprobs.items():
        target[key] = (target.get(key) or []) + value if isinstance(value, list) else value
    whole["logprobs"] = target
