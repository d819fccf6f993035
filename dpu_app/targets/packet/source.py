"""The text of the packet programs as BCC is given it: the files of `bpf/` joined, with sizes and pins."""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass, fields
from pathlib import Path

from dpu_app.targets.packet.layout import MAPS, Sizes

ROOT = Path(__file__).resolve().parents[3] / "bpf"
PROGRAMS = ("ingress", "egress", "age")
INCLUDE = re.compile(r'^#include "([\w/.-]+)"$', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the programs are compiled."""

    replay: bool = False
    """With the map `replay_io` for questions and answers of one frame."""
    replay_clock: bool = False
    """With the clock in `replay_io` in place of the kernel's."""
    extra: tuple[str, ...] = ()
    """More macros, `NAME` or `NAME=VALUE`."""

    def macros(self) -> list[str]:
        """The macros that say so."""
        flags = ["DPU_REPLAY"] * self.replay + ["DPU_CLOCK_REPLAY"] * self.replay_clock
        return flags + list(self.extra)


def joined(name: str, seen: set[str]) -> str:
    """A file of `bpf/` with those that it includes in their place, each once: BCC rewrites only its main file."""
    if name in seen:
        return ""
    seen.add(name)
    text = (ROOT / name).read_text(encoding="utf-8")
    return INCLUDE.sub(lambda match: joined(match[1], seen), text)


def body(programs: tuple[str, ...] = PROGRAMS) -> str:
    """All programs and what they include."""
    seen: set[str] = set()
    return "\n".join(joined(f"programs/{name}.c", seen) for name in programs)


def maps_text() -> str:
    """Everything that decides how maps are laid out, but their sizes."""
    return "\n".join(
        (ROOT / name).read_text(encoding="utf-8") for name in ("gen/packet.h", "maps/config.h", "maps/state.h")
    )


def pin_names(sizes: Sizes) -> dict[str, str]:
    """Map -> its file name in bpffs, which carries a hash of layout and size."""
    layout = maps_text()
    return {
        item.name: f"{item.name}-{hashlib.sha256(f'{layout}|{item.entries(sizes)}'.encode()).hexdigest()[:12]}"
        for item in MAPS
        if item.is_pinned
    }


def program_pin(name: str, sizes: Sizes) -> str:
    """A program's file name in bpffs: another text or other sizes have another one."""
    return f"{name}-{hashlib.sha256(f'{body()}|{sizes}'.encode()).hexdigest()[:12]}"


def machine_macros(machine: str, release: str) -> list[str]:
    """What depends on processor and kernel: the order of stores, and whether the JIT has compare-and-swap."""
    version = tuple(int(part) for part in re.findall(r"\d+", release)[:2])
    if machine == "x86_64":
        return ["#define DPU_STRONG_ORDER"]
    return ["#define DPU_SPIN_LOCK"] if machine == "aarch64" and version < (5, 18) else []


def text(sizes: Sizes, options: Options, pins: dict[str, str], programs: tuple[str, ...] = PROGRAMS) -> str:
    """The whole program. `pins` gives paths of maps to adopt or to make; a map without one belongs to nobody else."""
    defines = [f"#define {item.name.upper()} {getattr(sizes, item.name)}" for item in fields(sizes)]
    defines += machine_macros(platform.machine(), platform.release())
    defines += [f"#define {macro.replace('=', ' ', 1)}" for macro in options.macros()]
    for item in MAPS:
        path = pins.get(item.name)
        defines.append(f'#define PIN_{item.name} ":{path}"' if path else f'#define PIN_{item.name} ""')
    return "\n".join([*defines, body(programs), ""])
