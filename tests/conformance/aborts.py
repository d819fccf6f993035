"""Clients that connect and go, at every moment that there is: `cycle` is one of each."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from tests.conformance.h1_rows import HOST, LINE, REST
from tests.conformance.wire import DATA, END_STREAM, H1, H2, HEADERS, Target, ask, chat, frame


def connect(target: Target) -> None:
    """A TCP connection and no word."""
    target.tcp().close()


def mid_handshake(target: Target) -> None:
    """A ClientHello, and gone before the answer is read."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    with target.tcp() as raw:
        raw.sendall(outgoing.read())


def mid_head(target: Target) -> None:
    """Half a head."""
    with H1(target) as client:
        client.send(LINE.encode())


def mid_body(target: Target) -> None:
    """Half a body."""
    with H1(target) as client:
        client.send(f"{LINE}{HOST}{REST}content-length: 100\r\n\r\n{{".encode())


def mid_answer(target: Target) -> None:
    """A stream that has begun."""
    body = chat("!echo tokens=500 delay_ms=5", stream=True, max_tokens=500)
    with H1(target) as client:
        client.send(f"{LINE}{HOST}{REST}content-length: {len(body)}\r\n\r\n".encode() + body)
        client.until(b"data: ")


def mid_stream(target: Target) -> None:
    """HTTP/2: one stream that has begun, one with half a body, one with half a head."""
    with H2(target) as client:
        body = chat("!echo tokens=500 delay_ms=5", stream=True, max_tokens=500)
        client.send(client.head(1, ask()) + frame(DATA, END_STREAM, 1, body))
        client.until(HEADERS, 1)
        client.send(client.head(3, ask()) + frame(DATA, 0, 3, b"{") + frame(HEADERS, 0, 5, b"\x82"))


ABORTS: list[Callable[[Target], None]] = [connect, mid_handshake, mid_head, mid_body, mid_answer, mid_stream]


def cycles(target: Target, count: int) -> None:
    """So many clients that go, each kind in turn."""
    for index in range(count):
        ABORTS[index % len(ABORTS)](target)
