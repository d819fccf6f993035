"""Hands flow records to whoever follows them: a Unix socket, one JSON line a record.

A follower first writes one line, its filter as JSON (`{}` for everything). It then reads records. One that reads too
slowly is not waited for: it loses records, and is told how many by a line `{"lost": N}` in their place.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import socket
import threading
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import structlog

from dpu_app.telemetry.flows.json_lines import line
from dpu_app.telemetry.flows.record import Flow, address_bytes, reason_label

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="flows")
FOLLOWERS_MAX = 8
QUEUE_RECORDS_MAX = 1_024
FILTER_BYTES_MAX = 4_096
FILTER_TIMEOUT_S = 2.0
IDLE_CHECK_S = 0.5
"""How often an idle follower is looked at, whether it is still there."""
SEND_TIMEOUT_S = 10.0
"""A follower that takes nothing for so long is cut."""
SOCKET_PATH_BYTES_MAX = 107  # sun_path of unix(7), without its terminating zero
ANSWER_BUSY = json.dumps({"error": f"{FOLLOWERS_MAX} follow already: end one of them"}).encode() + b"\n"


class Filter:
    """Which records a follower wants."""

    def __init__(self, asked: dict[str, Any]) -> None:
        """Raises ValueError, with the fix."""
        unknown = asked.keys() - {"service", "client", "reason"}
        if unknown or not all(isinstance(value, str) for value in asked.values()):
            raise ValueError("a filter has texts for service, client and reason, and nothing else")
        self.service: str | None = asked.get("service")
        self.reason: str | None = asked.get("reason")
        self.client = prefix(asked["client"]) if "client" in asked else None

    def takes(self, flow: Flow) -> bool:
        """Whether it wants this one."""
        seen = flow.seen
        if self.service is not None and seen.service != self.service:
            return False
        if self.reason is not None and reason_label(seen.reason) != self.reason:
            return False
        return self.client is None or inside(seen.client, *self.client)


def prefix(text: str) -> tuple[int, int]:
    """An address or prefix as (bits, mask) of 128. Raises ValueError."""
    try:
        network: IPv4Network | IPv6Network = ip_network(text, strict=False)
        first = address_bytes(str(network.network_address))
    except (ValueError, OSError):
        raise ValueError(f"{text!r} is not an address or prefix: write one such as 192.0.2.0/24") from None
    length = network.prefixlen + (96 if network.version == 4 else 0)
    mask = ((1 << length) - 1) << (128 - length)
    return int.from_bytes(first, "big"), mask


def inside(address: bytes, bits: int, mask: int) -> bool:
    """Whether 16 bytes have these bits."""
    return int.from_bytes(address, "big") & mask == bits


class Follower(threading.Thread):
    """One follower: a bounded queue and the thread that empties it."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(name="flows-follower", daemon=True)
        self.connection = connection
        self.records: queue.Queue[bytes] = queue.Queue(QUEUE_RECORDS_MAX)
        self.wanted: Filter | None = None
        """None until it has said what it wants."""
        self.missed = 0
        self.lock = threading.Lock()
        self.ended = threading.Event()

    def offer(self, flow: Flow, data: bytes) -> bool:
        """Queues a record that it wants. False where it is lost to it."""
        if self.wanted is None or not self.wanted.takes(flow):
            return True
        try:
            self.records.put_nowait(data)
        except queue.Full:
            with self.lock:
                self.missed += 1
            return False
        return True

    def run(self) -> None:
        """Reads the filter, then writes records until the other side is gone."""
        try:
            self.connection.settimeout(FILTER_TIMEOUT_S)
            self.wanted = Filter(read_object(self.connection))
            self.connection.settimeout(SEND_TIMEOUT_S)
            self.connection.sendall(b'{"following":true}\n')
            while not self.ended.is_set():
                self.step()
        except ValueError as error:
            with contextlib.suppress(OSError):
                self.connection.sendall(json.dumps({"error": str(error)}).encode() + b"\n")
        except OSError:
            pass  # It went away, or reads nothing.
        finally:
            self.ended.set()
            self.connection.close()

    def step(self) -> None:
        """Writes what is queued; looks now and then whether the other side is there. Raises OSError."""
        try:
            data = self.records.get(timeout=IDLE_CHECK_S)
        except queue.Empty:
            data = b""
            if gone(self.connection):
                raise ConnectionResetError from None
        with self.lock:
            missed, self.missed = self.missed, 0
        if missed:
            # Queued records are older than those that found the queue full, so the line comes a little early.
            data = json.dumps({"lost": missed}).encode() + b"\n" + data
        self.connection.sendall(data)

    def stop(self) -> None:
        """Ends it, also where it waits for the other side."""
        self.ended.set()
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class LiveFlows:
    """An Output. Listens from construction to `close`; mode 0600, since records say who talked to whom."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path = path
        self.lost = 0
        self.refused = 0
        self.followers: list[Follower] = []
        self.lock = threading.Lock()
        self.listener = listen(path)
        self.thread = threading.Thread(target=self.accept, name="flows-accept", daemon=True)
        self.thread.start()

    def accept(self) -> None:
        """Takes followers until closed."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.take(connection)

    def take(self, connection: socket.socket) -> None:
        """A thread for it, where there is a place."""
        with self.lock:
            self.followers = [follower for follower in self.followers if not follower.ended.is_set()]
            if len(self.followers) < FOLLOWERS_MAX:
                follower = Follower(connection)
                self.followers.append(follower)
                follower.start()
                return
            self.refused += 1
        connection.settimeout(0)
        with contextlib.suppress(OSError):
            connection.send(ANSWER_BUSY)
        connection.close()

    def write(self, flows: Sequence[Flow], unix_s: int) -> None:
        """Offers every record to every follower; written as JSON once, and only where somebody follows."""
        with self.lock:
            followers = [follower for follower in self.followers if not follower.ended.is_set()]
        if not followers:
            return
        for flow in flows:
            data = line(flow)
            self.lost += sum(not follower.offer(flow, data) for follower in followers)

    def close(self) -> None:
        """Ends followers and removes the socket."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for follower in self.followers:
            follower.stop()
        for follower in self.followers:
            follower.join()
        self.path.unlink(missing_ok=True)


def listen(path: Path) -> socket.socket:
    """A socket that is never open to others, not for a moment. Raises OSError."""
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise OSError(f"{path} is longer than the {SOCKET_PATH_BYTES_MAX} bytes of a socket's path: choose another")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        # One agent has the state directory at a time: a socket that is there is of one that is gone.
        if path.is_socket():
            path.unlink()
        listener.bind(str(path))
        listener.listen(FOLLOWERS_MAX)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def read_object(connection: socket.socket) -> dict[str, Any]:
    """One line with a JSON object. Raises ValueError or OSError."""
    data = b""
    while not data.endswith(b"\n"):
        more = connection.recv(FILTER_BYTES_MAX)
        data += more
        if not more or len(data) > FILTER_BYTES_MAX:
            raise ValueError("the filter is one line of JSON")
    try:
        asked = json.loads(data)
    except RecursionError:
        asked = None
    if not isinstance(asked, dict):
        raise ValueError("the filter is a JSON object")
    return asked


def gone(connection: socket.socket) -> bool:
    """Whether the other side has closed. Asked first whether there is anything: a socket with a timeout would wait."""
    poller = select.poll()
    poller.register(connection, select.POLLIN)
    return bool(poller.poll(0)) and connection.recv(1, socket.MSG_PEEK) == b""
