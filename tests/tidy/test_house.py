"""The verbs, the documents and CI agree with each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tidy import tree

VERBS = set(re.findall(r"^([a-z0-9-]+):", tree.text("Makefile"), flags=re.MULTILINE))
DOCUMENTS = tree.ending(".md")


@pytest.mark.parametrize("verb", ["demo", "test"])
def test_readme_shows_the_two_commands_and_they_are_verbs(verb: str) -> None:
    assert f"make {verb}" in tree.text("README.md")
    assert verb in VERBS


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_names_only_verbs_that_exist(name: str) -> None:
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", tree.text(name), flags=re.DOTALL))
    assert set(re.findall(r"(?<![\w-])make ([a-z0-9-]+)", code)) <= VERBS


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_links_only_to_files_that_exist(name: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", tree.text(name))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (tree.ROOT / Path(name).parent / target).exists()] == []


def test_ci_runs_the_same_two_verbs_as_people() -> None:
    commands = [line for line in tree.text(".ci/run").splitlines() if line.startswith("make ")]
    assert [command.split()[1] for command in commands] == ["lint", "test"]


def test_every_script_that_make_calls_is_there() -> None:
    called = set(re.findall(r"(?:@|\$\(PY\) )((?:deploy|bench|tests)/[\w/.-]+\.(?:sh|py))", tree.text("Makefile")))
    assert [name for name in sorted(called) if not (tree.ROOT / name).exists()] == []


def test_locked_packages_are_exact() -> None:
    pins = [line for line in tree.text("requirements.lock").splitlines() if not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9.-]+==[\w.]+", pin)] == []
