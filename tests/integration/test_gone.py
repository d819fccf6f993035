"""Clients that go away at an awkward moment: each request still ends, once, and gives its place back."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import pytest

from tests.integration.clients import BETA, trust
from tests.integration.processes import Stack, build, running, total, until

CONCURRENCY_MAX = 4
"""Of tenant beta: what it could lose for good."""
WRITTEN_S = 0.5
"""For the worker's last frame to be there: 800 tokens are 150 kB and done in milliseconds."""


class Unread:
    """An HTTP/2 client that never opens its window: of its answers 64 KiB are sent and no more."""

    def __init__(self, stack: Stack) -> None:
        context = trust(stack)
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection(("127.0.0.1", int(stack.url.rsplit(":", 1)[1])), timeout=5)
        self.socket: ssl.SSLSocket = context.wrap_socket(raw, server_hostname="localhost")
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.streams: list[int] = []

    def ask(self, text: str) -> None:
        """One streamed question as tenant beta."""
        body: dict[str, Any] = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": text}]}
        body["max_tokens"] = 2000  # the arm's default would end the stream inside the window
        stream = self.h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/v1/chat/completions"),
            ("authorization", f"Bearer {BETA}"),
            ("content-type", "application/json"),
        ]
        self.h2.send_headers(stream, headers)
        self.h2.send_data(stream, json.dumps(body).encode(), end_stream=True)
        self.streams.append(stream)
        self.flush()

    def flush(self) -> None:
        """Sends what the state machine has ready."""
        self.socket.sendall(self.h2.data_to_send())

    def close(self) -> None:
        """Without a word."""
        self.socket.close()

    def reset(self) -> None:
        """RST_STREAM for each stream; the connection stays."""
        for stream in self.streams:
            self.h2.reset_stream(stream)
        self.flush()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[Stack]:
    """A stack whose tenant beta has its four places, and tokens for all that these tests ask for."""
    made = build(tmp_path_factory.mktemp("gone"), certs)
    config = made.config.read_text()
    tokens = "token_rate: {tokens: 2000, per: 1m, burst: 2000}"
    assert tokens in config
    made.config.write_text(config.replace(tokens, "token_rate: {tokens: 1000000, per: 1m}"))
    yield from running(made)


@pytest.mark.parametrize("text", ["!echo tokens=800", "!echo tokens=2000 delay_ms=5"], ids=["finished", "running"])
@pytest.mark.parametrize("go", [Unread.close, Unread.reset], ids=["close", "reset"])
def test_client_that_goes_before_its_answer_is_written_gives_its_place_back(
    stack: Stack, go: Callable[[Unread], None], text: str
) -> None:
    before = total(stack.fastpath.metrics(), "dpu_requests_total", tenant="beta", outcome="client_gone")
    client = Unread(stack)
    try:
        for _ in range(CONCURRENCY_MAX):
            client.ask(text)
        until(lambda: total(stack.fastpath.metrics(), "dpu_requests_in_flight") == CONCURRENCY_MAX, "all begun")
        time.sleep(WRITTEN_S)
        go(client)
        until(lambda: total(stack.fastpath.metrics(), "dpu_requests_in_flight") == 0, "all ended", 5.0)
    finally:
        client.close()
    samples = stack.fastpath.metrics()
    after = total(samples, "dpu_requests_total", tenant="beta", outcome="client_gone")
    assert after == before + CONCURRENCY_MAX
    assert total(samples, "dpu_requests_received_total") == total(samples, "dpu_requests_total")
