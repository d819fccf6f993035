"""Cross checks of a desired state: each contradiction is found at its place, and all of them at once."""

from __future__ import annotations

import pytest

from tests.unit.dpu_app.samples import KEY, OTHER_KEY, TEXT, edited, problems

SECOND_TENANT = f"""\
  - name: beta
    keys: [{OTHER_KEY}]
    models: [chat]
models:
  - name: chat
"""


def test_sample_is_valid() -> None:
    assert problems(TEXT) == []


@pytest.mark.parametrize(
    ("change", "path", "what"),
    [
        (("name: w1", "name: w0"), "workers[1].name", "the name 'w0' is already at workers[0].name"),
        (("7102", "7101"), "workers[1].address", "the address '127.0.0.1:7101' is already at workers[0].address"),
        (('"127.0.0.1:7102"', '"0.0.0.0:7102"'), "workers[1].address", "nobody can connect to '0.0.0.0:7102'"),
        (("name: canary", "name: stable"), "models[0].arms[1].name", "the arm 'stable' is already"),
        (("[gpt-4o-mini]", "[chat]"), "models[0].aliases[0]", "the model name or alias 'chat' is already"),
        (("models: [chat]", "models: [talk]"), "tenants[0].models[0]", "there is no model 'talk'"),
        (("models: [chat]", "models: [gpt-4o-mini]"), "tenants[0].models[0]", "'gpt-4o-mini' is an alias"),
        (("models: [chat]", "models: [chat, chat]"), "tenants[0].models[1]", "the model 'chat' is already"),
        ((f"[{KEY}]", f"[{KEY}, {KEY}]"), "tenants[0].keys[1]", "the key"),
        (("weight_percent: 90", "weight_percent: 80"), "models[0].arms", "add up to 90 %: stable 80 + canary 10"),
        (("weight_percent: 90", "weight_percent: 90.01"), "models[0].arms", "add up to 100.01 %"),
        (("weight_percent: 10, worker_labels: { zone: a }", "weight_percent: 10, worker_labels: { zone: b }"),
         "models[0].arms[1].worker_labels", "no worker has the labels {zone: b}"),
        (("weight_percent: 90 ", "weight_percent: 90, max_tokens_default: 9, max_tokens_max: 8 "),
         "models[0].arms[0].max_tokens_default", "max_tokens_default 9 is above max_tokens_max 8"),
        (("[localhost]", "[localhost, localhost]"), "listeners[0].certificates[0].server_names[1]", "the server name"),
    ],
)  # fmt: skip
def test_contradiction_is_found_at_its_place(change: tuple[str, str], path: str, what: str) -> None:
    found = problems(edited(change))
    assert [problem.path for problem in found] == [path]
    assert what in found[0].what
    assert found[0].fix and found[0].line > 0


def test_key_of_two_tenants_is_found() -> None:
    text = edited(("models:\n  - name: chat\n", SECOND_TENANT.replace(OTHER_KEY, KEY)))
    assert [problem.path for problem in problems(text)] == ["tenants[1].keys[0]"]
    assert problems(edited(("models:\n  - name: chat\n", SECOND_TENANT))) == []


LISTENER = "tenants:\n"
SECOND_LISTENER = """\
  - name: second
    address: "%s"
    certificates:
      - { server_names: [localhost], certificate_file: a, private_key_file: b }
tenants:
"""


@pytest.mark.parametrize(
    ("address", "paths"),
    [
        ("127.0.0.1:8444", []),
        ("127.0.0.1:8443", ["listeners[1].address"]),
        ("0.0.0.0:8443", ["listeners[0].address"]),
        ("0.0.0.0:8444", []),
        ("[::]:8443", []),
    ],
)
def test_listeners_that_want_the_same_port_are_found(address: str, paths: list[str]) -> None:
    assert [problem.path for problem in problems(edited((LISTENER, SECOND_LISTENER % address)))] == paths


def test_all_contradictions_are_found_at_once() -> None:
    text = edited(("name: w1", "name: w0"), ("models: [chat]", "models: [talk]"), ("percent: 90", "percent: 1"))
    assert [problem.path for problem in problems(text)] == ["tenants[0].models[0]", "models[0].arms", "workers[1].name"]
