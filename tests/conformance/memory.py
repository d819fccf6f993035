"""What a hostile client may cost: memory a connection and a stream, CPU a refusal. THREAT_MODEL.md has the figures.

`python -m tests.conformance.memory` measures on a stack of its own and prints one line a figure; `test_memory.py` holds
the bounds.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from dpu_app.model.listeners import Limits
from tests.conformance.conftest import PATIENT, with_listener
from tests.conformance.h1_rows import HOST, LINE, REST
from tests.conformance.wire import DATA, END_STREAM, H1, H2, HEADERS, RST_STREAM, Target, ask, chat, frame, setting
from tests.integration.processes import Stack, build, free_ports, make_certificates, running, until

KIB = 1024
SETTLE_S = 0.5

# --- the bound: THREAT_MODEL.md explains each term ------------------------------------------------------------------
CONNECTION_BYTES = 64 * KIB
"""TLS session, task, timers, empty buffers: measured, with room."""
TLS_OUT_BYTES = 64 * KIB
"""Ciphertext that waits for the socket (`dpu_tls::BUFFERED_BYTES_MAX`)."""
STEP_BYTES = 64 * KIB
"""Events rendered at once (`STEP_BYTES_MAX`), and what h2 may hold of them (`SEND_BUFFER_BYTES`)."""
WAITING_BYTES = 1024 * KIB
"""Tokens that wait behind a reader (`WAITING_BYTES_MAX`)."""
CONNECTION_WINDOW_BYTES = 1024 * KIB
GROWTH = 2
"""A buffer that grows doubles."""


def h1_bytes_max(limits: Limits) -> int:
    """One HTTP/1 connection at its worst."""
    bodies = GROWTH * (limits.head_bytes_max + limits.body_bytes_max + limits.pipelined_bytes_max)
    return CONNECTION_BYTES + TLS_OUT_BYTES + bodies + stream_bytes_max()


def h2_bytes_max(limits: Limits, running_streams: int) -> int:
    """One HTTP/2 connection at its worst, with so many answers under way."""
    bodies = GROWTH * limits.bodies_bytes_max + CONNECTION_WINDOW_BYTES
    heads = (limits.h2_streams_max + 8) * limits.head_bytes_max  # 8: the crate reads one head up to 8 bounds
    return CONNECTION_BYTES + TLS_OUT_BYTES + bodies + heads + running_streams * stream_bytes_max()


def stream_bytes_max() -> int:
    """One answer that is not read: it needs a tenant and a worker."""
    return WAITING_BYTES + GROWTH * 2 * STEP_BYTES


# --- clients that hold memory ---------------------------------------------------------------------------------------
class Held(Protocol):
    """Something to close."""

    def close(self) -> None: ...


def half_handshake(target: Target) -> Held:
    """A ClientHello that does not end."""
    raw = target.tcp()
    raw.sendall(b"\x16\x03\x01\x10\x00\x01\x00\x0f\xfc" + bytes(4_000))
    return raw


def idle_h1(target: Target) -> Held:
    """Nothing asked."""
    return H1(target).socket


def used_h1(target: Target) -> Held:
    """Idle after a request of 200 kB."""
    client = H1(target)
    body = b" " * 200_000
    client.send(f"{LINE}{HOST}{REST}content-length: {len(body)}\r\n\r\n".encode() + body)
    assert client.answer().status == 400
    return client.socket


def half_head(target: Target) -> Held:
    """A head of 15 kB that does not end."""
    client = H1(target)
    client.send(f"{LINE}{HOST}x: {'y' * 15_000}".encode())
    return client.socket


def half_body(target: Target) -> Held:
    """A body of which 20 kB are here."""
    client = H1(target)
    client.send(f"{LINE}{HOST}{REST}content-length: 40000\r\n\r\n".encode() + b" " * 20_000)
    return client.socket


def idle_h2(target: Target) -> Held:
    """Nothing asked."""
    return H2(target).socket


def half_head_h2(target: Target) -> Held:
    """HEADERS of 15 kB that do not end."""
    client = H2(target)
    client.send(frame(1, 0, 1, client.encoder.encode([*ask(), ("x", "~" * 12_000)], huffman=False)[:-10]))
    return client.socket


def half_bodies_h2(target: Target) -> Held:
    """Ten streams with an unfinished body of 2 kB each."""
    client = H2(target)
    for stream in range(1, 21, 2):
        client.send(client.head(stream, ask()) + frame(DATA, 0, stream, b" " * 2_000))
    return client.socket


KINDS: list[tuple[Callable[[Target], Held], int]] = [
    (half_handshake, CONNECTION_BYTES),
    (idle_h1, CONNECTION_BYTES),
    (used_h1, CONNECTION_BYTES),
    (half_head, CONNECTION_BYTES + GROWTH * 16 * KIB),
    (half_body, CONNECTION_BYTES + GROWTH * 40 * KIB),
    (idle_h2, CONNECTION_BYTES),
    (half_head_h2, CONNECTION_BYTES + GROWTH * 16 * KIB),
    (half_bodies_h2, CONNECTION_BYTES + 10 * GROWTH * (2 + 4) * KIB),
]
"""Each client, and what one of them may hold: its connection, and what it sent, twice."""


def rss_bytes(stack: Stack) -> int:
    """Memory of the fast path's own: anonymous pages, not files."""
    assert stack.fastpath.running is not None
    status = Path(f"/proc/{stack.fastpath.running.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * KIB


def descriptors(stack: Stack) -> int:
    """Open ones of the fast path."""
    assert stack.fastpath.running is not None
    return len(os.listdir(f"/proc/{stack.fastpath.running.pid}/fd"))


def cpu_s(stack: Stack) -> float:
    """User and system time of the fast path so far."""
    assert stack.fastpath.running is not None
    fields = Path(f"/proc/{stack.fastpath.running.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def growth(target: Target, kinds: list[Callable[[Target], Held]], count: int) -> float:
    """Bytes a connection, over `count` connections of these kinds in turn; all are closed after."""
    before, open_before = rss_bytes(target.stack), descriptors(target.stack)
    with contextlib.ExitStack() as held:
        for index in range(count):
            held.callback(kinds[index % len(kinds)](target).close)
        time.sleep(SETTLE_S)
        found = (rss_bytes(target.stack) - before) / count
    until(lambda: descriptors(target.stack) <= open_before, "every connection is closed again", 20)
    return found


def stalled_streams(target: Target, streams: int, tokens: int) -> float:
    """Bytes a stream of one connection that opens no window; the engine has written everything."""
    before = rss_bytes(target.stack)
    with H2(target, settings=setting(4, 0)) as client:
        for index in range(streams):
            body = chat(f"!echo tokens={tokens}", stream=True, max_tokens=tokens)
            client.send(client.head(2 * index + 1, ask()) + frame(DATA, END_STREAM, 2 * index + 1, body))
        answers = [client.until(HEADERS).headers[":status"] for _ in range(streams)]
        assert set(answers) == {"200"}, answers
        time.sleep(2 * SETTLE_S)
        return (rss_bytes(target.stack) - before) / streams


# --- clients that cost CPU ------------------------------------------------------------------------------------------
def refused_requests(target: Target, count: int) -> None:
    """Requests without a key on one connection."""
    with H1(target) as client:
        for _ in range(count):
            client.send(f"GET /v1/models HTTP/1.1\r\n{HOST}\r\n".encode())
            assert client.answer().status == 401


def refused_heads(target: Target, count: int) -> None:
    """Heads that are not sound, each on its own connection."""
    for _ in range(count):
        with H1(target) as client:
            client.send(b"GET / HTTP/1.1\nhost: x\r\n\r\n")
            assert client.answer().status == 400


def handshakes(target: Target, count: int) -> None:
    """Full handshakes and nothing else."""
    for _ in range(count):
        H1(target).socket.close()


def resets(target: Target, count: int) -> None:
    """Streams opened and reset, 50 a connection."""
    for _ in range(count // 50):
        with H2(target) as client:
            for stream in range(1, 101, 2):
                client.send(client.head(stream, ask(key="no")) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08"))


COSTS = [(refused_requests, 2000), (refused_heads, 300), (handshakes, 300), (resets, 2000)]


def begin_anew(target: Target) -> None:
    """A fast path that has freed nothing yet which the next client could be given, and has served each version once."""
    target.stack.fastpath.stop()
    target.stack.fastpath.start()
    target.stack.fastpath.wait_ready()
    growth(target, [idle_h1, idle_h2], 4)


def main() -> int:
    """Measures everything on a stack of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificates(folder)
        stack, port = build(folder, folder), free_ports(1)[0]
        with_listener(stack.config, "patient", port, PATIENT)
        for one in running(stack):
            target = Target(one, port)
            for kind, bound in KINDS:
                begin_anew(target)
                found = growth(target, [kind], 300)
                print(f"{kind.__name__}: {found / KIB:.1f} KiB a connection, bound {bound / KIB:.0f}", flush=True)
            begin_anew(target)
            found = stalled_streams(target, 50, 1000)
            print(f"stalled_stream: {found / KIB:.0f} KiB a stream, bound {stream_bytes_max() / KIB:.0f}", flush=True)
            for cost, count in COSTS:
                before = cpu_s(one)
                cost(target, count)
                print(f"{cost.__name__}: {(cpu_s(one) - before) / count * 1e6:.0f} us of CPU each", flush=True)
    limits = Limits()
    print(f"h1_bytes_max: {h1_bytes_max(limits) / KIB / KIB:.1f} MiB a connection")
    print(f"h2_bytes_max: {h2_bytes_max(limits, 0) / KIB / KIB:.1f} MiB a connection without answers under way")
    return 0


if __name__ == "__main__":
    sys.exit(main())
