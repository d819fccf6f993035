"""From text to a valid desired state, or to every problem with file, line, column and fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpu_app.store.load import LoadError, load, load_file
from tests.unit.dpu_app.samples import KEY, ROOT, TEXT, edited, problems


def test_dev_yaml_is_valid() -> None:
    loaded = load_file(ROOT / "deploy" / "config" / "dev.yaml")
    assert [tenant.name for tenant in loaded.desired.tenants] == ["alpha", "beta", "gamma"]
    assert loaded.folder == str(ROOT / "deploy" / "config")


@pytest.mark.parametrize(
    ("change", "line", "path", "what", "fix"),
    [
        (("weight_percent: 90", "weigth_percent: 90"), 20, "models[0].arms[0].weigth_percent",
         "unknown field 'weigth_percent'", "did you mean 'weight_percent'?"),
        (("worker_key_file: worker.key", "telemetry: {}"), 1, "worker_key_file", "'worker_key_file' is missing",
         "add 'worker_key_file'"),
        (("dpu/v1", "dpu/v2"), 1, "apiVersion", "has a value that is not known here", "write 'dpu/v1'"),
        (("requests: 60", "requests: '60'"), 14, "tenants[0].limits.request_rate.requests",
         "has to be a whole number", "write digits only, without quotes"),
        (("requests: 60", "requests: true"), 14, "tenants[0].limits.request_rate.requests",
         "has to be a whole number", "write digits only, without quotes"),
        (("concurrency_max: 4", "concurrency_max: 0"), 15, "tenants[0].limits.concurrency_max", "is too small",
         "write 1 or more"),
        (("name: public", "name: Public"), 3, "listeners[0].name", "the text has characters", "use lower-case letters"),
        (("models: [chat]", "models: chat"), 12, "tenants[0].models", "has to be a list", "write each item"),
        (("models: [chat]", "models: []"), 12, "tenants[0].models", "is too short", "give it 1 or more"),
        (("per: 1m", "per: 60"), 14, "tenants[0].limits.request_rate.per", "is not a duration", "write a whole number"),
        (("127.0.0.1:8443", "localhost:8443"), 4, "listeners[0].address", "is not an address", "write IP:PORT"),
        (("[localhost]", "[LOCALHOST]"), 6, "listeners[0].certificates[0].server_names[0]", "the text has characters",
         "use a DNS name"),
    ],
)  # fmt: skip
def test_problem_has_line_path_and_fix(change: tuple[str, str], line: int, path: str, what: str, fix: str) -> None:
    found = problems(edited(change))
    assert [problem.path for problem in found] == [path]
    problem = found[0]
    assert (problem.file, problem.line) == ("test.yaml", line)
    assert problem.column > 0
    assert problem.what.startswith(what)
    assert problem.fix.startswith(fix)


def test_problem_reads_as_one_line() -> None:
    text = str(problems(edited(("models: [chat]", "models: [talk]")))[0])
    assert text == "test.yaml:12:14: tenants[0].models[0]: there is no model 'talk' (fix: use one of: chat)"


@pytest.mark.parametrize("secret", ["sk-dev-alpha", "sha256:short", KEY.upper(), KEY.removeprefix("sha256:")])
def test_key_that_is_no_reference_is_refused_and_never_repeated(secret: str) -> None:
    found = problems(edited((KEY, secret)))
    assert [problem.path for problem in found] == ["tenants[0].keys[0]"]
    assert secret not in str(found[0])


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    found = problems(edited(("dpu/v1", "v1"), ("name: public", "name: ''"), ("7102", "x")))
    assert [problem.line for problem in found] == [1, 3, 24]


def test_list_with_a_refused_item_is_not_called_too_short() -> None:
    assert [problem.path for problem in problems(edited(("8443", "x")))] == ["listeners[0].address"]


@pytest.mark.parametrize("text", ["- a", "a", "1", "{}"])
def test_text_that_is_no_desired_state_is_refused(text: str) -> None:
    assert problems(text)


def test_missing_file_is_a_problem_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(LoadError) as error:
        load_file(tmp_path / "none.yaml")
    assert str(error.value.problems[0]).startswith(f"{tmp_path}/none.yaml: cannot be read: No such file")


def test_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(LoadError, match="is not UTF-8"):
        load_file(tmp_path / "a.yaml")


@settings(deadline=None, max_examples=150)
@given(st.integers(0, len(TEXT)), st.integers(0, 40), st.text(alphabet="ab1:-[]{} \n'\"", max_size=5))
def test_no_edit_raises_anything_but_load_error(start: int, size: int, insert: str) -> None:
    try:
        load(TEXT[:start] + insert + TEXT[start + size :], "f", "/")
    except LoadError as error:
        assert all(problem.what and problem.fix for problem in error.problems)
