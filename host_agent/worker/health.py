"""GET /livez, /readyz, /metrics on a port of their own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

State = Callable[[], tuple[bool, dict[str, Any]]]
"""Whether it is so, and the JSON that explains it."""


class HealthServer:
    """Serves until closed. Raises OSError where the address is taken."""

    def __init__(self, address: tuple[str, int], *, live: State, ready: State, metrics: Callable[[], bytes]) -> None:
        handler = type("Handler", (Handler,), {"states": {"/livez": live, "/readyz": ready}, "metrics": metrics})
        self.server = ThreadingHTTPServer(address, handler)
        self.server.daemon_threads = True
        self.address: tuple[str, int] = self.server.server_address[:2]  # type: ignore[assignment]  # typeshed: str | bytes
        self.thread = threading.Thread(target=self.server.serve_forever, name="health", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Stops serving."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Handler(BaseHTTPRequestHandler):
    """Three paths, GET only."""

    states: dict[str, State]
    metrics: Callable[[], bytes]
    timeout = 5
    """Seconds that a slow client may take."""

    def do_GET(self) -> None:
        """Answers one request; queries are ignored, as probes add them."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self.answer(200, "text/plain; version=0.0.4; charset=utf-8", type(self).metrics())
        elif path in self.states:
            good, explained = self.states[path]()
            self.answer(200 if good else 503, "application/json", json.dumps(explained).encode() + b"\n")
        else:
            self.answer(404, "application/json", b'{"error":"try /livez, /readyz or /metrics"}\n')

    def answer(self, status: int, kind: str, body: bytes) -> None:
        """One whole answer."""
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes are not worth a line each."""
