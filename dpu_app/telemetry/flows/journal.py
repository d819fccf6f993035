"""Follows the journal of dpu-fastpath: new lines of a file that grows, is truncated, or is replaced by another.

A file and not a stream from the fast path: it is there already, is bounded by its own rotation, costs the request path
nothing more, and waits for an agent that is being restarted.
"""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

READ_BYTES_MAX = 1_048_576
"""Of one poll: some thousand lines, some tens of milliseconds."""
LINE_BYTES_MAX = 65_536
"""A longer line is none of the fast path's."""
BEHIND_BYTES_MAX = 67_108_864
"""When more than this is unread, lines are counted as lost unread until it is less: joins would come too late."""


class JournalTail:
    """Begins at the end of the file, or at the start of one that does not exist yet. Used by one thread."""

    def __init__(self, path: Path, behind_bytes_max: int = BEHIND_BYTES_MAX) -> None:
        self.path = path
        self.behind_bytes_max = behind_bytes_max
        self.skipped = 0
        """Lines that were not read because there were too many, or that were too long."""
        self.faults = 0
        """Polls in which the file could not be read."""
        self.file: FileIO | None = None
        self.rest = b""
        self.in_long_line = False
        """The line that is being read is dropped at its end: too long, or its beginning was not read."""
        self.has_more = False
        """The last poll read as much as it may."""
        self.open(at_end=True)

    def poll(self) -> list[bytes]:
        """Whole lines that have come since, without their ends; not all of them where they are many."""
        try:
            return self.lines(self.read())
        except OSError:
            self.faults += 1
            self.close()
            return []

    def read(self) -> bytes:
        """The next bytes; of the file that is now at the path once this one has no more. Raises OSError."""
        if self.file is None and not self.open(at_end=False):
            return b""
        assert self.file is not None
        size, place = os.fstat(self.file.fileno()).st_size, self.file.tell()
        if size < place:
            self.begin(0)
        elif size - place > self.behind_bytes_max:
            return self.skip()
        data = self.file.read(READ_BYTES_MAX)
        self.has_more = len(data) == READ_BYTES_MAX
        if not data and self.is_replaced():
            self.close()
            return self.read() if self.open(at_end=False) else b""
        return data

    def skip(self) -> bytes:
        """Goes on at the last bytes that may be unread, and counts the lines before them. Raises OSError."""
        assert self.file is not None
        keep = self.behind_bytes_max // 2
        while (over := os.fstat(self.file.fileno()).st_size - self.file.tell() - keep) > 0:
            self.skipped += self.file.read(min(over, READ_BYTES_MAX)).count(b"\n")
        # The line that it stopped in is half a line: dropped with its other half, which `lines` counts.
        self.rest, self.in_long_line = b"", True
        return b""

    def lines(self, data: bytes) -> list[bytes]:
        """Cuts at line ends; keeps what follows the last one."""
        if not data:
            return []
        *whole, self.rest = (self.rest + data).split(b"\n")
        if whole and self.in_long_line:
            del whole[0]
            self.skipped += 1
            self.in_long_line = False
        if len(self.rest) > LINE_BYTES_MAX:
            self.rest, self.in_long_line = b"", True
        fitting = [line for line in whole if len(line) <= LINE_BYTES_MAX]
        self.skipped += len(whole) - len(fitting)
        return fitting

    def is_replaced(self) -> bool:
        """Whether another file is at the path. One that was moved away is still written to."""
        assert self.file is not None
        try:
            return not os.path.samestat(os.stat(self.path), os.fstat(self.file.fileno()))
        except OSError:
            return False

    def open(self, at_end: bool) -> bool:
        """Opens the file. False where it is not there."""
        try:
            # Opening a pipe would wait for somebody to write to it.
            self.file = FileIO(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            place = self.file.seek(0, os.SEEK_END) if at_end else 0
            self.begin(place)
        except OSError:
            self.close()
            return False
        return True

    def begin(self, place: int) -> None:
        """Goes on at a place; what is in hand of a line has no end and is lost. Raises OSError."""
        assert self.file is not None
        self.skipped += bool(self.rest)
        self.file.seek(max(place - 1, 0))
        self.rest, self.in_long_line = b"", place > 0 and self.file.read(1) != b"\n"

    def close(self) -> None:
        """Lets go of the file."""
        if self.file is not None:
            self.file.close()
        self.file = None
