"""Writes frames as a pcap with nanoseconds, as they come."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import TracebackType

from dpu_app.replay.inputs import InputError

NANOSECONDS = 0xA1B23C4D
ETHERNET = 1
NS_PER_S = 1_000_000_000
FRAME_BYTES_MAX = 262_144


def refuse_input(out: Path, config: Path, pcap: str | None) -> None:
    """What is read is not written over, by whatever name or link. Raises InputError."""
    if not out.exists():
        return
    written = out.stat()
    for name, read in (("--config", config), ("--pcap", 0 if pcap == "-" else pcap)):
        # What cannot be looked at is not the file of --out; opening it says what is wrong.
        if read is not None and (read == 0 or os.path.exists(read)) and os.path.samestat(written, os.stat(read)):
            raise InputError(f"--out {out} is the file of {name}, which would be lost: give --out another name")


class PcapWriter:
    """An open file. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._file.write(struct.pack("<IHHiIII", NANOSECONDS, 2, 4, 0, 0, FRAME_BYTES_MAX, ETHERNET))

    def write(self, clock_ns: int, frame: bytes) -> None:
        """One frame. Times beyond 2106 start again."""
        seconds, rest = divmod(clock_ns, NS_PER_S)
        self._file.write(struct.pack("<IIII", seconds & 0xFFFFFFFF, rest, len(frame), len(frame)) + frame)

    def __enter__(self) -> PcapWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
