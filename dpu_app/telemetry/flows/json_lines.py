"""Appends flow records to a file, one JSON line each."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import structlog

from dpu_app.telemetry.flows.record import Flow

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="flows")
# json.dumps would make an encoder for each record.
ENCODE = json.JSONEncoder(separators=(",", ":")).encode
MODE = 0o640
"""Records say who talked to whom."""


class JsonLines:
    """An Output. Written at once, so nothing waits in memory; a disk that is full or gone loses records, counted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = 0
        self.file = -1
        self.is_failing = False

    def write(self, flows: Sequence[Flow], unix_s: int) -> None:
        """Whole lines, or none of these records."""
        if not flows:
            return
        data = b"".join(line(flow) for flow in flows)
        try:
            self.append(data)
        except OSError as error:
            self.lost += len(flows)
            self.reopen()
            self.note(error)
        else:
            self.note(None)

    def append(self, data: bytes) -> None:
        """Writes everything or takes back what was written. Raises OSError."""
        if self.file < 0:
            self.file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, MODE)
        written = 0
        try:
            while written < len(data):
                written += os.write(self.file, data[written:])
        except OSError:
            if written:
                # A line that ends in its middle would spoil the next one too.
                os.ftruncate(self.file, os.fstat(self.file).st_size - written)
            raise

    def reopen(self) -> None:
        """The next record opens the path again: after it was moved away, or could not be written."""
        if self.file >= 0:
            os.close(self.file)
        self.file = -1

    def note(self, error: OSError | None) -> None:
        """Says when writing begins to fail, and when it goes again."""
        if self.is_failing != (error is not None):
            self.is_failing = error is not None
            log.warning("flow records", file=str(self.path), why=str(error) if error else "again")

    def close(self) -> None:
        """Closes the file."""
        self.reopen()


def line(flow: Flow) -> bytes:
    """The record and a line end."""
    return ENCODE(flow.as_json()).encode() + b"\n"
