"""Compiles a desired state to a plan. The previous plan comes in as an argument; nothing is read or remembered."""

from __future__ import annotations

import os.path
from dataclasses import fields, replace
from typing import TypeVar

from dpu_app.compile.buckets import buckets, from_bytes, to_bytes
from dpu_app.compile.packet import packet
from dpu_app.model.credentials import Jwt
from dpu_app.model.desired import Desired
from dpu_app.model.limits import TokenRate
from dpu_app.model.listeners import Listener
from dpu_app.model.models import Arm, Model
from dpu_app.model.part import Part, duration_ms
from dpu_app.model.plan import (
    Plan,
    PlanArm,
    PlanCertificate,
    PlanJwt,
    PlanLimits,
    PlanListener,
    PlanModel,
    PlanQueue,
    PlanRate,
    PlanSteering,
    PlanTenant,
    PlanTokenRate,
    PlanWorker,
)
from dpu_app.model.steering import Steering
from dpu_app.model.tenants import Tenant
from dpu_app.model.workers import Worker

Entry = TypeVar("Entry", PlanLimits, PlanQueue)


def compile_plan(desired: Desired, folder: str, revision: int, previous: Plan, epoch_floor: int = 0) -> Plan:
    """The plan of a checked desired state. File names start at `folder` and become absolute.

    The epoch is the previous one where the content is the same; else it is one above the previous one and above
    `epoch_floor`, the highest that any target has seen.
    """
    plan = Plan(
        revision=revision,
        epoch=previous.epoch,
        listeners=tuple(listener(item, folder) for item in desired.listeners),
        tenants=tuple(tenant(item, folder, desired.limits.grant_tokens_min) for item in desired.tenants),
        models=tuple(model(item, previous) for item in desired.models),
        workers=tuple(worker(item) for item in desired.workers),
        worker_key_file=absolute(desired.worker_key_file, folder),
        queue=by_name(PlanQueue, desired.queue),
        steering=steering(desired.steering),
        token_rate=token_rate(desired.limits.token_rate),
        token_cache_entries_max=desired.identity.token_cache_entries_max,
        worker_key_previous_file=previous_key(desired, folder),
        series_max=desired.telemetry.series_max,
        packet=packet(desired.packet, previous.packet),
    )
    if plan.same_content(previous) and previous.epoch > 0:
        return plan
    return replace(plan, epoch=max(previous.epoch, epoch_floor) + 1)


def absolute(name: str, folder: str) -> str:
    """A file name that means the same from everywhere."""
    return os.path.normpath(os.path.join(folder, name))


