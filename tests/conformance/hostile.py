"""Clients that cost more than they bring: one for each limit of a listener, each until that limit ends it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from tests.conformance.h1_rows import HOST, LINE, REST
from tests.conformance.wire import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    H1,
    H2,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Answer,
    Frame,
    Target,
    ask,
    chat,
    frame,
    setting,
)

MODELS = f"GET /v1/models HTTP/1.1\r\n{HOST}{REST}\r\n".encode()
ENHANCE_YOUR_CALM = 11
CANCEL = 8
REFUSED_STREAM = 7
WINDOW_MAX = (2**31 - 1).to_bytes(4)


def post(body: bytes, extra: str = "", length: int | None = None) -> bytes:
    """An HTTP/1 chat request; `length` where it lies."""
    size = len(body) if length is None else length
    return f"{LINE}{HOST}{REST}{extra}content-length: {size}\r\n\r\n".encode() + body


def h1(target: Target, data: bytes) -> Answer:
    """One answer."""
    with H1(target) as client:
        client.send(data)
        return client.answer()


def refused_h1(target: Target, data: bytes, status: int) -> None:
    """One request that is answered so and closed."""
    with H1(target) as client:
        client.send(data)
        assert client.answer().status == status
        assert client.is_closed()


def asked(client: H2, stream: int, body: bytes) -> bytes:
    """A whole chat request on a stream."""
    return client.head(stream, ask()) + frame(DATA, END_STREAM, stream, body)


def is_calmed(goaway: Frame | None) -> None:
    """The connection ended with ENHANCE_YOUR_CALM, or so fast that its GOAWAY was lost in a reset."""
    assert goaway is None or goaway.code == ENHANCE_YOUR_CALM


def flooded(target: Target, once: Callable[[H2, int], bytes], times: int = 400) -> None:
    """Sends the same again and again, on the streams 1, 3, 5 and so on, until the connection is ended."""
    with H2(target) as client:
        for index in range(times):
            if not client.send(once(client, 2 * index + 1)):
                break
        is_calmed(client.ending())


def connections(target: Target) -> None:
    """More connections than there may be."""
    with contextlib.ExitStack() as held:
        for _ in range(60):
            held.enter_context(target.tcp())
        time.sleep(0.2)


def slow_handshake(target: Target) -> None:
    """Five bytes of a ClientHello."""
    with target.tcp() as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00")
        assert raw.recv(100) == b""


def slow_head(target: Target) -> None:
    """Half a request line, a byte now and then."""
    with H1(target) as client:
        for byte in b"GET /v1":
            client.send(bytes([byte]))
            time.sleep(0.05)
        assert client.answer().status == 408
        assert client.is_closed()


def slow_head_h2(target: Target) -> None:
    """HEADERS without their end."""
    with H2(target) as client:
        client.send(frame(HEADERS, END_STREAM, 1, b"\x82"))
        is_calmed(client.ending())


def slow_body(target: Target) -> None:
    """A body that keeps up the rate and does not end."""
    with H1(target) as client:
        client.send(post(b"", length=30_000))
        for _ in range(30):
            client.send(b" " * 300)
            time.sleep(0.08)
        assert client.answer().status == 408


def trickled_body(target: Target) -> None:
    """A body that falls below the rate."""
    refused_h1(target, post(b'{"model"', length=30_000), 408)


def trickled_body_h2(target: Target) -> None:
    """The same on a stream."""
    with H2(target) as client:
        client.send(client.head(1, ask()) + frame(DATA, 0, 1, b"{" * 300))
        assert client.until(HEADERS, 1).headers[":status"] == "408"


def idle(target: Target) -> None:
    """A connection without a request."""
    with H1(target) as client:
        assert client.is_closed()


def idle_h2(target: Target) -> None:
    """The same, by a client that does not answer our GOAWAY either."""
    with H2(target) as client:
        goaway = client.ending()
        assert goaway is not None
        assert goaway.code == 0


def endless_request(target: Target) -> None:
    """An engine that takes longer than a request may."""
    assert h1(target, post(chat("!echo tokens=2 prefill_ms=8000"))).status == 504


def unread_answers(target: Target) -> None:
    """HTTP/1 answers that nobody reads."""
    with H1(target, receive_bytes=2048) as client:
        client.send(post(chat("!echo tokens=2000", stream=True, max_tokens=2000)) * 15)
        time.sleep(2)


def stalled_window(target: Target) -> None:
    """An HTTP/2 client that opens no window."""
    with H2(target, settings=setting(4, 0)) as client:
        client.send(asked(client, 1, chat(stream=True)))
        assert client.until(RST_STREAM, 1).code == CANCEL


def unread_connection(target: Target) -> None:
    """An HTTP/2 client that opens every window and reads nothing."""
    with H2(target, settings=setting(4, 2**31 - 1), receive_bytes=2048) as client:
        client.send(frame(WINDOW_UPDATE, payload=(2**31 - 70_000).to_bytes(4)))
        for stream in (1, 3, 5, 7, 9, 11):
            client.send(asked(client, stream, chat("!echo tokens=2000", stream=True, max_tokens=2000)))
        time.sleep(2.5)


def many_requests(target: Target) -> None:
    """More requests on a connection than it may have: the last answer says so."""
    with H1(target) as client:
        client.send(MODELS * 30)
        answers = [client.answer() for _ in range(20)]
        assert {answer.status for answer in answers} == {200}
        assert answers[-1].headers["connection"] == "close"
        assert client.is_closed()


def many_requests_h2(target: Target) -> None:
    """The same on streams: the last one comes with GOAWAY."""
    with H2(target) as client:
        seen: list[Frame] = []
        for stream in range(1, 41, 2):
            client.send(client.head(stream, ask("GET", "/v1/models"), end=True))
            while not seen or (seen[-1].kind, seen[-1].stream) != (HEADERS, stream):
                found = client.next()
                assert found is not None
                seen.append(found)
        while not any(found.kind == GOAWAY for found in seen):
            seen.append(client.until(GOAWAY))
        assert {found.code for found in seen if found.kind == GOAWAY} == {0}


def many_running(target: Target) -> None:
    """More requests at workers than one core may have."""
    with H2(target) as client:
        for stream in range(1, 17, 2):
            client.send(asked(client, stream, chat("!echo tokens=1 prefill_ms=600")))
        statuses = [client.until(HEADERS).headers[":status"] for _ in range(8)]
        assert statuses.count("503") >= 2


def far_ahead(target: Target) -> None:
    """A pipelining client that sends more than is read ahead."""
    with H1(target) as client:
        client.send(post(chat("!echo tokens=1 prefill_ms=300")) + MODELS * 15)
        assert {client.answer().status for _ in range(16)} == {200}


def many_bodies(target: Target) -> None:
    """Unfinished bodies on several streams; they need more than the 64 KiB that a connection's window opens with."""
    with H2(target) as client:
        client.until(WINDOW_UPDATE, 0)
        for stream in (1, 3, 5):
            client.send(client.head(stream, ask()))
            for _ in range(3):
                client.send(frame(DATA, 0, stream, b" " * 9_000))
        assert client.until(HEADERS, 5).headers[":status"] == "503"


