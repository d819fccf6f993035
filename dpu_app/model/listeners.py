"""Listeners: where clients connect, with which certificates, and within which limits."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

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
    body_bytes_per_s_min: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1_024
    """Bytes per second that a body must bring, averaged from its head on, once `body_grace` is over."""
    body_grace: Duration = timedelta(seconds=5)
    """From the head to the moment when `body_bytes_per_s_min` begins to count."""
    write_timeout: Duration = timedelta(seconds=30)
    """For a client to take what is ready for it: one answer, or the events that are there at once."""
    requests_per_connection_max: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100_000
    """Requests on one connection; after the last one it is closed cleanly."""
    requests_running_max: Annotated[int, Field(ge=1, le=65_536)] = 65_536
    """Requests that workers have at the same time from one core; 65,536 is a core's own ceiling."""
    pipelined_bytes_max: Annotated[int, Field(ge=1_024, le=1_048_576)] = 16_384
    """HTTP/1: bytes read ahead of the answer that is under way; what is beyond waits in the socket."""
    bodies_bytes_max: Annotated[int, Field(ge=1_024, le=1_073_741_824)] = 16_777_216
    """HTTP/2: bytes of unfinished bodies on one connection, over all its streams."""
    h2_resets_max: Annotated[int, Field(ge=1, le=100_000)] = 100
    """HTTP/2: streams that the client resets on one connection, less the answers that were begun on it."""
    h2_errors_max: Annotated[int, Field(ge=1, le=1_000)] = 64
    """HTTP/2: streams on one connection that the client makes us reset, less the answers that were finished on it."""
    h2_continuations_max: Annotated[int, Field(ge=1, le=5)] = 4
    """HTTP/2: CONTINUATION frames of one head; 5 is the ceiling of the h2 crate."""
    h2_control_frames_max: Annotated[int, Field(ge=16, le=1_000_000)] = 1_000
    """HTTP/2: SETTINGS, PING, PRIORITY, WINDOW_UPDATE and unknown frames on one connection, less two for each frame of
    ours that carries an answer."""
    h2_small_data_max: Annotated[int, Field(ge=16, le=100_000)] = 1_000
    """HTTP/2: DATA frames on one connection below 256 bytes that end no stream, less one for each larger one and four
    for each answer."""


class Tls(Part):
    """Versions. Suites and groups are not for choosing: AEAD with ephemeral keys only, the cheapest first."""

    min_version: Literal["1.2", "1.3"] = "1.3"
    """The oldest version that is spoken; 1.2 only where clients cannot do better."""


class Listener(Part):
    """One address that speaks HTTPS."""

    name: Name
    """Short and unique; metrics and logs carry it."""
    address: Address
    """IP:PORT."""
    certificates: Annotated[Items[Certificate], Field(min_length=1, max_length=256)]
    """At least one. A name may stand under several certificates whose keys are of different kinds (ECDSA, RSA)."""
    tls: Tls = Tls()
    """TLS 1.3 only when left out."""
    client_certificates: Literal["none", "optional", "required"] = "none"
    """Whether clients are asked for a certificate; `required` ends the handshake of those that have none."""
    client_ca_files: Annotated[Items[FilePath], Field(max_length=64)] = ()
    """PEM certificates of the CAs that may issue client certificates; sessions resume only under the same ones."""
    client_crl_files: Annotated[Items[FilePath], Field(max_length=64)] = ()
    """Revocation lists (PEM or DER). With any, a certificate whose issuer has none here is refused."""
    limits: Limits = Limits()
    """All of them have defaults."""


Listeners = Annotated[Items[Listener], Field(min_length=1), shorter_than(64)]
