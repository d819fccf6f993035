"""What a plan would program, as tables for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dpu_app.compile.summary_packet import acl_rows, meter_rows, steer_rows, vip_rows
from dpu_app.model.plan import Plan, PlanModel, PlanTenant


@dataclass(frozen=True)
class Table:
    """Rows of text under column names."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(plan: Plan) -> tuple[Table, ...]:
    """One table per part of the plan."""
    listeners = tuple(
        (item.name, item.address, ", ".join(name for c in item.certificates for name in c.server_names))
        for item in plan.listeners
    )
    workers = tuple((item.name, item.address, labels(item.labels)) for item in plan.workers)
    return (
        *packet_tables(plan),
        Table("listeners", ("name", "address", "server names"), listeners),
        Table("tenants", ("name", "models", "requests", "at once", "keys"), tuple(map(tenant, plan.tenants))),
        Table(
            "models",
            ("model", "aliases", "arm", "share", "buckets", "engine model", "workers"),
            tuple(row for item in plan.models for row in arms(item, plan)),
        ),
        Table("token limits", ("of", "name", "tokens", "burst"), tuple(token_limits(plan))),
        Table("workers", ("name", "address", "labels"), workers),
    )


def packet_tables(plan: Plan) -> tuple[Table, ...]:
    """Those of the packet stage, where there is one."""
    if plan.packet is None:
        return ()
    packet, groups = plan.packet, ("service", "group", "id", "port", "buckets of 1024")
    return (
        Table(f"VIPs on {packet.interface}", ("service", "address", "protocol", "port", "to"), tuple(vip_rows(packet))),
        Table("ACL", ("service", "source", "port", "what"), tuple(acl_rows(packet))),
        Table("meters", ("service", "of", "tokens", "per s", "burst"), tuple(meter_rows(packet))),
        Table("listener groups", groups, tuple(steer_rows(packet))),
    )


def tenant(item: PlanTenant) -> tuple[str, ...]:
    """One row."""
    rate = item.request_rate
    speed = f"{rate.requests} per {rate.interval_ms / 1000:g} s, burst {rate.burst}" if rate else "no limit"
    at_once = str(item.concurrency_max or "no limit")
    return (item.name, ", ".join(item.models), speed, at_once, str(len(item.keys)))


def token_limits(plan: Plan) -> Iterator[tuple[str, ...]]:
    """A row for each token bucket, in the order in which they are asked."""
    tenants = [("tenant", item.name, item.token_rate) for item in plan.tenants]
    models = [("model", item.name, item.token_rate) for item in plan.models]
    for scope, name, rate in [*tenants, *models, ("all", "-", plan.token_rate)]:
        if rate:
            yield (scope, name, f"{rate.tokens} per {rate.interval_ms / 1000:g} s", str(rate.burst))


def arms(item: PlanModel, plan: Plan) -> list[tuple[str, ...]]:
    """A row per arm."""
    return [
        (
            item.name,
            ", ".join(item.aliases) or "-",
            arm.name,
            f"{arm.weight / 100:g} %",
            str(item.buckets.count(index)),
            arm.engine_model,
            ", ".join(worker.name for worker in plan.workers if set(arm.worker_labels) <= set(worker.labels)),
        )
        for index, arm in enumerate(item.arms)
    ]


def labels(pairs: tuple[tuple[str, str], ...]) -> str:
    """`key=value` pairs."""
    return ", ".join(f"{key}={value}" for key, value in pairs) or "-"
