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


@pytest.mark.parametrize("scenario", work.SCENARIOS, ids=lambda scenario: scenario.name)
def test_body_of_a_scenario_asks_for_its_tokens(scenario: work.Scenario) -> None:
    body = json.loads(work.body_of(scenario))
    assert f"tokens={scenario.tokens}" in body["messages"][-1]["content"]
    assert body.get("stream", False) == (scenario.mode == "stream")
    assert body["max_tokens"] >= scenario.tokens


def test_each_tenant_has_a_key_of_its_own_and_the_first_is_alphas() -> None:
    assert len(set(work.keys(10_000))) == 10_000
    assert work.keys(1) == [work.KEY]
