"""What loading the packet programs needs, said before anything is compiled."""

from __future__ import annotations

import pytest

from dpu_app.targets.packet.source import machine_macros
from dpu_app.targets.xdp import missing_capabilities


@pytest.mark.parametrize(
    ("effective", "missing"),
    [
        ("000001ffffffffff", []),
        ("0000000000000000", ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]),
        ("000000c000001000", []),
        ("0000008000001000", ["CAP_PERFMON"]),
        ("0000000000200000", ["CAP_NET_ADMIN"]),
    ],
)
def test_missing_capabilities_are_named(effective: str, missing: list[str]) -> None:
    assert missing_capabilities(f"Name:\tx\nCapEff:\t{effective}\n") == missing


@pytest.mark.parametrize(
    ("machine", "release", "macros"),
    [
        ("x86_64", "5.15.0", ["#define DPU_STRONG_ORDER"]),
        ("aarch64", "5.15.0-1046-bluefield", ["#define DPU_SPIN_LOCK"]),
        ("aarch64", "6.1.0-56-arm64", []),
    ],
)
def test_lock_is_what_processor_and_kernel_have(machine: str, release: str, macros: list[str]) -> None:
    assert machine_macros(machine, release) == macros
