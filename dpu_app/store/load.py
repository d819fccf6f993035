"""From the text of a file to a valid desired state, or to every problem in it at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dpu_app.model import cross, unenforced
from dpu_app.model.desired import Desired
from dpu_app.model.problem import Finding, Location, Problem
from dpu_app.store import explain
from dpu_app.store.document import DOCUMENT_BYTES_MAX, Document, DocumentError, parse


@dataclass(frozen=True)
class Loaded:
    """A valid desired state. Relative file names in it start at `folder`."""

    desired: Desired
    document: Document
    folder: str


class LoadError(Exception):
    """The text is not a valid desired state; `problems` says all that is wrong, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


def read(path: Path) -> str:
    """The text of a file. Raises LoadError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(DOCUMENT_BYTES_MAX + 1).decode()
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        raise LoadError([Problem(what, "check the path and its permissions", file=str(path))]) from error
    except UnicodeDecodeError as error:
        raise LoadError([Problem("is not UTF-8", "save it as UTF-8", file=str(path))]) from error


def load(text: str, file: str, folder: str) -> Loaded:
    """`file` is for messages, `folder` is where relative names in the text start. Raises LoadError."""
    try:
        document = parse(text, file)
    except DocumentError as error:
        raise LoadError([error.problem]) from error
    refused = unenforced.findings(document.data)
    found = document.findings + refused
    data = unenforced.without(document.data, {finding.loc for finding in refused})
    try:
        desired = Desired.model_validate(data)
        found += cross.findings(desired)
    except ValidationError as error:
        seen = {item.loc for item in found}
        found += [item for item in explained(error) if item.loc not in seen]
    if found:
        problems = [document.problem(item) for item in found]
        raise LoadError(sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return Loaded(desired, document, folder)


def explained(error: ValidationError) -> list[Finding]:
    """Every error of pydantic as a finding; input values are left out, they may be keys."""
    errors = error.errors(include_url=False, include_input=False)
    misspelt = {misspelt_for(item) for item in errors if item["type"] == "extra_forbidden"}
    return [
        explain.finding(item)
        for item in errors
        if not counts_refused_items(item, errors) and not (item["type"] == "missing" and item["loc"] in misspelt)
    ]


def misspelt_for(item: ErrorDetails) -> Location:
    """The field that an unknown one was probably meant to be: it is not missing too."""
    return (*item["loc"][:-1], explain.meant(item["loc"]) or "")


def counts_refused_items(item: ErrorDetails, errors: list[ErrorDetails]) -> bool:
    """pydantic leaves refused items out and then finds the list too short: only the items are to blame."""
    loc = item["loc"]
    return item["type"] == "too_short" and any(len(e["loc"]) > len(loc) and e["loc"][: len(loc)] == loc for e in errors)


def load_file(path: Path) -> Loaded:
    """The file's desired state. Raises LoadError."""
    return load(read(path), str(path), str(path.resolve().parent))
