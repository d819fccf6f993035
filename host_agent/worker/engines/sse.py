"""Server-sent events (WHATWG HTML 9.2), bytes in, events out, no I/O: cut anywhere, the same events come out."""

from __future__ import annotations

from dataclasses import dataclass

EVENT_BYTES_MAX = 8 * 1024 * 1024
"""Data of one event, and one line; more would not fit into a worker frame anyway."""


class EventTooLarge(Exception):
    """A line or an event that does not end within the bound."""


@dataclass(frozen=True)
class Event:
    """One event: its type, "message" where the server names none, and its lines of data joined by LF."""

    type: str
    data: bytes


class Parser:
    """Feed it what comes. Lines end by LF, CRLF or CR; comments, `id`, `retry` and unknown fields mean nothing here."""

    def __init__(self, bytes_max: int = EVENT_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self.rest = bytearray()
        """The line that has begun."""
        self.scanned = 0
        """Bytes of `rest` that hold no end of a line."""
        self.after_cr = False
        """The last line ended by CR: an LF that comes next belongs to it."""
        self.started = False
        self.data: list[bytes] = []
        self.size = 0
        self.type = "message"

    def feed(self, part: bytes) -> list[Event]:
        """The events that are whole now. Raises EventTooLarge."""
        self.rest += part
        events = []
        while (line := self.line()) is not None:
            if (event := self.take(line)) is not None:
                events.append(event)
        if len(self.rest) > self.bytes_max:
            raise EventTooLarge
        return events

    def line(self) -> bytes | None:
        """The next whole line without its end."""
        if self.after_cr and self.rest:
            if self.rest[0] == 0x0A:
                del self.rest[0]
            self.after_cr = False
        ends = [at for end in (b"\n", b"\r") if (at := self.rest.find(end, self.scanned)) >= 0]
        if not ends:
            self.scanned = len(self.rest)
            return None
        at = min(ends)
        line = bytes(self.rest[:at])
        self.after_cr = self.rest[at] == 0x0D
        del self.rest[: at + 1]
        self.scanned = 0
        if not self.started:
            self.started = True
            line = line.removeprefix(b"\xef\xbb\xbf")  # one byte order mark may stand before everything
        return line

    def take(self, line: bytes) -> Event | None:
        """One line; the empty one ends an event, which counts where it has data."""
        if not line:
            return self.end()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self.size += len(value) + 1
            if self.size > self.bytes_max:
                raise EventTooLarge
            self.data.append(value)
        elif name == b"event":
            self.type = value.decode(errors="replace")
        return None

    def end(self) -> Event | None:
        """The event that an empty line ends; None where it has no data."""
        data, kind = self.data, self.type
        self.data, self.size, self.type = [], 0, "message"
        return Event(kind or "message", b"\n".join(data)) if data else None
