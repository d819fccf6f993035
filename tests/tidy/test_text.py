"""What must not stand in a file, how long a file may be, and that every module says its purpose."""

from __future__ import annotations

import re
from pathlib import Path

from tests.tidy import tree

LINES_MAX = 500
# Names are put together here so that this file does not match itself.
ABSOLUTE_PATHS = re.compile(r"(?<![\w.])/(?:" + "|".join(["work", "root", "home", "tmp"]) + r")/\w")
REGISTRIES = re.compile(
    "|".join(
        re.escape(host)
        for host in [
            *(f"{name}.org" for name in ("pypi", "files.pythonhosted", "proxy.golang", "registry.npmjs")),
            *(f"{name}.io" for name in ("crates", "index.crates", "static.crates", "ghcr", "docker")),
            *(f"{name}.debian.org" for name in ("deb", "snapshot", "security")),
            "repo1.maven" + ".org",
        ]
    )
)
UNFINISHED = re.compile(r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")
PURPOSE_MARKER = {".rs": "//! ", ".sh": "# ", ".h": "/* ", ".c": "/* ", ".p4": "// "}


def lines_matching(pattern: re.Pattern[str], skip: tuple[str, ...] = ()) -> list[str]:
    """`file:line: text` of every match in text that people wrote."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name, body in tree.texts()
        if name not in skip
        for number, line in enumerate(body.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_path_of_somebodys_machine() -> None:
    assert lines_matching(ABSOLUTE_PATHS) == []


def test_no_registry_host() -> None:
    assert lines_matching(REGISTRIES) == []


def test_nothing_is_marked_unfinished() -> None:
    assert lines_matching(UNFINISHED) == []


def test_no_type_ignore_without_its_reason() -> None:
    bare = re.compile(r"#\s*type:\s*ignore(?!\[[\w-]+(?:, ?[\w-]+)*\]\s+#?\s*\S)")
    assert [line for line in lines_matching(bare) if ".py:" in line] == []


def test_files_stay_readable_in_one_go() -> None:
    written = tree.ending(".py", ".pyi", ".rs", ".sh", ".p4", ".h", ".c", ".md", ".toml")
    lengths = {name: len(tree.text(name).splitlines()) for name in written if not name.startswith("abi/tables/")}
    assert {name: length for name, length in lengths.items() if length > LINES_MAX} == {}


def opens_with_purpose(name: str) -> bool:
    """Whether the first line after a `#!` says in a comment what the file is for."""
    opening = next((line for line in tree.text(name).splitlines() if not line.startswith("#!/")), "")
    marker = PURPOSE_MARKER[Path(name).suffix]
    return opening.startswith(marker) and len(opening) > len(marker) + 10


def test_modules_open_with_their_purpose() -> None:
    # A tests.rs is the test half of the module beside it, which says its purpose.
    written = [name for name in tree.ending(*PURPOSE_MARKER) if Path(name).name != "tests.rs"]
    assert [name for name in written if not opens_with_purpose(name)] == []


def test_python_docstrings_are_checked_by_ruff() -> None:
    settings = tree.text("pyproject.toml")
    assert '"D100", "D101", "D102", "D103"' in settings
