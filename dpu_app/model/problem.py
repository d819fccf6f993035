"""What is wrong with a desired state or a plan, where it stands, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Location = tuple[str | int, ...]
Named = tuple[Location, str]


@dataclass(frozen=True)
class Finding:
    """Something wrong at one place of the desired state; pure checks make these, `store` adds file and line.

    `mark` is the line and column, from 1, where they are not those of `loc` (the second of two equal keys).
    """

    loc: Location
    what: str
    fix: str
    mark: tuple[int, int] | None = None


@dataclass(frozen=True)
class Problem:
    """One thing that somebody has to change. `line` and `column` count from 1, 0 means not known.

    `path` names the entry in the words of the desired state and of the plan, which are the same:
    `listeners[0].certificates[1].private_key_file`.
    """

    what: str
    fix: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        where = [self.file] if self.file else []
        where += [str(self.line), str(self.column)] if self.line else []
        head = ":".join(where)
        parts = [part for part in (head, self.path, self.what) if part]
        return ": ".join(parts) + (f" (fix: {self.fix})" if self.fix else "")


def path_text(loc: Location) -> str:
    """`("tenants", 1, "keys", 0)` as `tenants[1].keys[0]`."""
    text = ""
    for step in loc:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def twice(what: str, fix: str, entries: Iterable[Named]) -> Iterator[Finding]:
    """A finding for every entry whose text an earlier entry has."""
    first: dict[str, Location] = {}
    for loc, text in entries:
        if text in first:
            yield Finding(loc, f"{what} '{text}' is already at {path_text(first[text])}", fix)
        first.setdefault(text, loc)
