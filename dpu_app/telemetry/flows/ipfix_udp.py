"""Sends IPFIX messages to a collector over UDP (RFC 7011, section 10.3)."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence

import structlog

from dpu_app.telemetry.flows.ipfix import Encoder
from dpu_app.telemetry.flows.record import Flow
from dpu_app.telemetry.flows.settings import IpfixSettings

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="flows")


class IpfixUdp:
    """An Output. Templates go out first, again at every refresh, and after a send that failed."""

    def __init__(self, settings: IpfixSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.clock = clock
        self.encoder = Encoder(settings.observation_domain, settings.enterprise_number)
        self.lost = 0
        self.is_failing = False
        self.templates_due_s = clock()
        self.socket: socket.socket | None = None

    def write(self, flows: Sequence[Flow], unix_s: int) -> None:
        """Sends them, with the templates in front where those are due."""
        now_s = self.clock()
        if now_s >= self.templates_due_s and self.send(self.encoder.template_message(unix_s)):
            self.templates_due_s = now_s + self.settings.template_refresh_s
        for message, records in self.encoder.messages(flows, unix_s):
            if not self.send(message):
                self.lost += records

    def send(self, message: bytes) -> bool:
        """False where it did not leave, which is also how a closed port is heard of, one message later."""
        try:
            if self.socket is None:
                self.socket = connected(*self.settings.collector)
            self.socket.send(message)
        except OSError as error:
            # Whoever comes back there knows no templates.
            self.templates_due_s = self.clock()
            self.note(error)
            return False
        self.note(None)
        return True

    def note(self, error: OSError | None) -> None:
        """Says when sending begins to fail, and when it goes again."""
        if self.is_failing != (error is not None):
            self.is_failing = error is not None
            log.warning("ipfix collector", collector=self.settings.collector, why=str(error) if error else "again")

    def close(self) -> None:
        """Closes the socket."""
        if self.socket is not None:
            self.socket.close()
        self.socket = None


def connected(host: str, port: int) -> socket.socket:
    """A socket that hears of a collector that is not there. Raises OSError where no way leads to it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        made.connect((host, port))
    except OSError:
        made.close()
        raise
    return made
