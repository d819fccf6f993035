"""An import-linter contract that reads like design section 5: who, what of ours it may import, what from outside.

One row of `[tool.importlinter]` in pyproject.toml is one contract. A row whose modules are not written yet holds
trivially, so that the whole table stands there from the first day. Direct imports only: every module has its row.
"""

from __future__ import annotations

import sys
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

STANDARD_LIBRARY = frozenset(sys.stdlib_module_names)
OURS = frozenset({"abi", "certs", "dpu_app", "dpu_proto", "host_agent"})
ANYTHING = "*"


def under(module: str, package: str) -> bool:
    """Whether `module` is `package` or inside it."""
    return module == package or module.startswith(f"{package}.")


class AllowContract(Contract):
    """`modules` may import themselves, `ours`, the standard library, and `outside` ("*": anything but `restricted`)."""

    modules = fields.SetField(subfield=fields.StringField())
    except_modules = fields.SetField(subfield=fields.StringField(), required=False, default=set())
    ours = fields.SetField(subfield=fields.StringField(), required=False, default=set())
    outside = fields.SetField(subfield=fields.StringField(), required=False, default=set())
    restricted = fields.SetField(subfield=fields.StringField(), required=False, default={"bcc", "dpu_fastpath", "p4"})

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Every direct import that the row does not allow, with its file's line."""
        broken = [
            f"{importer} -> {imported} (line {', '.join(lines_of(graph, importer, imported))})"
            for importer in sorted(self.members(graph))
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not self.allows(importer, imported)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def names(self, field: object) -> set[str]:
        """A set field's value; the library's annotations name the field's class where instances hold the set itself."""
        return cast("set[str]", field)

    def members(self, graph: ImportGraph) -> set[str]:
        """The modules that this row is about, as far as they exist."""
        inside = {
            module for module in graph.modules if any(under(module, package) for package in self.names(self.modules))
        }
        return {
            module
            for module in inside
            if not any(under(module, package) for package in self.names(self.except_modules))
        }

    def allows(self, importer: str, imported: str) -> bool:
        """Whether one direct import is within the row."""
        top = imported.split(".")[0]
        if top in OURS:
            # A package's __init__ is imported with everything in it, so a part may name its own row's package.
            return any(under(imported, package) for package in self.names(self.modules) | self.names(self.ours))
        outside = self.names(self.outside)
        if top in STANDARD_LIBRARY or top in outside:
            return True
        return ANYTHING in outside and top not in self.names(self.restricted)

    def render_broken_contract(self, check: ContractCheck) -> None:
        """One line for each import that is not allowed."""
        for line in check.metadata["broken"]:
            output.print_error(line)


def lines_of(graph: ImportGraph, importer: str, imported: str) -> list[str]:
    """Line numbers of an import, as text."""
    return [str(found["line_number"]) for found in graph.get_import_details(importer=importer, imported=imported)]
