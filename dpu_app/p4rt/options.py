"""How a P4Runtime client and server are set up; every field is a command-line option of dpu-agent or dpu-replay."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import grpc

Arbitration = Literal["required", "try", "off"]
Pipeline = Literal["commit", "reconcile", "never"]
FILE_BYTES_MAX = 67_108_864


class OptionsError(Exception):
    """The options do not fit together, or a file of them cannot be read; says which and what to do."""


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """PEM files. A side without `ca` does not ask the other for a certificate; a client then uses the system's CAs."""

    ca: Path | None = None
    """Who the other side has to be signed by."""
    certificate: Path | None = None
    """Our chain."""
    private_key: Path | None = None
    """Its key."""


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """Where a P4Runtime server is, and how to talk to it. Times are seconds."""

    address: str
    """`host:port`; 9559 is P4Runtime's port."""
    plaintext: bool = False
    """Without TLS: for loopback and tests only."""
    tls: TlsFiles = TlsFiles()
    """Files for TLS."""
    server_name: str = ""
    """Name in the server's certificate where that is not the address's."""
    device_id: int = 1
    """The device behind the server; never 0."""
    election_id: int = 1
    """128 bits; the highest is the primary. 0 is sent as 0, which every other one beats."""
    arbitration: Arbitration = "required"
    """`required` needs the answer that we are primary; `try` waits for it and goes on without one (NVIDIA's DPL server
    never answers); `off` does not ask."""
    arbitration_timeout_s: float = 2.0
    """How long to wait for that answer."""
    p4info: Path | None = None
    """P4Info in text form; by default the one that belongs to this version."""
    device_config: Path | None = None
    """What the P4 compiler made for the target. Without it, the target has to have its pipeline already (XDP has)."""
    pipeline: Pipeline = "commit"
    """How a pipeline that differs is pushed: `commit` clears the tables, `reconcile` keeps them, `never` refuses."""
    call_timeout_s: float = 10.0
    """Deadline of a Write or a Get."""
    read_timeout_s: float = 30.0
    """Deadline of a Read, whose answer is a stream."""
    pipeline_timeout_s: float = 60.0
    """Deadline of a pipeline push."""
    batch_entries_max: int = 1_000
    """Updates in one Write, and entities in one Read."""
    batch_bytes_max: int = 1_048_576
    """Bytes in one Write; many servers take 4 MiB."""
    message_bytes_max: int = 67_108_864
    """Largest message that is taken."""
    reconnect_first_s: float = 0.1
    """Wait after the first failed connection; doubles up to `reconnect_last_s`."""
    reconnect_last_s: float = 5.0
    """Longest wait between attempts."""
    rate_tolerance_ppm: int = 10
    """How far a device may round the rate of a meter, in millionths, and by one a second at least: BMv2 computes in
    tokens a microsecond."""
    notices_max: int = 1_024
    """Idle notices and packets that wait to be fetched; more are counted as lost."""

    def __post_init__(self) -> None:
        if self.device_id < 1:
            raise OptionsError("device id 0 means none in P4Runtime: use 1, or what the target was started with")
        if not 0 <= self.election_id < 1 << 128:
            raise OptionsError("an election id has 128 bits: use 1 unless there are several controllers")
        if self.plaintext and self.tls != TlsFiles():
            raise OptionsError("TLS files and plaintext exclude each other: leave one of them out")


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """The P4Runtime server in front of XDP."""

    address: str = "127.0.0.1:9559"
    """`host:port` to listen on; port 0 takes a free one."""
    plaintext: bool = False
    """Without TLS; refused on other addresses than loopback."""
    tls: TlsFiles = TlsFiles()
    """Certificate and key of the server; with `ca`, controllers need a certificate of it."""
    device_id: int = 1
    """What controllers have to name."""
    p4info: Path | None = None
    """P4Info in text form; by default the one that belongs to this version."""
    streams_max: int = 16
    """Controllers at the same time."""
    calls_max: int = 8
    """Other calls at the same time."""
    updates_max: int = 10_000
    """Updates in one Write."""
    entities_max: int = 10_000
    """Entities in one Read."""
    results_max: int = 1_000_000
    """Entities in the answers to one Read: every full table and every cell once."""
    message_bytes_max: int = 16_777_216
    """Largest message that is taken."""
    arbitration_wait_s: float = 5.0
    """How long a stream may be there without an arbitration; then it ends."""
    stream_messages_max: int = 64
    """Messages that wait for a controller which does not read; then its stream ends."""

    def __post_init__(self) -> None:
        if self.device_id < 1:
            raise OptionsError("device id 0 means none in P4Runtime: use 1")
        if not is_address(self.address):
            raise OptionsError(f"'{self.address}' is not HOST:PORT to listen on: use 127.0.0.1:9559, or [::1]:9559")
        if self.plaintext and not is_loopback(self.address):
            raise OptionsError(f"{self.address} is not loopback: give certificate and private key for TLS")
        if not self.plaintext and not (self.tls.certificate and self.tls.private_key):
            raise OptionsError("the P4Runtime server needs a certificate and a private key, or plaintext on loopback")


def is_address(address: str) -> bool:
    """Whether it is `host:port` (IPv6 in brackets), or a Unix socket."""
    host, _colon, port = address.rpartition(":")
    if address.startswith("unix:"):
        return bool(port)
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 1 << 16
    return is_port and bool(host) and (":" not in host or (host.startswith("[") and host.endswith("]")))


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches it."""
    host = address.rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.") or address.startswith("unix:")


def content(path: Path | None) -> bytes | None:
    """A file, None where there is none to read. Raises OptionsError."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise OptionsError(f"cannot read {path}: {error.strerror}; give a file that is there") from error
    if len(data) > FILE_BYTES_MAX:
        raise OptionsError(f"{path} is longer than {FILE_BYTES_MAX} bytes: is it the right file?")
    return data


def client_credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    """Raises OptionsError."""
    if (tls.certificate is None) != (tls.private_key is None):
        raise OptionsError("a client certificate and its private key go together: give both or none")
    return grpc.ssl_channel_credentials(content(tls.ca), content(tls.private_key), content(tls.certificate))


def server_credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    """Raises OptionsError."""
    pair = (content(tls.private_key) or b"", content(tls.certificate) or b"")
    return grpc.ssl_server_credentials([pair], content(tls.ca), require_client_auth=tls.ca is not None)
