"""The health server of a process: GET /livez, /readyz and /metrics, from a few threads, never more."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

# Prometheus, a probe and a few people; whoever comes beyond that is closed at once.
CONNECTIONS_MAX = 16
TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Readiness:
    """Whether work should come here; `reason` says why not. `detail` is shown as it is."""

    ready: bool
    reason: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


class HealthServer(ThreadingHTTPServer):
    """Serves until `close`. `ready` is called from its threads and must be quick."""

    daemon_threads = True
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, address: str, registry: CollectorRegistry, ready: Callable[[], Readiness]) -> None:
        """Binds `address`, which is IP:PORT (port 0: any). Raises OSError."""
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.registry = registry
        self.ready = ready
        self.places = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__((host, int(port)), Handler)
        self.thread = threading.Thread(target=self.serve_forever, name="health", daemon=True)
        self.thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the connection, where there is a place for it."""
        if not self.places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serves the connection, then gives its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""

    def close(self) -> None:
        """Stops listening."""
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(BaseHTTPRequestHandler):
    """One request per connection."""

    server: HealthServer
    timeout = TIMEOUT_S
    server_version = "dpu-app"
    sys_version = ""

    def do_GET(self) -> None:
        """The three paths."""
        path = self.path.partition("?")[0]
        if path == "/livez":
            self.answer_json(200, {"live": True})
        elif path == "/readyz":
            state = self.server.ready()
            body = {"ready": state.ready, "reason": state.reason, **state.detail}
            self.answer_json(200 if state.ready else 503, body)
        elif path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self.answer(200, content_type, encode(self.server.registry))
        else:
            self.answer_json(404, {"error": "known here: /livez /readyz /metrics"})

    def answer_json(self, status: int, body: dict[str, Any]) -> None:
        """A JSON object and a line end."""
        self.answer(status, "application/json", json.dumps(body).encode() + b"\n")

    def answer(self, status: int, content_type: str, body: bytes) -> None:
        """The whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every second: not logged."""
