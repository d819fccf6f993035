"""The repository as data: which files there are, what is generated, and what stands in them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
GENERATED = ("abi/gen/", "fastpath/types/src/gen/", "bpf/gen/", "p4/gen/", "p4/build/")
CODE = {"", ".c", ".h", ".p4", ".proto", ".py", ".pyi", ".rs", ".sh"}
TEXT = CODE | {".cfg", ".ini", ".json", ".md", ".service", ".svg", ".toml", ".txt", ".yaml", ".yml"}


@cache
def files() -> tuple[str, ...]:
    """Every file that is in git or would be, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return tuple(sorted(name for name in set(listed.split("\0")) if name and (ROOT / name).is_file()))


def is_generated(name: str) -> bool:
    """Whether a tool wrote the file (its source is what people read and write)."""
    stub = name.endswith(("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi"))
    return stub or name.endswith(".lock") or name.startswith(GENERATED)


def ending(*endings: str) -> list[str]:
    """Files that people wrote with one of these endings."""
    return [name for name in files() if name.endswith(endings) and not is_generated(name)]


def text(name: str) -> str:
    """The file's text."""
    return (ROOT / name).read_text(encoding="utf-8")


def texts() -> Iterator[tuple[str, str]]:
    """Name and text of everything written by people that is text; test data is data."""
    for name in files():
        if Path(name).suffix in TEXT and not is_generated(name) and not name.startswith("tests/data/"):
            yield name, text(name)


def imported_modules(name: str) -> set[str]:
    """Dotted names of the modules that a Python file imports, wherever in the file; relative imports are left out."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text(name))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
    return found
