"""Programs and maps as they lie pinned in bpffs: found by the next agent, replaced without a gap when sizes change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path

from dpu_app.targets.base import TargetUnavailable
from dpu_app.targets.packet import bpf
from dpu_app.targets.packet.attach import unpinned
from dpu_app.targets.packet.layout import MAPS, Sizes
from dpu_app.targets.packet.maps import Maps
from dpu_app.targets.packet.source import PROGRAMS, Options, pin_names, program_pin
from dpu_app.targets.xdp import Loaded, load

BPFFS = Path("/sys/fs/bpf")
CURRENT = "current"
LINK = "link"
Load = Callable[[Sizes, Options, dict[str, str]], Loaded]


def folder_of(interface: str, root: Path = BPFFS) -> Path:
    """Where an interface's pins are. bpffs takes no dots in names, and BCC no colons."""
    return root / "dpu" / interface.replace("%", "%25").replace(".", "%2E").replace(":", "%3A")


def sizes_text(sizes: Sizes) -> str:
    """Sizes as a name: the exponents, which all of them are powers of two for."""
    return "-".join(str(getattr(sizes, item.name).bit_length() - 1) for item in fields(Sizes))


def sizes_from(text: str) -> Sizes | None:
    """The sizes of a name that `sizes_text` made; None where it cannot be one."""
    parts = text.split("-")
    names = [item.name for item in fields(Sizes)]
    if len(parts) != len(names) or not all(part.isdigit() and int(part) < 32 for part in parts):
        return None
    return Sizes(**{name: 1 << int(part) for name, part in zip(names, parts, strict=True)})


@dataclass
class Generation:
    """One set of programs and maps, pinned under `folder`. Owns its descriptors."""

    folder: Path
    sizes: Sizes
    loaded: Loaded

    @property
    def maps(self) -> Maps:
        """Its maps."""
        return self.loaded.maps

    def program_fd(self, name: str) -> int:
        """Of `ingress`, `egress` or `age`."""
        return self.loaded.programs[name]

    def close(self) -> None:
        """Lets go; everything stays pinned and attached."""
        self.loaded.close()


def current_sizes(folder: Path) -> Sizes | None:
    """The sizes of the generation that is in force; None where there is none."""
    try:
        return sizes_from(os.readlink(folder / CURRENT))
    except OSError:
        return None


def linked(folder: Path) -> int:
    """The interface that the pinned link hangs on, 0 where there is none."""
    try:
        fd = bpf.opened(str(folder / LINK))
    except bpf.BpfError:
        return 0
    try:
        return bpf.link(fd).ifindex
    finally:
        os.close(fd)


def mount_is_there(root: Path) -> None:
    """Raises TargetUnavailable with the fix where bpffs is not mounted."""
    if not os.path.ismount(root):
        raise TargetUnavailable(f"bpffs is not mounted on {root}: mount -t bpf bpf {root}")


def adopted(folder: Path) -> Generation | None:
    """The generation in force, opened from its pins; None where there is none, or where its text is not ours."""
    sizes = current_sizes(folder)
    if sizes is None:
        return None
    with ExitStack() as undo:
        try:
            programs = {name: opened(folder / program_pin(name, sizes), undo) for name in PROGRAMS}
            maps = {name: opened(folder / pin, undo) for name, pin in pin_names(sizes).items()}
        except bpf.BpfError:
            # Another version of the programs, or pins that somebody removed: a new generation takes what it can.
            return None
        undo.pop_all()
    return Generation(folder, sizes, Loaded(programs, Maps(maps, sizes)))


def opened(path: Path, undo: ExitStack) -> int:
    """A descriptor that is closed again unless all of them come. Raises BpfError."""
    fd = bpf.opened(str(path))
    undo.callback(os.close, fd)
    return fd


def made(folder: Path, sizes: Sizes, loader: Load = load) -> Generation:
    """A generation of these sizes, pinned, attached to nothing. Maps that are pinned with the same shape are shared.

    Raises TargetUnavailable.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pins = {name: str(folder / pin) for name, pin in pin_names(sizes).items()}
    loaded = loader(sizes, Options(), pins)
    for name in PROGRAMS:
        path = folder / program_pin(name, sizes)
        unpinned(path)
        bpf.pin(loaded.programs[name], str(path))
    return Generation(folder, sizes, loaded)


def put_in_force(generation: Generation) -> None:
    """The next agent finds this one. One rename: there is always a current generation or none."""
    fresh = generation.folder / f"{CURRENT}-next"
    unpinned(fresh)
    os.symlink(sizes_text(generation.sizes), fresh)
    os.rename(fresh, generation.folder / CURRENT)


def sweep(generation: Generation) -> list[str]:
    """Removes pins of other generations; their maps go when nobody holds them. Returns their names."""
    wanted = {CURRENT, LINK, *pin_names(generation.sizes).values()}
    wanted |= {program_pin(name, generation.sizes) for name in PROGRAMS}
    stale = [path for path in generation.folder.iterdir() if path.name not in wanted]
    for path in stale:
        unpinned(path)
    return [path.name for path in stale]


def remove(folder: Path) -> None:
    """Takes every pin away; what is attached through the link is detached with it."""
    if folder.exists():
        for path in folder.iterdir():
            unpinned(path)
        folder.rmdir()


def unshared(old: Sizes, new: Sizes) -> list[str]:
    """Maps that a generation of other sizes does not share with the old one."""
    before, after = pin_names(old), pin_names(new)
    return [item.name for item in MAPS if item.is_pinned and before[item.name] != after[item.name]]


def others(generation: Generation, name: str) -> Iterator[int]:
    """Descriptors of maps of this name that other programs left pinned here, open until the next is asked for."""
    mine = pin_names(generation.sizes)[name]
    for path in generation.folder.iterdir():
        if path.name.startswith(f"{name}-") and path.name != mine:
            fd = bpf.opened(str(path))
            try:
                yield fd
            finally:
                os.close(fd)
