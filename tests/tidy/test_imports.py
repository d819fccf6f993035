"""Imports that are allowed in one file, and the parts that the import table of pyproject.toml has to know."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tests.tidy import tree
from tests.tidy.allow_contract import AllowContract

PRODUCT = ("dpu_app/", "host_agent/", "dpu_proto/", "abi/")
# Entry points build the objects: they may import everything of dpu_app.
ENTRY_POINTS = {"dpu_app/__init__.py", "dpu_app/__main__.py", "dpu_app/replay/__main__.py", "dpu_app/replay/build.py"}
ASSEMBLY = "dpu_app/agent/"
"""Parts that build and join the others."""


def product_files_importing(package: str) -> set[str]:
    """Files of the product that import `package` or something inside it."""
    names = [name for name in tree.ending(".py") if name.startswith(PRODUCT)]
    inside = (package, f"{package}.")
    return {
        name
        for name in names
        if any(module == inside[0] or module.startswith(inside[1]) for module in tree.imported_modules(name))
    }


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("bcc", {"dpu_app/targets/xdp.py"}),
        # The request path, the worker's transport, and the replay rig's loop: three processes that never meet.
        (
            "dpu_fastpath",
            {"dpu_app/fastpath/native.py", "dpu_app/replay/native.py", "host_agent/worker/native.py"},
        ),
    ],
)
def test_native_library_is_imported_in_one_file_a_side(package: str, allowed: set[str]) -> None:
    assert product_files_importing(package) <= allowed


def test_p4runtime_types_stay_in_p4rt() -> None:
    assert {name for name in product_files_importing("p4") if not name.startswith("dpu_app/p4rt/")} == set()


def test_p4_folder_does_not_hide_the_p4_package() -> None:
    assert [name for name in tree.files() if name.startswith("p4/") and name.endswith("__init__.py")] == []


def contracts() -> list[dict[str, Any]]:
    """The rows of the import table."""
    settings: list[dict[str, Any]] = tomllib.loads(tree.text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    return settings


def test_every_part_of_dpu_app_has_a_row_in_the_import_table() -> None:
    rows = {module for row in contracts() for module in row.get("modules", ())}
    written = {name for name in tree.ending(".py") if name.startswith("dpu_app/")} - ENTRY_POINTS
    written = {name for name in written if not name.startswith(ASSEMBLY)}
    parts = {"dpu_app." + name.split("/")[1].removesuffix(".py") for name in written}
    assert parts <= rows


def row(**settings: object) -> AllowContract:
    """A contract as import-linter builds it from a table row."""
    return AllowContract(name="row", session_options={}, contract_options=settings)


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("dpu_app.store.disk", "dpu_app.model.tenant", True),
        ("dpu_app.store.disk", "dpu_app.store.lock", True),
        ("dpu_app.store.disk", "dpu_app.compile.buckets", False),
        ("dpu_app.store.disk", "dpu_app.modelling", False),
        ("dpu_app.store.disk", "sqlite3", True),
        ("dpu_app.store.disk", "yaml", True),
        ("dpu_app.store.disk", "bcc", False),
        ("dpu_app.store.disk", "dpu_fastpath", False),
    ],
)
def test_row_allows_itself_its_list_and_outside_libraries(importer: str, imported: str, allowed: bool) -> None:
    contract = row(modules=["dpu_app.store"], ours=["dpu_app.model"], outside=["*"])
    assert contract.allows(importer, imported) is allowed


def test_row_without_star_allows_only_what_it_lists() -> None:
    contract = row(modules=["dpu_app.model"], outside=["pydantic"])
    assert contract.allows("dpu_app.model.a", "pydantic")
    assert not contract.allows("dpu_app.model.a", "grpc")