def many_streams(target: Target) -> None:
    """More open streams than there may be."""
    with H2(target) as client:
        for stream in range(1, 19, 2):
            client.send(client.head(stream, ask()))
        assert client.until(RST_STREAM).code == REFUSED_STREAM


def rapid_reset(target: Target) -> None:
    """CVE-2023-44487: a stream is opened and reset, again and again."""
    flooded(target, lambda client, stream: client.head(stream, ask()) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08"))


def made_you_reset(target: Target) -> None:
    """CVE-2025-8671: the client makes us reset its streams, here by a window that overflows."""
    flooded(
        target,
        lambda client, at: client.head(at, ask()) + frame(WINDOW_UPDATE, 0, at, WINDOW_MAX),
        times=40,  # below the bound of control frames
    )


def continuations(target: Target) -> None:
    """CVE-2024-27316: a head without an end."""
    with H2(target) as client:
        client.send(frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 0, 1, b"") * 200)
        is_calmed(client.ending())


def header_bomb(target: Target) -> None:
    """A large field in the HPACK table, and a block of one-byte references to it."""
    with H2(target) as client:
        client.send(client.head(1, [*ask("GET", "/v1/models"), ("x", "y" * 1_500)], end=True))
        block = client.encoder.encode(ask("GET", "/v1/models"))
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, block + b"\xbe" * 12_000))
        is_calmed(client.ending())


