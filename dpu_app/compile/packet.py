"""Compiles the packet stage: names become ids that stay, shares become buckets that move as little as they can."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from abi.gen.packet import SERVICES_MAX, STEER_BUCKETS
from abi.gen.reasons import Reason
from dpu_app.compile.buckets import buckets, from_bytes, to_bytes
from dpu_app.model.packet import Bucket, Flows, Meter, Packet, Steer
from dpu_app.model.part import duration_ms
from dpu_app.model.plan_packet import (
    PlanAcl,
    PlanBucket,
    PlanFlows,
    PlanGroup,
    PlanMeter,
    PlanPacket,
    PlanService,
    PlanSteer,
    PlanTables,
    PlanVip,
)

PROTOCOLS = {"tcp": 6, "udp": 17}
Key = TypeVar("Key")


def packet(desired: Packet | None, previous: PlanPacket | None) -> PlanPacket | None:
    """The packet stage's part of a plan, if there is one. `previous` keeps ids and buckets where they were."""
    if desired is None:
        return None
    before = {item.name: item.id for item in previous.services} if previous else {}
    services = ids(dict.fromkeys(vip.service for vip in desired.vips), before, SERVICES_MAX - 1)
    return PlanPacket(
        interface=desired.interface,
        mode=desired.mode,
        programmed_by=desired.programmed_by,
        services=tuple(PlanService(number, name) for name, number in services.items()),
        tables=tables(desired, services, previous.tables if previous else PlanTables()),
        flows=flows(desired.flows),
    )


def ids(names: Iterable[Key], before: dict[Key, int], last: int) -> dict[Key, int]:
    """A number from 1 to `last` for each name: the one that it had before, else the lowest that nobody has or had."""
    wanted = list(names)
    kept = {name: before[name] for name in wanted if name in before}
    had = set(before.values())
    free = [number for number in range(1, last + 1) if number not in had]
    # A number that was given up is taken again only when there is no other.
    free += sorted(had - set(kept.values()))
    numbers = iter(free)
    return {name: kept[name] if name in kept else next(numbers) for name in wanted}


def tables(desired: Packet, services: dict[str, int], previous: PlanTables) -> PlanTables:
    """The tables of one bank."""
    groups = group_ids(desired, services, previous)
    bases = cell_bases(desired, services, previous)
    return PlanTables(
        vips=tuple(PlanVip(services[v.service], v.address, PROTOCOLS[v.protocol], v.port) for v in desired.vips),
        acl=tuple(
            PlanAcl(services[a.service], a.source, a.port or 0, Reason[a.reason.upper()] if a.action == "deny" else 0)
            for a in desired.acl
        ),
        meters=tuple(
            meter(item, services[item.service], bases[services[item.service]], desired.meter_cells)
            for item in desired.meters
        ),
        steer=tuple(steer(item, services[item.service], groups, previous) for item in desired.steer),
    )


def group_ids(desired: Packet, services: dict[str, int], previous: PlanTables) -> dict[tuple[int, str], int]:
    """(service id, group) -> id."""
    before = {(old.service, group.name): group.id for old in previous.steer for group in old.groups}
    names = [(services[item.service], group.name) for item in desired.steer for group in item.groups]
    return ids(names, before, len(before) + len(names))


def cell_bases(desired: Packet, services: dict[str, int], previous: PlanTables) -> dict[int, int]:
    """Service id -> its first cell; a service keeps its cells, and with them what its meters know."""
    same_size = [old for old in previous.meters if old.cells == desired.meter_cells]
    before = {old.service: old.cell_base // old.cells + 1 for old in same_size}
    metered = [services[item.service] for item in desired.meters]
    last = max(len(metered), *before.values(), 0) if before else len(metered)
    return {service: (place - 1) * desired.meter_cells for service, place in ids(metered, before, last).items()}


def meter(item: Meter, service: int, cell_base: int, cells: int) -> PlanMeter:
    """The meters of one service."""
    return PlanMeter(
        service=service,
        ipv4_prefix_length=item.ipv4_prefix_length,
        ipv6_prefix_length=item.ipv6_prefix_length,
        cell_base=cell_base,
        cells=cells,
        source_packets=bucket(item.per_source.packets),
        source_bytes=bucket(item.per_source.bytes),
        source_connections=bucket(item.per_source.connections),
        service_packets=bucket(item.per_service.packets),
        service_bytes=bucket(item.per_service.bytes),
        service_connections=bucket(item.per_service.connections),
    )


def bucket(item: Bucket | None) -> PlanBucket | None:
    """One token bucket, if there is one."""
    return PlanBucket(item.per_s, item.burst) if item else None


def steer(item: Steer, service: int, groups: dict[tuple[int, str], int], previous: PlanTables) -> PlanSteer:
    """The buckets of one service; they move as little as they can from those of the previous plan."""
    names = [group.name for group in item.groups]
    shares = whole_buckets({group.name: int(group.weight_percent * 100) for group in item.groups})
    before = next((old for old in previous.steer if old.service == service), None)
    layout = from_bytes(before.buckets, [old.name for old in before.groups], STEER_BUCKETS) if before else None
    return PlanSteer(
        service=service,
        groups=tuple(PlanGroup(groups[service, group.name], group.name, group.port) for group in item.groups),
        buckets=to_bytes(buckets(layout, shares), names),
    )


def whole_buckets(weights: dict[str, int]) -> dict[str, int]:
    """Shares in 0.01 % as whole buckets, STEER_BUCKETS in all: the largest remainders get what is left.

    A group with a share above zero has at least one bucket.
    """
    exact = {name: weight * STEER_BUCKETS for name, weight in weights.items()}
    counts = {name: max(part // 10_000, 1 if part else 0) for name, part in exact.items()}
    by_remainder = sorted(exact, key=lambda name: exact[name] - counts[name] * 10_000, reverse=True)
    for name in by_remainder[: max(STEER_BUCKETS - sum(counts.values()), 0)]:
        counts[name] += 1
    for _ in range(sum(counts.values()) - STEER_BUCKETS):
        counts[max(counts, key=lambda name: counts[name])] -= 1
    return counts


def flows(item: Flows) -> PlanFlows:
    """The flow table, times in milliseconds."""
    return PlanFlows(
        entries_max=item.entries_max,
        idle_timeout_ms=duration_ms(item.idle_timeout),
        closing_timeout_ms=duration_ms(item.closing_timeout),
        unconfirmed_timeout_ms=duration_ms(item.unconfirmed_timeout),
        records_bytes_max=item.records_bytes_max,
    )
