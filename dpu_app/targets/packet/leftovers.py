"""What plans before left behind: flows of services that are no more, ways back that nobody needs."""

from __future__ import annotations

from collections.abc import Collection

from dpu_app.model.plan_packet import PlanPacket
from dpu_app.targets.packet.ageing import FlowAger
from dpu_app.targets.packet.maps import Maps


def end_flows_of_removed_services(ager: FlowAger, before: PlanPacket | None, now: PlanPacket) -> int:
    """Ends flows of services that the plan no longer has; how many. Without `before` all flows are looked at."""
    services = {vip.service for vip in now.tables.vips}
    if before is not None and {vip.service for vip in before.tables.vips} <= services:
        return 0
    return ager.keep_services(services)


def drop_ways_back(maps: Maps, ager: FlowAger, needed: Collection[bytes]) -> int:
    """Removes ways back that neither the tables nor a pinned flow needs; how many."""
    stale = [key for key, _ in maps["reverse"].items() if key not in needed]
    if not stale:
        return 0
    pinned = ager.ports()
    unused = [key for key in stale if (key[:16], key[18], key[16:18]) not in pinned]
    for key in unused:
        maps["reverse"].delete(key)
    return len(unused)