def settings_flood(target: Target) -> None:
    """SETTINGS that have to be acknowledged (CVE-2019-9515)."""
    flooded(target, lambda client, _: frame(SETTINGS, payload=setting(4, 65_535)))


def ping_flood(target: Target) -> None:
    """PING that has to be answered (CVE-2019-9512)."""
    flooded(target, lambda client, _: frame(PING, payload=bytes(8)))


def priority_flood(target: Target) -> None:
    """PRIORITY that nobody uses (CVE-2019-9513)."""
    flooded(target, lambda client, stream: frame(PRIORITY, 0, stream, b"\0\0\0\0\x10"))


def window_flood(target: Target) -> None:
    """Windows that are opened byte by byte."""
    flooded(target, lambda client, _: frame(WINDOW_UPDATE, payload=b"\0\0\0\1"))


def byte_windows(target: Target) -> None:
    """An answer that is fetched byte by byte (CVE-2019-9511)."""
    with H2(target, settings=setting(4, 0)) as client:
        client.send(asked(client, 1, chat("!echo tokens=100", stream=True)))
        client.until(HEADERS, 1)
        for _ in range(400):
            if not client.send(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1")):
                break
            time.sleep(0.002)
        is_calmed(client.ending())


def empty_data(target: Target) -> None:
    """DATA without data (CVE-2019-9518)."""
    small_data(target, b"")


def tiny_data(target: Target) -> None:
    """DATA of one byte."""
    small_data(target, b" ")


def small_data(target: Target, payload: bytes) -> None:
    """Very small DATA on one stream."""
    with H2(target) as client:
        client.send(client.head(1, ask()))
        for _ in range(400):
            if not client.send(frame(DATA, 0, 1, payload)):
                break
        is_calmed(client.ending())


def nested(target: Target) -> None:
    """Lists in lists."""
    assert h1(target, post(b'{"model":"chat","messages":' + b"[" * 20 + b"]" * 20 + b"}")).status == 400


def clients() -> Iterator[tuple[str, Callable[[Target], None]]]:
    """Each hostile client with the limit that ends it. `drain_timeout` needs a process of its own."""
    long_head = f"GET /v1/models HTTP/1.1\r\n{HOST}x: {'y' * 3000}\r\n\r\n".encode()
    fields = "x: y\r\n" * 20
    many_fields = f"GET /v1/models HTTP/1.1\r\n{HOST}{fields}\r\n".encode()
    yield "connections_max", connections
    yield "head_bytes_max", lambda target: refused_h1(target, long_head, 431)
    yield "head_bytes_max", header_bomb
    yield "headers_max", lambda target: refused_h1(target, many_fields, 431)
    yield "body_bytes_max", lambda target: refused_h1(target, post(b"", length=40_000), 413)
    yield "json_depth_max", nested
    yield "handshake_timeout", slow_handshake
    yield "head_timeout", slow_head
    yield "head_timeout", slow_head_h2
    yield "body_timeout", slow_body
    yield "body_bytes_per_s_min", trickled_body
    yield "body_bytes_per_s_min", trickled_body_h2
    yield "idle_timeout", idle
    yield "idle_timeout", idle_h2
    yield "request_timeout", endless_request
    yield "write_timeout", unread_answers
    yield "write_timeout", stalled_window
    yield "write_timeout", unread_connection
    yield "requests_per_connection_max", many_requests
    yield "requests_per_connection_max", many_requests_h2
    yield "requests_running_max", many_running
    yield "pipelined_bytes_max", far_ahead
    yield "bodies_bytes_max", many_bodies
    yield "h2_streams_max", many_streams
    yield "h2_resets_max", rapid_reset
    yield "h2_errors_max", made_you_reset
    yield "h2_continuations_max", continuations
    yield "h2_control_frames_max", settings_flood
    yield "h2_control_frames_max", ping_flood
    yield "h2_control_frames_max", priority_flood
    yield "h2_control_frames_max", window_flood
    yield "h2_control_frames_max", byte_windows
    yield "h2_small_data_max", empty_data
    yield "h2_small_data_max", tiny_data
