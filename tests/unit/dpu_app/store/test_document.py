"""YAML with positions, and the YAML that is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpu_app.model.problem import Problem
from dpu_app.store.document import DocumentError, parse


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: 1", {"a": 1}),
        ("a: [yes, no, on, off]", {"a": ["yes", "no", "on", "off"]}),
        ("a: [true, False, ~, null, '', ]", {"a": [True, False, None, None, ""]}),
        ("a: [0x10, 0o10, 010, -5, 1_000]", {"a": [16, 8, 10, -5, 1000]}),
        ("a: [1.5, 1e3, .5]", {"a": [1.5, 1000.0, 0.5]}),
        ("a: 2026-01-01", {"a": "2026-01-01"}),
        ("a: 12:30", {"a": "12:30"}),
        ("a: !!str 1", {"a": "1"}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("1: a", {"1": "a"}),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(text: str, data: Any) -> None:
    document = parse(text, "f")
    assert document.data == data
    assert document.findings == []


def test_every_place_has_line_and_column() -> None:
    marks = parse("a:\n  - b: 1\n    c: [2,\n      3]\n", "f").marks
    assert marks[("a",)] == (1, 1)
    assert marks[("a", 0)] == (2, 5)
    assert marks[("a", 0, "c")] == (3, 5)
    assert marks[("a", 0, "c", 1)] == (4, 7)


@pytest.mark.parametrize(
    ("path", "line"), [("a[0].c[1]", 4), ("a[0].c[1].d.e", 4), ("a[0].x", 2), ("a[7]", 1), ("z", 1), ("", 1)]
)
def test_problem_of_a_target_is_located_at_the_nearest_place(path: str, line: int) -> None:
    document = parse("a:\n  - b: 1\n    c: [2,\n      3]\n", "f")
    assert document.located(Problem("what", "fix", path)).line == line


@pytest.mark.parametrize(
    ("text", "what", "line", "column"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key 'a' is here twice", 3, 1),
        ("a: {b: 1, b: 2}", "the key 'b' is here twice", 1, 11),
        ("? [x]\n: 1\n", "a key has to be plain text", 1, 3),
        ("a: &x {b: 1}\nc: {<<: *x}\n", "a key has to be plain text", 2, 5),
        ("a: !thing 1", "the tag '!thing' is not understood", 1, 1),
        ("a: !!set {b}", "the tag 'tag:yaml.org,2002:set' is not understood", 1, 1),
        ("a: !!int x", "'x' is not a number", 1, 1),
    ],
)
def test_finding_has_its_place(text: str, what: str, line: int, column: int) -> None:
    document = parse(text, "f")
    problem = document.problem(document.findings[0])
    assert (problem.what, problem.line, problem.column) == (what, line, column)


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("", "the file is empty", 1),
        ("# nothing\n", "the file is empty", 1),
        ("a: [1", "not valid YAML", 1),
        ("a: 1\n\tb: 2", "not valid YAML", 2),
        ("a: 1\n---\nb: 2", "not valid YAML", 2),
        ("a: \x01", "not valid YAML", 0),
        ("[" * 100_000, "nests deeper than 32", 1),
        ("- " * 100, "nests deeper than 32", 1),
        ("- " * 2000, "nests too deep", 0),
        ("a: &x [*x]", "nests deeper than 32", 1),
        ("x" * 4_194_305, "the file is too large", 0),
    ],
)
def test_what_cannot_be_read_is_one_problem(text: str, what: str, line: int) -> None:
    with pytest.raises(DocumentError) as error:
        parse(text, "f")
    assert what in error.value.problem.what
    assert error.value.problem.line == line


def test_aliases_that_blow_up_are_stopped() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(DocumentError, match="more than"):
        parse("\n".join(lines), "f")


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"# \n\t~0.<", max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        parse(text, "f")
    except DocumentError:
        pass
