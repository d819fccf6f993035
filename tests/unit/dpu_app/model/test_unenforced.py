"""Settings that this build does not enforce are refused with the fix, never ignored."""

from __future__ import annotations

import pytest

from dpu_app.model import unenforced
from tests.unit.dpu_app.samples import TEXT, edited, problems


@pytest.mark.parametrize(
    ("text", "path", "what"),
    [
        (TEXT + "canary: {}\n", "canary", "canary analysis"),
        (TEXT + "slo: []\n", "slo", "service level objectives"),
        (edited(("8443\n", "8443\n    tickets: { file: k }\n")), "listeners[0].tickets", "session ticket keys"),
        (edited(("keys/server.key", "'pkcs11:token=dpu'")),
         "listeners[0].certificates[0].private_key_file", "keys in an HSM"),
    ],
)  # fmt: skip
def test_setting_is_refused_with_the_fix(text: str, path: str, what: str) -> None:
    found = problems(text)
    assert [problem.path for problem in found] == [path]
    assert what in found[0].what and found[0].what.endswith("not enforced by this build yet")
    assert found[0].fix.startswith(("remove", "name a PEM file"))


def test_prompt_text_in_the_journal_is_refused() -> None:
    found = problems(TEXT + "telemetry: { journal: { prompt_text: true } }\n")
    assert [(problem.path, problem.fix) for problem in found] == [("telemetry.journal.prompt_text", "write False")]


def test_rest_of_the_file_is_judged_all_the_same() -> None:
    found = problems(edited(("name: w1", "name: w0")) + "canary: {}\n")
    assert [problem.path for problem in found] == ["workers[1].name", "canary"]


def test_no_known_field_is_listed_as_unenforced() -> None:
    assert unenforced.findings({"listeners": [{"name": "a", "limits": {"headers_max": 1}}], "tenants": []}) == []
