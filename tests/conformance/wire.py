"""Clients that say what they are told to say, byte for byte: TLS, then HTTP/1 text or HTTP/2 frames."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from hpack import Decoder, Encoder

from tests.integration.clients import ALPHA, trust
from tests.integration.processes import Samples, Stack, total

TIMEOUT_S = 10.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
REFUSALS = ("dpu_head_refusals_total", "dpu_connection_refusals_total", "dpu_requests_total")


def chat(text: str = "!echo tokens=2", **more: Any) -> bytes:
    """A chat body; the text tells the echo engine what to do."""
    return json.dumps({"model": "chat", "messages": [{"role": "user", "content": text}], **more}).encode()


@dataclass(frozen=True)
class Target:
    """A listener of a running stack."""

    stack: Stack
    port: int

    def tcp(self, receive_bytes: int | None = None) -> socket.socket:
        """A TCP connection; a small `receive_bytes` makes a reader that soon does not read."""
        raw = socket.socket()
        raw.settimeout(TIMEOUT_S)
        if receive_bytes is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        raw.connect(("127.0.0.1", self.port))
        return raw

    def tls(self, alpn: str, receive_bytes: int | None = None) -> ssl.SSLSocket:
        """A TLS connection that offers one protocol."""
        context = trust(self.stack)
        context.set_alpn_protocols([alpn])
        return context.wrap_socket(self.tcp(receive_bytes), server_hostname="localhost")

    def samples(self) -> Samples:
        """What the fast path has counted."""
        return self.stack.fastpath.metrics()

    def refused(self, reason: str) -> float:
        """How often something was refused for this reason, wherever it is counted."""
        samples = self.samples()
        return sum(total(samples, name, reason=reason) for name in REFUSALS)

    def hits(self, limit: str) -> float:
        """How often a limit was hit."""
        return total(self.samples(), "dpu_limit_hits_total", limit=limit)


@dataclass
class Answer:
    """An HTTP/1 answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def request_id(self) -> str:
        return self.headers["x-request-id"]


class H1:
    """HTTP/1 over TLS."""

    def __init__(self, target: Target, receive_bytes: int | None = None) -> None:
        self.socket = target.tls("http/1.1", receive_bytes)
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """All of it; a server that has closed already is not an error."""
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def receive(self) -> bytes:
        """Some bytes; none at the end, however the server ended it."""
        try:
            return self.socket.recv(65_536)
        except TimeoutError:
            raise
        except OSError:
            return b""

    def until(self, mark: bytes) -> bytes:
        """Everything up to a mark; AssertionError at the end."""
        while mark not in self.buffer:
            data = self.receive()
            assert data, f"closed after {self.buffer!r}"
            self.buffer += data
        found, self.buffer = self.buffer.split(mark, 1)
        return found

    def answer(self) -> Answer:
        """The next answer, framed by its content-length."""
        lines = self.until(b"\r\n\r\n").decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
        size = int(headers.get("content-length", 0))
        while len(self.buffer) < size:
            data = self.receive()
            assert data, "closed inside the body"
            self.buffer += data
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return Answer(int(lines[0].split()[1]), headers, body)

    def is_closed(self) -> bool:
        """Whether nothing follows but the end."""
        return not self.buffer and self.receive() == b""


@dataclass
class Frame:
    """An HTTP/2 frame."""

    kind: int
    flags: int
    stream: int
    payload: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> int:
        """Error code of RST_STREAM or GOAWAY."""
        at = 4 if self.kind == GOAWAY else 0
        return int.from_bytes(self.payload[at : at + 4])


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """RFC 9113, 4.1."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def setting(number: int, value: int) -> bytes:
    """One entry of SETTINGS."""
    return number.to_bytes(2) + value.to_bytes(4)


Fields = Iterable[tuple[str | bytes, str | bytes]]


def ask(method: str = "POST", path: str = "/v1/chat/completions", key: str = ALPHA) -> list[tuple[str, str]]:
    """A sound head."""
    pseudo = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
    return [*pseudo, ("authorization", f"Bearer {key}"), ("content-type", "application/json")]


class H2:
    """HTTP/2 frames over TLS."""

    def __init__(self, target: Target, settings: bytes = b"", receive_bytes: int | None = None) -> None:
        self.socket = target.tls("h2", receive_bytes)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.buffer = b""
        self.send(PREFACE + frame(SETTINGS, payload=settings) + frame(SETTINGS, ACK))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """All of it; false where the server has closed."""
        try:
            self.socket.sendall(data)
        except TimeoutError:
            raise
        except OSError:
            return False
        return True

    def head(self, stream: int, fields: Fields, end: bool = False) -> bytes:
        """A whole HEADERS frame; the caller sends it."""
        block = self.encoder.encode(list(fields))
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)

    def next(self) -> Frame | None:
        """The next frame; None at the end."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3]):
            try:
                data = self.socket.recv(65_536)
            except TimeoutError:
                raise
            except OSError:
                return None
            if not data:
                return None
            self.buffer += data
        size = int.from_bytes(self.buffer[:3])
        kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9]) & 0x7FFFFFFF
        found = Frame(kind, flags, stream, self.buffer[9 : 9 + size])
        self.buffer = self.buffer[9 + size :]
        if kind == HEADERS:
            found.headers = {str(name): str(value) for name, value in self.decoder.decode(found.payload)}
        return found

    def until(self, kind: int, stream: int | None = None) -> Frame:
        """The next frame of a kind; AssertionError at the end."""
        while (found := self.next()) is not None:
            if found.kind == kind and stream in (None, found.stream):
                return found
        raise AssertionError(f"closed without a frame of kind {kind}")

    def ending(self) -> Frame | None:
        """Reads to the end of the connection; the last GOAWAY."""
        last = None
        while (found := self.next()) is not None:
            last = found if found.kind == GOAWAY else last
        return last
