"""A plan as the fast path is told it: `dpu_proto/fastpath/v1/fastpath.proto`. Pure.

Plan and message have the same field names on purpose: what has the same form in both is copied by name, and a test
compares the names.
"""

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
    return pb.Worker(**asdict(item) | {"labels": dict(item.labels)})


def listener(item: PlanListener) -> pb.Listener:
    """One listener."""
    return pb.Listener(
        tls_min_version=item.tls_min_version,
        client_certificates=pb.ClientCertificates.Value(f"CLIENT_CERTIFICATES_{item.client_certificates.upper()}"),
        client_ca_files=item.client_ca_files,
        client_crl_files=item.client_crl_files,
        name=item.name,
        address=item.address,
        certificates=[pb.Certificate(**asdict(certificate)) for certificate in item.certificates],
        limits=pb.Limits(**asdict(item.limits)),
    )


def tenant(item: PlanTenant) -> pb.Tenant:
    """One tenant."""
    return pb.Tenant(
        name=item.name,
        key_sha256=[bytes.fromhex(key) for key in item.keys],
        models=item.models,
        request_rate=pb.RequestRate(**asdict(item.request_rate)) if item.request_rate else None,
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
    return pb.Jwt(**asdict(item) | {"claims": dict(item.claims)})


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
    return pb.TokenRate(**asdict(item)) if item else None


def arm(item: PlanArm) -> pb.Arm:
    """One arm."""
    return pb.Arm(**asdict(item) | {"worker_labels": dict(item.worker_labels)})
