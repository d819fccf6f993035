"""P4Info says what docs/stages/packet.md says, and is what the compiler makes of the programs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.tidy import p4info, tree

INFO = "p4/build/dpu.p4info.txtpb"
PAGE = "docs/stages/packet.md"
P4C = os.environ.get("P4C", "p4c-bm2-ss")
P4TEST = os.environ.get("P4TEST", "p4test")
LAYERS = {"p4/programs/": "../lib/", "p4/lib/": ""}
"""Folder -> where its includes of ours lie; everybody may include ../gen/."""


def installed(command: str) -> bool:
    """Whether the first word of a command is a program."""
    return shutil.which(shlex.split(command)[0]) is not None


needs_p4c = pytest.mark.skipif(not installed(P4C), reason="no p4c-bm2-ss on PATH or in P4C")
needs_p4test = pytest.mark.skipif(not installed(P4TEST), reason="no p4test on PATH or in P4TEST")


def named(kind: str, info: dict[str, list[Any]]) -> dict[str, dict[str, list[Any]]]:
    """Name -> entity of one kind."""
    return {entity["preamble"][0]["name"][0]: entity for entity in info[kind]}


def number(entity: dict[str, list[Any]]) -> int:
    """The id of an entity."""
    return int(entity["preamble"][0]["id"][0])


def params(fields: list[dict[str, list[Any]]]) -> str:
    """`id: 16, port: 16`."""
    return ", ".join(f"{field['name'][0]}: {field['bitwidth'][0]}" for field in fields)


def stated(text: str, name: str, entity: dict[str, list[Any]], fields: str) -> list[str]:
    """What the page must say of an action or a controller header, where it does not."""
    wanted = f"`{name}({fields})` ({number(entity):#010x})"
    return [] if wanted in text else [wanted]


def test_actions_are_those_of_the_page() -> None:
    actions = named("actions", p4info.parse(tree.text(INFO)))
    del actions["NoAction"]
    page = tree.text(PAGE)
    assert [
        line
        for name, action in actions.items()
        for line in stated(page, name, action, params(action.get("params", [])))
    ] == []
    assert len(actions) == len(re.findall(r"\(0x010000\d\d\)", page))


def test_tables_are_those_of_the_page() -> None:
    info = p4info.parse(tree.text(INFO))
    action_ids = {number(action): name for name, action in named("actions", info).items()}
    for name, table in named("tables", info).items():
        row = next(
            line for line in tree.text(PAGE).splitlines() if line.startswith(f"| `{name}` ({number(table):#010x})")
        )
        keys = [
            f"`{field['name'][0]}` {field['match_type'][0].lower()} {field['bitwidth'][0]}"
            for field in table.get("match_fields", [])
        ]
        assert row.split("|")[2].strip() == (", ".join(keys) or "none")
        refs = [action_ids[ref["id"][0]] for ref in table["action_refs"] if "DEFAULT_ONLY" not in ref.get("scope", [])]
        assert re.findall(r"`(\w+)\(", row) == refs
        default_only = [
            action_ids[ref["id"][0]] for ref in table["action_refs"] if "DEFAULT_ONLY" in ref.get("scope", [])
        ]
        assert default_only == (["NoAction"] if keys else [])


def test_sizes_are_powers_of_two_as_bluefield_wants() -> None:
    info = p4info.parse(tree.text(INFO))
    sizes = {
        name: entity["size"][0]
        for kind in ("tables", "meters", "counters")
        for name, entity in named(kind, info).items()
    }
    assert {name: size for name, size in sizes.items() if size & (size - 1)} == {}


def test_meters_and_counters_are_those_of_the_page() -> None:
    info = p4info.parse(tree.text(INFO))
    meters = {name: (number(m), m["spec"][0]["unit"][0], m["size"][0]) for name, m in named("meters", info).items()}
    assert meters == {
        "source_packets": (0x14000001, "PACKETS", 65536),
        "source_bytes": (0x14000002, "BYTES", 65536),
        "source_connections": (0x14000003, "PACKETS", 65536),
        "service_packets": (0x14000004, "PACKETS", 64),
        "service_bytes": (0x14000005, "BYTES", 64),
        "service_connections": (0x14000006, "PACKETS", 64),
    }
    counters = {name: (number(c), c["spec"][0]["unit"][0], c["size"][0]) for name, c in named("counters", info).items()}
    assert counters == {"reasons": (0x12000001, "BOTH", 128)}


def test_packet_headers_are_those_of_the_page() -> None:
    headers = named("controller_packet_metadata", p4info.parse(tree.text(INFO)))
    assert {name: params(header["metadata"]) for name, header in headers.items()} == {
        "packet_in": "verdict: 8, pad: 8, reason: 16, group: 16, port: 16",
        "packet_out": "ingress: 16",
    }
    assert {name: number(header) for name, header in headers.items()} == {
        "packet_in": 0x04000001,
        "packet_out": 0x04000002,
    }


def test_programs_include_downwards() -> None:
    sideways = [
        f"{name}: {included}"
        for name in tree.ending(".p4")
        for folder, below in LAYERS.items()
        if name.startswith(folder)
        for included in re.findall(r'#include "([^"]+)"', tree.text(name))
        if not included.startswith("../gen/") and included.rpartition("/")[0] + "/" * ("/" in included) != below
    ]
    assert sideways == []


@needs_p4c
def test_what_is_checked_in_is_what_the_compiler_makes(tmp_path: Path) -> None:
    subprocess.run([str(tree.ROOT / "p4/build.sh"), str(tmp_path)], check=True)
    for name in ("dpu.p4info.txtpb", "dpu.json"):
        assert (tmp_path / name).read_text() == tree.text(f"p4/build/{name}"), "run p4/build.sh and commit p4/build"


def test_build_without_a_compiler_says_what_to_do(tmp_path: Path) -> None:
    run = subprocess.run(
        [tree.ROOT / "p4/build.sh", tmp_path], env=os.environ | {"P4C": "no-such-p4c"}, stderr=subprocess.PIPE
    )
    assert run.returncode == 1
    assert b"install p4c" in run.stderr
    assert list(tmp_path.iterdir()) == []


@needs_p4test
def test_dpl_main_has_the_numbers_of_v1model(tmp_path: Path) -> None:
    # Against our declarations of the externs: syntax, types and numbers, not what BlueField makes of it.
    info = tmp_path / "dpl.txt"
    command = [
        *shlex.split(P4TEST),
        "--Werror",
        "-I",
        "tests/data/dpl",
        "--p4runtime-files",
        str(info),
        "p4/programs/dpu_dpl.p4",
    ]
    subprocess.run(command, cwd=tree.ROOT, check=True)
    ours, theirs = p4info.parse(tree.text(INFO)), p4info.parse(info.read_text())
    for kind in ("tables", "actions"):
        numbers = {name: number(entity) for name, entity in named(kind, ours).items()}
        assert {name: number(entity) for name, entity in named(kind, theirs).items()} == numbers
