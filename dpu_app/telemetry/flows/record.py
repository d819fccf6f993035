"""The record of a flow: what the packet stage saw, and what the request path did."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, NamedTuple

from abi.gen import packet as abi
from abi.gen.reasons import Reason
from dpu_app.telemetry.flow_source import FlowNames

MAPPED = b"\0" * 10 + b"\xff\xff"
NOT_DROPPED_MAX = 9
"""Reasons up to this one let the frame go on (abi/tables/reasons.toml)."""


class FlowEnd(IntEnum):
    """Why a record was written; its numbers are those of the packet stage, but the last."""

    ENDED = abi.FLOW_ENDED
    IDLE = abi.FLOW_IDLE
    UNCONFIRMED = abi.FLOW_UNCONFIRMED
    REMOVED = abi.FLOW_REMOVED
    ACTIVE = abi.FLOW_ACTIVE
    REQUESTS_ONLY = 100
    """No flow of the packet stage was found for these requests."""

    @property
    def label(self) -> str:
        """The metric label, and what is written."""
        return self.name.lower()


class Key(NamedTuple):
    """A connection as the fast path's socket has it; addresses in 16 bytes, `server_port` is the listener group's."""

    client: bytes
    client_port: int
    server: bytes
    server_port: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The packet stage's half. Counters are those since the record before, where a flow has several."""

    end: FlowEnd
    client: bytes
    """16 bytes, IPv4 as ::ffff:a.b.c.d"""
    client_port: int
    server: bytes
    """The VIP, 16 bytes."""
    server_port: int
    """The VIP's port."""
    protocol: int
    """IANA number"""
    group_port: int
    """Port after the rewrite."""
    start_ms: int
    """Milliseconds since 1970, of the flow's first frame."""
    end_ms: int
    """Of its last frame."""
    service: str = ""
    group: str = ""
    """Listener group, empty where none was chosen."""
    service_id: int = 0
    group_id: int = 0
    reason: int = 0
    """Of its last frame."""
    packets_in: int = 0
    """From the client."""
    bytes_in: int = 0
    """Of whole frames, Ethernet header included."""
    packets_out: int = 0
    """To the client."""
    bytes_out: int = 0
    flags_in: int = 0
    """TCP flags from the client, or-ed."""
    flags_out: int = 0
    epoch: int = 0
    """Of the plan that pinned its group."""
    first_ns: int = 0
    """Of its first frame on the packet stage's clock: with the key it is a flow's identity."""

    @property
    def key(self) -> Key:
        """The connection."""
        return Key(self.client, self.client_port, self.server, self.group_port)


@dataclass(frozen=True, slots=True)
class ArmWork:
    """What one arm did on a flow. `arm` is empty for requests that came to none."""

    arm: str
    outcome: str
    requests: int
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True, slots=True)
class Done:
    """The request path's half: sums over the requests that ended on the flow.

    Names of several requests are one text, each name once in the order in which they came, with commas between.
    """

    requests: int = 0
    answered: int = 0
    listener: str = ""
    tenant: str = ""
    model: str = ""
    arm: str = ""
    worker: str = ""
    outcome: str = ""
    tokens_in: int = 0
    """Tokens of prompts."""
    tokens_out: int = 0
    """Tokens of answers, as handed to TLS."""
    ttft_ms: float | None = None
    """Time to first token, the mean over the requests that came so far."""
    ttft_ms_max: float | None = None
    epoch: int = 0
    """Of the plan that decided about the last request."""
    arms: tuple[ArmWork, ...] = field(default=())
    """The same by arm and outcome."""


NOTHING_DONE = Done()


@dataclass(frozen=True, slots=True)
class Flow:
    """One record."""

    seen: Seen
    done: Done = NOTHING_DONE

    def as_json(self) -> dict[str, Any]:
        """As JSON lines and `dpu-agent flows` show it: one flat object, the same fields in every record."""
        seen, done = self.seen, self.done
        return {
            "end": seen.end.label,
            "start": rfc3339(seen.start_ms),
            "last": rfc3339(seen.end_ms),
            "client": address_text(seen.client),
            "client_port": seen.client_port,
            "server": address_text(seen.server),
            "server_port": seen.server_port,
            "protocol": seen.protocol,
            "service": seen.service,
            "group": seen.group,
            "group_port": seen.group_port,
            "verdict": "pass" if seen.reason <= NOT_DROPPED_MAX else "drop",
            "reason": reason_label(seen.reason),
            "packets_in": seen.packets_in,
            "bytes_in": seen.bytes_in,
            "packets_out": seen.packets_out,
            "bytes_out": seen.bytes_out,
            "flags_in": seen.flags_in,
            "flags_out": seen.flags_out,
            "epoch": seen.epoch,
            "listener": done.listener,
            "tenant": done.tenant,
            "model": done.model,
            "arm": done.arm,
            "worker": done.worker,
            "outcome": done.outcome,
            "requests": done.requests,
            "answered": done.answered,
            "tokens_in": done.tokens_in,
            "tokens_out": done.tokens_out,
            "ttft_ms": done.ttft_ms,
            "ttft_ms_max": done.ttft_ms_max,
            "request_epoch": done.epoch,
        }


class Clock(NamedTuple):
    """How far CLOCK_MONOTONIC is behind the time since 1970, in nanoseconds."""

    offset_ns: int

    def ms(self, monotonic_ns: int) -> int:
        """Milliseconds since 1970."""
        return (monotonic_ns + self.offset_ns) // 1_000_000


def seen_of(record: abi.FlowRecord, names: FlowNames, clock: Clock) -> Seen:
    """A record of the packet stage with names and wall-clock times."""
    key, value = record.key, record.value
    service, group = value.service, value.group
    return Seen(
        end=FlowEnd(record.end) if record.end in KNOWN_ENDS else FlowEnd.REMOVED,
        client=key.source,
        client_port=key.source_port,
        server=key.destination,
        server_port=key.destination_port,
        protocol=key.protocol,
        group_port=value.port or key.destination_port,
        start_ms=clock.ms(value.first_ns),
        end_ms=clock.ms(value.last_ns),
        service=names.services.get(service, str(service)),
        group=names.groups.get(group, str(group)) if group else "",
        service_id=service,
        group_id=group,
        reason=value.reason,
        packets_in=value.packets_in,
        bytes_in=value.bytes_in,
        packets_out=value.packets_out,
        bytes_out=value.bytes_out,
        flags_in=value.flags_in,
        flags_out=value.flags_out,
        epoch=value.epoch,
        first_ns=value.first_ns,
    )


KNOWN_ENDS = frozenset(end.value for end in FlowEnd)
REASONS = {reason.value: reason.name.lower() for reason in Reason}


def reason_label(reason: int) -> str:
    """A reason's name; its number where a newer packet stage has one that we do not know."""
    return REASONS.get(reason, str(reason))


def is_ipv4(address: bytes) -> bool:
    """Whether 16 bytes are an IPv4 address."""
    return address.startswith(MAPPED)


def address_text(address: bytes) -> str:
    """16 bytes as people write them."""
    if is_ipv4(address):
        return socket.inet_ntop(socket.AF_INET, address[12:])
    return socket.inet_ntop(socket.AF_INET6, address)


def address_bytes(text: str) -> bytes:
    """The 16 bytes of an address. Raises OSError where it is none."""
    if ":" in text:
        return socket.inet_pton(socket.AF_INET6, text)
    return MAPPED + socket.inet_pton(socket.AF_INET, text)


def rfc3339(unix_ms: int) -> str:
    """UTC with milliseconds."""
    seconds, ms = divmod(unix_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{ms:03}Z"