def pairs(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Labels in an order that does not depend on how they were written."""
    return tuple(sorted(labels.items()))


def worker(item: Worker) -> PlanWorker:
    """One worker."""
    return PlanWorker(
        name=item.name,
        address=item.address,
        labels=pairs(item.labels),
        requests_max=item.requests_max or 0,
        stream_window_bytes=item.stream_window_bytes,
    )


def previous_key(desired: Desired, folder: str) -> str:
    """The key that is accepted beside the present one; empty where there is none."""
    return absolute(desired.worker_key_previous_file, folder) if desired.worker_key_previous_file else ""


def listener(item: Listener, folder: str) -> PlanListener:
    """One listener."""
    certificates = tuple(
        PlanCertificate(
            server_names=certificate.server_names,
            certificate_file=absolute(certificate.certificate_file, folder),
            private_key_file=absolute(certificate.private_key_file, folder),
        )
        for certificate in item.certificates
    )
    return PlanListener(
        name=item.name,
        address=item.address,
        certificates=certificates,
        limits=by_name(PlanLimits, item.limits),
        tls_min_version=item.tls.min_version,
        client_certificates=item.client_certificates,
        client_ca_files=tuple(absolute(name, folder) for name in item.client_ca_files),
        client_crl_files=tuple(absolute(name, folder) for name in item.client_crl_files),
    )


def by_name(kind: type[Entry], item: Part) -> Entry:
    """The entry of a plan that has the fields of `item`, its times in milliseconds (`idle_timeout_ms`)."""
    values = {}
    for field in fields(kind):
        name = field.name.removesuffix("_ms")
        value = getattr(item, name)
        values[field.name] = value if name == field.name else duration_ms(value)
    return kind(**values)


def tenant(item: Tenant, folder: str, grant_tokens_min: int) -> PlanTenant:
    """One tenant; a limit that does not apply is None or 0. `grant_tokens_min` is the one for all."""
    rate = item.limits.request_rate
    return PlanTenant(
        name=item.name,
        keys=tuple(key.removeprefix("sha256:") for key in item.keys),
        models=item.models,
        request_rate=PlanRate(rate.requests, duration_ms(rate.per), rate.burst or rate.requests) if rate else None,
        concurrency_max=item.limits.concurrency_max or 0,
        priority=item.priority,
        arm_override=item.arm_override,
        queue_weight=item.queue_weight,
        token_rate=token_rate(item.limits.token_rate),
        grant_tokens_min=item.limits.grant_tokens_min or grant_tokens_min,
        client_certificates=tuple(match.kind_and_text() for match in item.client_certificates),
        jwt=tuple(token(entry, folder) for entry in item.jwt),
    )


def token(item: Jwt, folder: str) -> PlanJwt:
    """One issuer's tokens."""
    return PlanJwt(
        issuer=item.issuer,
        audience=item.audience,
        jwks_file=absolute(item.jwks_file, folder),
        claims=pairs(item.claims),
        algorithms=tuple(sorted(set(item.algorithms))),
        leeway_ms=duration_ms(item.leeway),
    )


def token_rate(item: TokenRate | None) -> PlanTokenRate | None:
    """One token bucket, if there is one."""
    return PlanTokenRate(item.tokens, duration_ms(item.per), item.burst or item.tokens) if item else None


def model(item: Model, previous: Plan) -> PlanModel:
    """One model; its buckets move as little as they can from those of the previous plan."""
    names = [arm.name for arm in item.arms]
    weights = {arm.name: int(arm.weight_percent * 100) for arm in item.arms}
    before = next((old for old in previous.models if old.name == item.name), None)
    layout = from_bytes(before.buckets, [old.name for old in before.arms]) if before else None
    arms = tuple(plan_arm(arm, item.name) for arm in item.arms)
    list_of_buckets = to_bytes(buckets(layout, weights), names)
    return PlanModel(item.name, item.aliases, arms, list_of_buckets, token_rate=token_rate(item.limits.token_rate))


def plan_arm(item: Arm, model_name: str) -> PlanArm:
    """One arm."""
    return PlanArm(
        name=item.name,
        weight=int(item.weight_percent * 100),
        engine_model=item.engine_model or model_name,
        worker_labels=pairs(item.worker_labels),
        max_tokens_default=item.max_tokens_default,
        max_tokens_max=item.max_tokens_max,
    )


def steering(item: Steering) -> PlanSteering:
    """The choice of workers with times in milliseconds."""
    return PlanSteering(
        conversation_id_bytes_max=item.conversation_id_bytes_max,
        warm_entries_max=item.warm.entries_max,
        warm_ttl_ms=duration_ms(item.warm.ttl),
        warm_lead_tokens_max=item.warm.lead_tokens_max,
        slow_start_ms=duration_ms(item.slow_start) if item.slow_start else 0,
        breaker_failures=item.breaker.failures,
        breaker_ratio_percent=item.breaker.ratio_percent,
        breaker_requests_min=item.breaker.requests_min,
        breaker_window_ms=duration_ms(item.breaker.window),
        breaker_open_min_ms=duration_ms(item.breaker.open_min),
        breaker_open_max_ms=duration_ms(item.breaker.open_max),
    )
