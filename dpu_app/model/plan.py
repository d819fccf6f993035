"""A plan: what the desired state compiles to. The words and the order are those of the desired state.

Targets translate it; the fast path's form of it is `dpu_proto/fastpath/v1/fastpath.proto`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from dpu_app.model.plan_packet import PlanPacket

BUCKETS = 10_000  # one bucket is 0.01 % of a model's conversations


@dataclass(frozen=True)
class PlanCertificate:
    """Files are absolute paths."""

    server_names: tuple[str, ...]
    certificate_file: str
    private_key_file: str


@dataclass(frozen=True)
class PlanLimits:
    """Every limit of a listener, none of them zero."""

    connections_max: int
    head_bytes_max: int
    headers_max: int
    body_bytes_max: int
    json_depth_max: int
    handshake_timeout_ms: int
    head_timeout_ms: int
    body_timeout_ms: int
    idle_timeout_ms: int
    request_timeout_ms: int
    h2_streams_max: int
    drain_timeout_ms: int
    body_bytes_per_s_min: int
    body_grace_ms: int
    write_timeout_ms: int
    requests_per_connection_max: int
    requests_running_max: int
    pipelined_bytes_max: int
    bodies_bytes_max: int
    h2_resets_max: int
    h2_errors_max: int
    h2_continuations_max: int
    h2_control_frames_max: int
    h2_small_data_max: int


@dataclass(frozen=True)
class PlanListener:
    """One address that speaks HTTPS."""

    name: str
    address: str
    certificates: tuple[PlanCertificate, ...]
    limits: PlanLimits
    tls_min_version: str = "1.3"
    client_certificates: str = "none"
    client_ca_files: tuple[str, ...] = ()
    client_crl_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanRate:
    """GCRA: `requests` in `interval_ms`, `burst` at once."""

    requests: int
    interval_ms: int
    burst: int


@dataclass(frozen=True)
class PlanJwt:
    """Tokens of one issuer; `claims` are sorted pairs, the file is an absolute path."""

    issuer: str
    audience: str
    jwks_file: str
    claims: tuple[tuple[str, str], ...]
    algorithms: tuple[str, ...]
    leeway_ms: int


@dataclass(frozen=True)
class PlanTokenRate:
    """A token bucket: `tokens` in `interval_ms`, `burst` at once."""

    tokens: int
    interval_ms: int
    burst: int


@dataclass(frozen=True)
class PlanTenant:
    """`keys` are SHA-256 digests in hex; `concurrency_max` 0 means no limit. `grant_tokens_min` is the tenant's own or
    the one for all."""

    name: str
    keys: tuple[str, ...]
    models: tuple[str, ...]
    request_rate: PlanRate | None
    concurrency_max: int
    priority: int
    arm_override: bool = False
    queue_weight: int = 1
    client_certificates: tuple[tuple[str, str], ...] = ()
    """Kind (`san_dns`, ...) and text; digests in hex."""
    jwt: tuple[PlanJwt, ...] = ()
    token_rate: PlanTokenRate | None = None
    grant_tokens_min: int = 16


@dataclass(frozen=True)
class PlanArm:
    """`weight` is in 0.01 %; `worker_labels` are sorted pairs."""

    name: str
    weight: int
    engine_model: str
    worker_labels: tuple[tuple[str, str], ...]
    max_tokens_default: int
    max_tokens_max: int


@dataclass(frozen=True)
class PlanModel:
    """`buckets` has BUCKETS bytes, each the index of an arm."""

    # Bytes as base64 where a plan is written as JSON.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    name: str
    aliases: tuple[str, ...]
    arms: tuple[PlanArm, ...]
    buckets: bytes
    token_rate: PlanTokenRate | None = None


@dataclass(frozen=True)
class PlanWorker:
    """`labels` are sorted pairs; `requests_max` 0 follows from the worker's slots."""

    name: str
    address: str
    labels: tuple[tuple[str, str], ...]
    requests_max: int = 0
    stream_window_bytes: int = 262_144


@dataclass(frozen=True)
class PlanQueue:
    """The queue before busy workers; none of it is zero."""

    requests_max: int = 4_096
    requests_max_per_tenant: int = 1_024
    bytes_max: int = 268_435_456
    wait_max_ms: int = 30_000
    passes_max: int = 8
    requests_per_slot: int = 1


@dataclass(frozen=True)
class PlanSteering:
    """How workers are chosen; `slow_start_ms` 0 switches it off, `warm_lead_tokens_max` may be 0."""

    conversation_id_bytes_max: int = 256
    warm_entries_max: int = 65_536
    warm_ttl_ms: int = 300_000
    warm_lead_tokens_max: int = 2_048
    slow_start_ms: int = 10_000
    breaker_failures: int = 5
    breaker_ratio_percent: int = 50
    breaker_requests_min: int = 20
    breaker_window_ms: int = 10_000
    breaker_open_min_ms: int = 1_000
    breaker_open_max_ms: int = 60_000


@dataclass(frozen=True)
class Plan:
    """What targets are programmed with. `epoch` rises by one with every plan whose content differs."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    revision: int
    epoch: int
    listeners: tuple[PlanListener, ...] = ()
    tenants: tuple[PlanTenant, ...] = ()
    models: tuple[PlanModel, ...] = ()
    workers: tuple[PlanWorker, ...] = ()
    worker_key_file: str = ""
    queue: PlanQueue = PlanQueue()
    steering: PlanSteering = PlanSteering()
    token_rate: PlanTokenRate | None = None
    token_cache_entries_max: int = 0
    worker_key_previous_file: str = ""
    series_max: int = 0
    packet: PlanPacket | None = None

    def same_content(self, other: Plan) -> bool:
        """Whether only revision and epoch may differ."""
        return self == replace(other, revision=self.revision, epoch=self.epoch)


# What a target has that was never programmed, and what it is given back when its first plan is rolled back.
EMPTY_PLAN = Plan(revision=0, epoch=0)
_ADAPTER = TypeAdapter(Plan)


def plan_to_json(plan: Plan) -> bytes:
    """UTF-8 JSON that `plan_from_json` reads."""
    return _ADAPTER.dump_json(plan)


def plan_from_json(data: bytes) -> Plan:
    """Raises ValueError where the bytes are not a plan."""
    return _ADAPTER.validate_json(data)
