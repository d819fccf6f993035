"""Which Rust crate may depend on which: design section 5, read from the manifests."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from tests.tidy import tree

STAGES = {"http", "policy", "tls", "ucx"}
ALLOWED: dict[str, set[str]] = {
    "types": set(),
    **{stage: {"types"} for stage in STAGES},
    "pipeline": {"types", *STAGES},
    "replay": {"types"},
    "python": {"types", "pipeline", "replay"},
    "fuzz": {"types", "replay", *STAGES},
    "benches": {"types", "pipeline", *STAGES},
}
# The host worker's side of the transport is not the fast path's pipeline: the module reaches the ucx crate for it.
ALLOWED["python"] |= {"ucx"}
UNSAFE_CRATES = {"ucx", "replay", "python"}


def manifests() -> dict[str, dict[str, Any]]:
    """Folder -> parsed Cargo.toml of every crate."""
    names = [name for name in tree.files() if re.fullmatch(r"fastpath/[^/]+/Cargo\.toml", name)]
    return {name.split("/")[1]: tomllib.loads(tree.text(name)) for name in names}


def ours_needed_by(manifest: dict[str, Any], folders: dict[str, str]) -> set[str]:
    """Folders of our own crates among the normal and build dependencies; what a test needs is the test's."""
    tables = [manifest.get("dependencies", {}), manifest.get("build-dependencies", {})]
    tables += [target.get("dependencies", {}) for target in manifest.get("target", {}).values()]
    return {folders[name] for table in tables for name in table if name in folders}


CRATES = manifests()
FOLDERS = {manifest["package"]["name"]: folder for folder, manifest in CRATES.items() if "package" in manifest}


def test_every_crate_has_a_row() -> None:
    assert CRATES.keys() <= ALLOWED.keys()


@pytest.mark.parametrize("folder", CRATES)
def test_crate_depends_only_on_what_its_row_allows(folder: str) -> None:
    assert ours_needed_by(CRATES[folder], FOLDERS) <= ALLOWED[folder]


@pytest.mark.parametrize("folder", sorted(CRATES.keys() - {"fuzz"}))
def test_crate_takes_the_workspace_lints(folder: str) -> None:
    assert CRATES[folder].get("lints") == {"workspace": True}


@pytest.mark.parametrize("folder", sorted(CRATES.keys() - UNSAFE_CRATES - {"fuzz", "benches"}))
def test_crate_without_ffi_forbids_unsafe_code(folder: str) -> None:
    assert "#![forbid(unsafe_code)]" in tree.text(f"fastpath/{folder}/src/lib.rs")


def test_unsafe_is_written_only_at_the_foreign_edges() -> None:
    block = re.compile(r"\bunsafe\s+(\{|fn|impl|extern|trait)")
    outside = [name for name in tree.ending(".rs") if name.split("/")[1] not in UNSAFE_CRATES]
    assert [name for name in outside if block.search(tree.text(name))] == []


def test_every_unsafe_block_says_why_it_is_sound() -> None:
    lints = tomllib.loads(tree.text("fastpath/Cargo.toml"))["workspace"]["lints"]
    assert lints["clippy"]["undocumented_unsafe_blocks"] == "deny"
    assert lints["rust"]["unsafe_op_in_unsafe_fn"] == "deny"
