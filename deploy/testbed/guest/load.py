"""Streams through the fast path, some at once, and how each of them ended. Standard library only; few bytes, few calls.

Prints `begun` with the first token, then whole, error_event, cut (neither a terminal event nor an error event),
refused, tokens and seconds as `name=value` lines. Exit status 0 whatever the streams did: the scenario judges.
"""

from __future__ import annotations

import argparse
import collections
import json
import socket
import ssl
import threading
import time


class Load:
    """The streams that are left to do, and what became of the others."""

    def __init__(self, wanted: argparse.Namespace) -> None:
        self.context = ssl.create_default_context(cafile=wanted.authority)
        body = {
            "model": "chat",
            "messages": [{"role": "user", "content": f"!echo tokens={wanted.tokens} delay_ms={wanted.delay_ms}"}],
            "max_tokens": wanted.tokens,
            "stream": True,
        }
        content = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {wanted.key}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(content)}\r\nx-conversation-id: "
        self.head, self.content = head.encode(), b"\r\n\r\n" + content
        self.port: int = wanted.port
        self.left: int = wanted.streams
        self.lock = threading.Lock()
        self.count: collections.Counter[str] = collections.Counter()

    def next(self) -> bool:
        """Whether there is one more to do."""
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def work(self) -> None:
        """One connection after the other, each for as many streams as it lives."""
        connection = None
        while self.next():
            connection = connection or self.connect()
            how = self.stream(connection)
            with self.lock:
                self.count[how] += 1
            if how != "whole":
                connection.close()
                connection = None

    def connect(self) -> ssl.SSLSocket:
        """A connection over TLS 1.3."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        return self.context.wrap_socket(raw, server_hostname="localhost")

    def stream(self, connection: ssl.SSLSocket) -> str:
        """One stream: whole, error_event, refused or cut."""
        # Conversations of their own: one alone would stay with one worker.
        connection.sendall(self.head + str(threading.get_ident()).encode() + self.content)
        answer = b""
        while not answer.endswith(b"0\r\n\r\n") and not (answer and not answer.startswith(b"HTTP/1.1 200")):
            try:
                part = connection.recv(65536)
            except OSError:
                part = b""
            if not part:
                break
            if b"content" in part and not self.count["begun"]:
                self.count["begun"] = 1
                print("begun", flush=True)
            answer += part
        with self.lock:
            self.count["tokens"] += answer.count(b'"content":"')
        if b"data: [DONE]" in answer:
            return "whole"
        if b'data: {"error"' in answer:
            return "error_event"
        return "cut" if answer.startswith(b"HTTP/1.1 200") else "refused"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--authority", required=True, help="CA file")
    parser.add_argument("--key", default="sk-dev-alpha")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=5)
    parser.add_argument("--delay-ms", type=int, default=0)
    wanted = parser.parse_args()
    began = time.monotonic()
    load = Load(wanted)
    threads = [threading.Thread(target=load.work) for _ in range(wanted.at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("whole", "error_event", "cut", "refused", "tokens"):
        print(f"{name}={load.count[name]}")
    print(f"seconds={time.monotonic() - began:.1f}")


if __name__ == "__main__":
    main()
