"""Members of a JSON object keep their own text."""

from __future__ import annotations

import json

import pytest

from host_agent.worker.raw import members


@pytest.mark.parametrize(
    ("text", "name", "raw"),
    [
        ('{"choices":[{"logprob":-0.10,"x":1e-05}],"id":"a"}', "choices", '[{"logprob":-0.10,"x":1e-05}]'),
        (' { "a" : "\\u00e9\\/" , "b" : [ ] } ', "a", '"\\u00e9\\/"'),
        ('{"b": {"choices": 1}, "choices": [ 2 ]}', "choices", "[ 2 ]"),
        ('{"choi\\u0063es":[1.0]}', "choices", "[1.0]"),
        ('{"a":1,"a":2.50}', "a", "2.50"),
    ],
)
def test_text_of_a_member_is_as_it_was(text: str, name: str, raw: str) -> None:
    found = members(text)
    assert found[name][1] == raw
    assert {key: value for key, (value, _) in found.items()} == json.loads(text)


def test_empty_object_has_no_members() -> None:
    assert members(" {} ") == {}


@pytest.mark.parametrize(
    "text", ["", "[]", "1", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,}', '{"a":1}x', "{a:1}", "{1:1}", "null"]
)
def test_what_is_not_one_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        members(text)
