"""Listeners: where clients connect, with which certificates, and within which limits."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from abi.gen.worker_frame import FRAME_BYTES_MAX
from dpu_app.model.part import Address, Duration, FilePath, Items, Name, Part, shorter_than

# A body travels to a worker whole, in one frame, beside fields that are far below this.
FRAME_FIELDS_BYTES = 65_536
ServerName = Annotated[
    str, Field(pattern=r"^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
]


class Certificate(Part):
    """A certificate and the names that it is shown for."""

    server_names: Annotated[Items[ServerName], Field(min_length=1, max_length=256)]
    """Names (SNI) that get this certificate, lower case. The first certificate also serves clients that send none."""
    certificate_file: FilePath
    """PEM chain, leaf first."""
    private_key_file: FilePath
    """PEM key of the leaf."""


class Limits(Part):
    """What one client, connection or request may cost. Every limit has a default; none can be switched off."""

    connections_max: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Connections at the same time, for the whole process."""
    head_bytes_max: Annotated[int, Field(ge=1_024, le=1_048_576)] = 16_384
    """Bytes of a request head."""
    headers_max: Annotated[int, Field(ge=8, le=256)] = 100
    """Header fields of a request; 256 is the parser's own ceiling (`HEADERS_CEILING`)."""
    body_bytes_max: Annotated[int, Field(ge=1_024, le=FRAME_BYTES_MAX - FRAME_FIELDS_BYTES)] = 4_194_304
    """Bytes of a request body."""
    json_depth_max: Annotated[int, Field(ge=4, le=128)] = 64
    """Objects and lists inside each other in a body."""
    handshake_timeout: Duration = timedelta(seconds=5)
    """From accept to the end of the TLS handshake."""
    head_timeout: Duration = timedelta(seconds=10)
    """From the first byte of a head to its last."""
    body_timeout: Duration = timedelta(seconds=30)
    """From the head to the last byte of the body."""
    idle_timeout: Duration = timedelta(seconds=60)
    """Keep-alive without a request."""
    request_timeout: Duration = timedelta(minutes=5)
    """From the head to the last byte of the answer."""
    h2_streams_max: Annotated[int, Field(ge=1, le=1_000)] = 100
    """HTTP/2 streams at the same time on one connection."""
    drain_timeout: Duration = timedelta(seconds=10)
    """What running requests get to finish when the fast path stops."""


class Listener(Part):
    """One address that speaks HTTPS."""

    name: Name
    """Short and unique; metrics and logs carry it."""
    address: Address
    """IP:PORT."""
    certificates: Annotated[Items[Certificate], Field(min_length=1, max_length=256)]
    """At least one."""
    limits: Limits = Limits()
    """All of them have defaults."""


Listeners = Annotated[Items[Listener], Field(min_length=1), shorter_than(64)]
