"""The life of the fast path process: programmed over its socket, asked for its health, drained at the end."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry

from dpu_app.fastpath import status
from dpu_app.fastpath.metrics import NativeCollector
from dpu_app.fastpath.protocol import Native
from dpu_app.fastpath.server import Server, Service
from dpu_app.telemetry.health import HealthServer, Readiness

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="fastpath")
# Waited for with sigwait, so they are blocked in every thread; no handler runs in the middle of something.
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Options:
    """Where this process is programmed (path of a socket) and asked for its health (IP:PORT)."""

    socket: str
    http: str


class Process:
    """Everything around one native request path."""

    def __init__(self, native: Native, options: Options) -> None:
        """Opens socket and health server. Raises ServerError, OSError."""
        self.native = native
        self.stopping = False
        self.drain_timeout_ms: int | None = None
        self.service = Service(native, self.drain)
        self.server = Server(options.socket, self.service)
        registry = CollectorRegistry()
        registry.register(NativeCollector(native))
        try:
            self.health = HealthServer(options.http, registry, self.readiness)
        except OSError:
            self.server.close()
            raise

    def readiness(self) -> Readiness:
        """Whether requests should come here."""
        return status.readiness(self.native.status(), self.stopping)

    def drain(self, timeout_ms: int) -> None:
        """The agent asks for the end; 0 takes the time of the plan."""
        self.drain_timeout_ms = timeout_ms or None
        self.stopping = True
        os.kill(os.getpid(), signal.SIGTERM)

    def run(self) -> int:
        """Until SIGTERM or SIGINT (blocked by the caller); then drains. Returns the exit status."""
        received = signal.sigwait(SIGNALS)
        self.stopping = True
        timeout_ms = self.drain_timeout_ms or self.service.drain_timeout_ms
        log.info("draining", signal=signal.Signals(received).name, timeout_ms=timeout_ms)
        cut = self.native.drain(timeout_ms)
        log.info("drained", requests_cut=cut)
        self.server.close()
        self.health.close()
        return 0
