"""One generation of the programs' maps and programs, open; and what is read from and written to them."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from abi.gen.packet import REASONS_MAX
from dpu_app.targets.packet.bpf import BpfError, Map
from dpu_app.targets.packet.layout import BANKS, EVENTS_MAX, Sizes
from dpu_app.targets.packet.render import ARRAYS, Contents

WORD = struct.Struct("=Q")
INDEX_0 = bytes(4)
ACL6_BANK_AT = 6
EVENTS = ("records_lost", "flows_opened", "flows_full", "flows_closed", "meter_busy")
"""Indexes of `events` (`bpf/maps/state.h`)."""


def possible_cpus() -> int:
    """How many values a per-CPU map has for each key."""
    text = Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii").strip()
    return int(text.split("-")[-1].split(",")[-1]) + 1


@dataclass(frozen=True)
class Counter:
    """Frames and their bytes."""

    packets: int
    bytes: int


class Maps:
    """The maps of one generation by name. Owns their descriptors. Methods raise BpfError where the kernel says no."""

    def __init__(self, descriptors: Mapping[str, int], sizes: Sizes) -> None:
        self.cpus = possible_cpus()
        self.sizes = sizes
        self.by_name = {name: Map(fd, name) for name, fd in descriptors.items()}
        for name in ("reasons", "events"):
            self.by_name[name].per_cpu(self.cpus)
        self.memory = {name: self.by_name[name].mapped() for name in ARRAYS}

    def __getitem__(self, name: str) -> Map:
        return self.by_name[name]

    def close(self) -> None:
        """Lets go; what is pinned or attached stays."""
        for memory in self.memory.values():
            memory.close()
        for item in self.by_name.values():
            item.close()

    def epoch(self) -> tuple[int, int]:
        """Epoch and active bank."""
        word = int(WORD.unpack(self["epoch"].lookup(INDEX_0) or bytes(8))[0])
        return word >> 1, word & 1

    def flip(self, epoch: int, bank: int) -> None:
        """The one store that makes a bank the active one."""
        self["epoch"].update(INDEX_0, WORD.pack(epoch << 1 | bank))

    def write(self, bank: int, wanted: Contents) -> int:
        """Makes `bank` hold `wanted`; returns how many hash entries changed. The shared `reverse` only gains."""
        changed = self.write_hash("acl6", bank, wanted.acl6)
        for name, data in self.halves(wanted).items():
            start, size = self.half(name, bank)
            self.memory[name][start : start + size] = data.ljust(size, b"\0")
        for key, value in wanted.reverse.items():
            if self["reverse"].lookup(key) != value:
                self["reverse"].update(key, value)
                changed += 1
        return changed

    def write_hash(self, name: str, bank: int, wanted: dict[bytes, bytes]) -> int:
        """Removes, changes and adds what differs; returns how many."""
        has = self.read_hash(name, bank)
        gone = [key for key in has if key not in wanted]
        for key in gone:
            self[name].delete(key)
        differing = [(key, value) for key, value in wanted.items() if has.get(key) != value]
        for start in range(0, len(differing), 8_192):
            self[name].update_many(differing[start : start + 8_192])
        return len(gone) + len(differing)

    def read_hash(self, name: str, bank: int) -> dict[bytes, bytes]:
        """The entries of one bank."""
        return {key: value for key, value in self[name].items() if key[ACL6_BANK_AT] == bank}

    def halves(self, wanted: Contents) -> dict[str, bytes]:
        """The memory-mapped arrays' part of a bank."""
        return {name: getattr(wanted, name) for name in ARRAYS}

    def half(self, name: str, bank: int) -> tuple[int, int]:
        """Where a bank begins in an array's memory, and its bytes."""
        size = self[name].shape.entries_max // BANKS * ARRAYS[name]
        return bank * size, size

    def read(self, bank: int, expected: Contents) -> Contents:
        """What `bank` holds. Arrays are cut to the length of `expected`, unless what follows is not zero."""
        arrays = {}
        for name, data in self.halves(expected).items():
            start, size = self.half(name, bank)
            found = self.memory[name][start : start + size]
            rest = found[len(data) :]
            arrays[name] = found[: len(data)] + (rest if rest.strip(b"\0") else b"")
        held = dict(self["reverse"].items())
        return Contents(
            acl6=self.read_hash("acl6", bank),
            **arrays,
            reverse={key: held[key] for key in expected.reverse if key in held},
        )

    def reasons(self) -> dict[int, Counter]:
        """By number of the reason, summed over CPUs; those that never came are left out."""
        found = {}
        for reason in range(REASONS_MAX):
            values = struct.unpack(f"={2 * self.cpus}Q", self["reasons"].lookup(struct.pack("=I", reason)) or b"")
            if any(values):
                found[reason] = Counter(sum(values[::2]), sum(values[1::2]))
        return found

    def events(self) -> dict[str, int]:
        """What is counted and is no reason."""
        values = {}
        for index, name in enumerate(EVENTS[:EVENTS_MAX]):
            data = self["events"].lookup(struct.pack("=I", index)) or b""
            values[name] = sum(struct.unpack(f"={self.cpus}Q", data))
        return values


def close_all(descriptors: Mapping[str, int]) -> None:
    """Closes descriptors that nobody took over."""
    for fd in descriptors.values():
        try:
            os.close(fd)
        except OSError:
            # Another owner was quicker; closing is all that was wanted.
            pass


__all__ = ["BpfError", "Counter", "Maps", "close_all", "possible_cpus"]
