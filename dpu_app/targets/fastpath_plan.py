"""A plan as the fast path is told it: `dpu_proto/fastpath/v1/fastpath.proto`. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

from dpu_app.model.plan import Plan, PlanArm, PlanJwt, PlanListener, PlanModel, PlanTenant, PlanTokenRate, PlanWorker
from dpu_proto.fastpath.v1 import fastpath_pb2 as pb


def to_proto(plan: Plan) -> pb.Plan:
    """The plan as a message; every entry keeps its name and index, so that refusals can be found in the file."""
    return pb.Plan(
        revision=plan.revision,
        epoch=plan.epoch,
        listeners=[listener(item) for item in plan.listeners],
        tenants=[tenant(item) for item in plan.tenants],
        models=[model(item) for item in plan.models],
        workers=[worker(item) for item in plan.workers],
        worker_key_file=plan.worker_key_file,
        queue=pb.Queue(**asdict(plan.queue)),
        steering=pb.Steering(**asdict(plan.steering)),
        token_rate=token_rate(plan.token_rate),
        token_cache_entries_max=plan.token_cache_entries_max,
        worker_key_previous_file=plan.worker_key_previous_file,
        series_max=plan.series_max,
    )


def digest(plan: Plan) -> bytes:
    """SHA-256 of the deterministic serialisation: what the fast path says it has."""
    return hashlib.sha256(to_proto(plan).SerializeToString(deterministic=True)).digest()


def worker(item: PlanWorker) -> pb.Worker:
    """One worker."""
    return pb.Worker(
        name=item.name,
        address=item.address,
        labels=dict(item.labels),
        requests_max=item.requests_max,
        stream_window_bytes=item.stream_window_bytes,
    )


def listener(item: PlanListener) -> pb.Listener:
    """One listener."""
    certificates = [
        pb.Certificate(
            server_names=certificate.server_names,
            certificate_file=certificate.certificate_file,
            private_key_file=certificate.private_key_file,
        )
        for certificate in item.certificates
    ]
    limits = item.limits
    return pb.Listener(
        tls_min_version=item.tls_min_version,
        client_certificates=pb.ClientCertificates.Value(f"CLIENT_CERTIFICATES_{item.client_certificates.upper()}"),
        client_ca_files=item.client_ca_files,
        client_crl_files=item.client_crl_files,
        name=item.name,
        address=item.address,
        certificates=certificates,
        limits=pb.Limits(
            connections_max=limits.connections_max,
            head_bytes_max=limits.head_bytes_max,
            headers_max=limits.headers_max,
            body_bytes_max=limits.body_bytes_max,
            json_depth_max=limits.json_depth_max,
            handshake_timeout_ms=limits.handshake_timeout_ms,
            head_timeout_ms=limits.head_timeout_ms,
            body_timeout_ms=limits.body_timeout_ms,
            idle_timeout_ms=limits.idle_timeout_ms,
            request_timeout_ms=limits.request_timeout_ms,
            h2_streams_max=limits.h2_streams_max,
            drain_timeout_ms=limits.drain_timeout_ms,
            body_bytes_per_s_min=limits.body_bytes_per_s_min,
            body_grace_ms=limits.body_grace_ms,
            write_timeout_ms=limits.write_timeout_ms,
            requests_per_connection_max=limits.requests_per_connection_max,
            requests_running_max=limits.requests_running_max,
            pipelined_bytes_max=limits.pipelined_bytes_max,
            bodies_bytes_max=limits.bodies_bytes_max,
            h2_resets_max=limits.h2_resets_max,
            h2_errors_max=limits.h2_errors_max,
            h2_continuations_max=limits.h2_continuations_max,
            h2_control_frames_max=limits.h2_control_frames_max,
            h2_small_data_max=limits.h2_small_data_max,
        ),
    )


def tenant(item: PlanTenant) -> pb.Tenant:
    """One tenant."""
    rate = item.request_rate
    return pb.Tenant(
        name=item.name,
        key_sha256=[bytes.fromhex(key) for key in item.keys],
        models=item.models,
        request_rate=pb.RequestRate(requests=rate.requests, interval_ms=rate.interval_ms, burst=rate.burst)
        if rate
        else None,
        concurrency_max=item.concurrency_max,
        priority=item.priority,
        arm_override=item.arm_override,
        queue_weight=item.queue_weight,
        token_rate=token_rate(item.token_rate),
        grant_tokens_min=item.grant_tokens_min,
        client_certificates=[match(kind, text) for kind, text in item.client_certificates],
        jwt=[token(entry) for entry in item.jwt],
    )


def match(kind: str, text: str) -> pb.CertificateMatch:
    """One property of a client certificate."""
    found = pb.CertificateMatch()
    setattr(found, kind, bytes.fromhex(text) if kind.endswith("_sha256") else text)
    return found


def token(item: PlanJwt) -> pb.Jwt:
    """One issuer's tokens."""
    return pb.Jwt(
        issuer=item.issuer,
        audience=item.audience,
        jwks_file=item.jwks_file,
        claims=dict(item.claims),
        algorithms=item.algorithms,
        leeway_ms=item.leeway_ms,
    )


def model(item: PlanModel) -> pb.Model:
    """One model."""
    return pb.Model(
        name=item.name,
        aliases=item.aliases,
        arms=[arm(a) for a in item.arms],
        buckets=item.buckets,
        token_rate=token_rate(item.token_rate),
    )


def token_rate(item: PlanTokenRate | None) -> pb.TokenRate | None:
    """One token bucket, if there is one."""
    return pb.TokenRate(tokens=item.tokens, interval_ms=item.interval_ms, burst=item.burst) if item else None


def arm(item: PlanArm) -> pb.Arm:
    """One arm."""
    return pb.Arm(
        name=item.name,
        weight=item.weight,
        engine_model=item.engine_model,
        worker_labels=dict(item.worker_labels),
        max_tokens_default=item.max_tokens_default,
        max_tokens_max=item.max_tokens_max,
    )
