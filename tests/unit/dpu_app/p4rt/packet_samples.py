"""Packet tables that tests start from: each kind of entry once, and random ones."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from hypothesis import strategies as st

from abi.gen.reasons import Reason
from dpu_app.model.plan import Plan
from dpu_app.model.plan_packet import (
    NO_GROUP,
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

DENIED = int(Reason.ACL_DENIED)
BUCKETS = bytes([0] * 1000 + [1] * 23 + [NO_GROUP])
FLOWS = PlanFlows(65_536, 300_000, 10_000, 5_000, 1_048_576)
TABLES = PlanTables(
    vips=(PlanVip(1, "192.0.2.10", 6, 443), PlanVip(1, "2001:db8::10", 6, 443), PlanVip(2, "192.0.2.10", 17, 53)),
    acl=(
        PlanAcl(1, "198.51.100.0/24", 0, DENIED),
        PlanAcl(1, "198.51.100.7/32", 443, 0),
        PlanAcl(1, "2001:db8:bad::/48", 0, int(Reason.ACL_ABUSE)),
    ),
    meters=(
        PlanMeter(
            1,
            ipv4_prefix_length=32,
            ipv6_prefix_length=64,
            cell_base=0,
            cells=16,
            source_packets=PlanBucket(0, 5),
            service_bytes=PlanBucket(1_000_000, 2_000_000),
        ),
    ),
    steer=(PlanSteer(1, (PlanGroup(1, "stable", 8443), PlanGroup(2, "canary", 9443)), BUCKETS),),
)


def packet(tables: PlanTables = TABLES, programmed_by: str = "agent") -> PlanPacket:
    """The packet part of a plan."""
    services = (PlanService(1, "chat"), PlanService(2, "names"))
    return PlanPacket("eth0", "auto", programmed_by, services, tables, FLOWS)


def packet_plan(tables: PlanTables = TABLES, revision: int = 1, epoch: int = 1) -> Plan:
    """A plan with packet tables alone."""
    return Plan(revision=revision, epoch=epoch, packet=packet(tables))


def with_acl(*acl: PlanAcl) -> PlanTables:
    """TABLES with another ACL."""
    return replace(TABLES, acl=acl)


ipv4_prefixes = st.builds(
    lambda value, length: str(ipaddress.ip_network((value, length), strict=False)),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, 32),
)
ipv6_prefixes = st.builds(
    lambda value, length: str(ipaddress.ip_network((value, length), strict=False)),
    st.sampled_from([0, 0x20010DB8 << 96, 0xFFFF << 32]) | st.integers(0, (1 << 128) - 1),
    st.integers(0, 128),
)
acls = st.lists(
    st.builds(
        PlanAcl,
        service=st.integers(1, 3),
        source=ipv4_prefixes | ipv6_prefixes | st.sampled_from(["0.0.0.0/0", "::/0"]),
        port=st.sampled_from([0, 53, 443]),
        deny=st.sampled_from([0, DENIED]),
    ),
    max_size=12,
    unique_by=lambda item: (item.service, item.source, item.port),
).map(tuple)
