"""bench.work: the request is what the bench says it is, and the back end answers as ours would."""

from __future__ import annotations

import json

import pytest

from bench import work
from bench.sides.base import CONFIG, render


def test_request_is_one_kibibyte_of_json() -> None:
    body = work.chat_body()
    assert len(body) == work.BODY_BYTES
    assert json.loads(body)["messages"][-1]["content"] == "!echo tokens=8"


def test_back_ends_answer_has_the_expected_shape_and_our_length() -> None:
    work._check_shape(work.answer_body())
    assert len(work.answer_body()) == 351


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"choices":[]}', work.answer_body().replace(b" tok tok", b" tok")], ids=str
)
def test_other_answers_are_refused(body: bytes) -> None:
    with pytest.raises(work.WrongAnswer):
        work._check_shape(body)


def test_back_ends_answer_fits_into_nginx_quotes() -> None:
    assert not set("'$\\") & set(work.answer_body().decode())


@pytest.mark.parametrize("template", sorted(path.name for path in CONFIG.iterdir()))
def test_template_with_a_missing_value_is_refused(template: str) -> None:
    with pytest.raises(KeyError):
        render(template, CONFIG / "never-written", {"PORT": 1})
