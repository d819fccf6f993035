"""YAML with positions: text in, plain values and the place of each of them out. YAML 1.2, strictly.

Refused beyond the YAML specification: duplicate keys, keys that are not text, explicit tags, merge keys, more than
one document, and anything above the limits below (aliases can make a short file long).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.scanner import Scanner, ScannerError

from dpu_app.model.problem import Finding, Location, Problem, path_text

DOCUMENT_BYTES_MAX = 4_194_304
NODES_MAX = 200_000
DEPTH_MAX = 32
TAG = "tag:yaml.org,2002:"


@dataclass
class Document:
    """`data` is dict, list, str, int, float, bool or None; `marks` has line and column (from 1) of each place."""

    file: str
    data: Any = None
    marks: dict[Location, tuple[int, int]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def located(self, problem: Problem) -> Problem:
        """The problem with file, line and column of its path, or of the nearest place around it."""
        by_path = {path_text(loc): loc for loc in self.marks}
        path = problem.path
        while path and path not in by_path:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        line, column = self.mark(by_path.get(path, ()))
        return replace(problem, file=self.file, line=line, column=column)

    def problem(self, finding: Finding) -> Problem:
        """The finding with its place in the file."""
        line, column = finding.mark or self.mark(finding.loc)
        return Problem(finding.what, finding.fix, path_text(finding.loc), self.file, line, column)

    def mark(self, loc: Location) -> tuple[int, int]:
        """Line and column of a place, or of the nearest one around it."""
        while loc and loc not in self.marks:
            loc = loc[:-1]
        return self.marks.get(loc, (0, 0))


class DocumentError(Exception):
    """The text is not a document that can be judged at all."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def parse(text: str, file: str) -> Document:
    """The document; what is wrong inside it stands in `findings`. Raises DocumentError where nothing can be read."""
    if len(text) > DOCUMENT_BYTES_MAX:
        raise DocumentError(Problem("the file is too large", f"keep it below {DOCUMENT_BYTES_MAX} bytes", file=file))
    node = compose(text, file)
    if node is None:
        raise DocumentError(
            Problem("the file is empty", "start with 'apiVersion: dpu/v1'", file=file, line=1, column=1)
        )
    document = Document(file)
    document.data = Builder(document).value(node, ())
    return document


def compose(text: str, file: str) -> Node | None:
    """The node tree. Raises DocumentError with line and column."""
    try:
        yaml = YAML(typ="safe", pure=True)
        yaml.Scanner = BoundedScanner
        node: Node | None = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        what = f"not valid YAML: {error.problem or error.context}"
        raise DocumentError(Problem(what, "correct the YAML here", "", file, line, column)) from error
    except YAMLError as error:
        raise DocumentError(Problem(f"not valid YAML: {error}", "correct the YAML", file=file)) from error
    except RecursionError as error:
        raise DocumentError(Problem("nests too deep", "remove the nesting", file=file)) from error
    return node


class BoundedScanner(Scanner):
    """The library's cost grows with the square of open brackets: a file of nothing else would take seconds."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:
        """An opening bracket. Raises ScannerError beyond the limit."""
        if self.flow_level >= DEPTH_MAX:
            raise ScannerError(None, None, f"nests deeper than {DEPTH_MAX}", self.reader.get_mark())
        super().fetch_flow_collection_start(TokenClass, to_push)


class Builder:
    """Turns nodes into plain values, noting places and findings in the document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0

    def value(self, node: Node, loc: Location) -> Any:
        """The plain value of a node; None where a finding says why there is none."""
        self.nodes += 1
        self.document.marks.setdefault(loc, place(node))
        if len(loc) > DEPTH_MAX or self.nodes > NODES_MAX:
            raise DocumentError(self.too_much(loc))
        if isinstance(node, MappingNode) and node.tag == TAG + "map":
            return self.mapping(node, loc)
        if isinstance(node, SequenceNode) and node.tag == TAG + "seq":
            return [self.value(item, (*loc, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self.scalar(node, loc)
        return self.refuse(loc, f"the tag '{node.tag}' is not understood", "remove the tag")

    def too_much(self, loc: Location) -> Problem:
        """Nested too deep, or blown up by aliases."""
        what = f"nests deeper than {DEPTH_MAX} or has more than {NODES_MAX} values"
        return self.document.problem(Finding(loc, what, "make the file smaller; write aliases out"))

    def mapping(self, node: MappingNode, loc: Location) -> dict[str, Any]:
        """Keys are text and stand once."""
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key_node, ScalarNode) or key_node.tag == TAG + "merge":
                self.at(key_node, loc, "a key has to be plain text", "write the fields out")
                continue
            if key in result:
                self.at(key_node, (*loc, key), f"the key '{key}' is here twice", "keep one of them")
                continue
            self.document.marks[(*loc, key)] = place(key_node)
            result[key] = self.value(value_node, (*loc, key))
        return result

    def scalar(self, node: ScalarNode, loc: Location) -> Any:
        """Text, or what YAML 1.2's core schema makes of plain text."""
        kind = str(node.tag).removeprefix(TAG)
        if kind == "null":
            return None
        if kind == "bool":
            return node.value.lower() == "true"
        if kind in ("str", "timestamp"):
            return str(node.value)
        try:
            if kind == "int":
                return int(node.value.replace("_", ""), 0 if node.value[:2] in ("0x", "0o") else 10)
            if kind == "float":
                return float(node.value.replace("_", ""))
        except ValueError:
            return self.refuse(loc, f"'{node.value}' is not a number", "write it in decimal digits")
        return self.refuse(loc, f"the tag '{node.tag}' is not understood", "remove the tag")

    def refuse(self, loc: Location, what: str, fix: str) -> None:
        """A finding at a place that has its mark."""
        self.document.findings.append(Finding(loc, what, fix))

    def at(self, node: Node, loc: Location, what: str, fix: str) -> None:
        """A finding whose place is the node's own."""
        self.document.findings.append(Finding(loc, what, fix, place(node)))


def place(node: Node) -> tuple[int, int]:
    """Line and column, from 1."""
    return node.start_mark.line + 1, node.start_mark.column + 1
