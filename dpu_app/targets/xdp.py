"""Compiles and loads the packet programs: the one file that imports BCC."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from dpu_app.targets.base import TargetUnavailable
from dpu_app.targets.packet.bpf import Map
from dpu_app.targets.packet.crc import crc_tables
from dpu_app.targets.packet.layout import MAPS, Sizes
from dpu_app.targets.packet.maps import INDEX_0, Maps
from dpu_app.targets.packet.source import PROGRAMS, Options, text

HEADERS = Path("/lib/modules") / platform.release() / "build"
PACKAGE = "linux-headers-arm64" if platform.machine() == "aarch64" else "linux-headers-amd64"
FIX_HEADERS = f"apt-get install {PACKAGE}, then `make setup` (it links them for this kernel)"
FIX_BCC = "apt-get install python3-bpfcc, and a virtual environment with --system-site-packages"
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}
"""By their bit in linux/capability.h."""
TYPES = {"egress": "SCHED_CLS"}
"""Programs that are not of BCC's type XDP."""


@dataclass
class Loaded:
    """Programs in the kernel, by descriptor, and their maps. Owns both."""

    programs: dict[str, int]
    maps: Maps

    def close(self) -> None:
        """Lets go; what is pinned or attached stays in the kernel."""
        for fd in self.programs.values():
            os.close(fd)
        self.maps.close()


def load(
    sizes: Sizes,
    options: Options,
    pins: dict[str, str],
    programs: tuple[str, ...] = PROGRAMS,
    *,
    files: tuple[str, ...] = (),
    more_maps: tuple[str, ...] = (),
) -> Loaded:
    """Compiles and loads. Maps with a path in `pins` are adopted from there, or made and pinned.

    `files` of `bpf/programs` are those of the programs' names, unless one file has several; `more_maps` are their own.

    Raises TargetUnavailable with the fix: no BCC, no headers, no privilege, or a kernel that refuses the program.
    """
    module = compiled(text(sizes, options, pins, files or programs))
    try:
        functions = {
            name: module.load_func(f"dpu_{name}".encode(), getattr(type(module), TYPES.get(name, "XDP")))
            for name in programs
        }
    except Exception as error:
        # BCC raises bare Exception; the verifier's words are on standard error.
        module.cleanup()
        raise TargetUnavailable(f"the kernel refuses the packet programs: {error}") from error
    names = [item.name for item in MAPS if item.name != "replay_io" or options.replay] + list(more_maps)
    descriptors = {name: module[name.encode()].map_fd for name in names}
    # BCC closes what it opened when its object goes; ours are copies.
    loaded = Loaded(
        {name: os.dup(function.fd) for name, function in functions.items()},
        Maps({name: os.dup(fd) for name, fd in descriptors.items()}, sizes),
    )
    module.cleanup()
    fill_crc(loaded.maps["crc"])
    return loaded


def compiled(source: str):  # type: ignore[no-untyped-def]  # BCC has no types
    """BCC's module of a text. Raises TargetUnavailable."""
    if missing := missing_capabilities(Path("/proc/self/status").read_text(encoding="ascii")):
        raise TargetUnavailable(f"no {', '.join(missing)}: run as root, or give the process these capabilities")
    if not HEADERS.exists():
        raise TargetUnavailable(f"no kernel headers under {HEADERS}: {FIX_HEADERS}")
    try:
        from bcc import BPF
    except ImportError as error:
        raise TargetUnavailable(f"BCC is missing: {FIX_BCC}") from error
    try:
        return BPF(text=source.encode(), cflags=["-Wno-everything"])
    except Exception as error:
        # BCC raises bare Exception for everything, from a missing privilege to a syntax error.
        raise TargetUnavailable(f"the packet programs do not compile here: {error}; as root: {FIX_HEADERS}") from error


def missing_capabilities(status: str) -> list[str]:
    """Those that loading takes and a process with this /proc/PID/status does not have; CAP_SYS_ADMIN stands for all."""
    effective = int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16)
    held = {name for name, bit in CAPABILITIES.items() if effective >> bit & 1}
    if "CAP_SYS_ADMIN" in held:
        held |= {"CAP_BPF", "CAP_PERFMON"}
    return sorted(CAPABILITIES.keys() - held - {"CAP_SYS_ADMIN"})


def fill_crc(crc: Map) -> None:
    """The tables that the programs compute CRC-32 with."""
    crc.update(INDEX_0, crc_tables())
