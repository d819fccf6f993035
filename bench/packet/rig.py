"""Loads the bench programs with tables of a wanted size, and times them over frames that vary."""

from __future__ import annotations

import ipaddress
import mmap
import random
import struct
from dataclasses import dataclass

from abi.gen.packet import STEER_BUCKETS
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
from dpu_app.targets.packet import bpf
from dpu_app.targets.packet.acl import acl_tables
from dpu_app.targets.packet.layout import sizes_of
from dpu_app.targets.packet.render import contents
from dpu_app.targets.packet.source import Options
from dpu_app.targets.xdp import load

PARTS = ("vip", "acl", "meter", "flow", "rewrite", "count")
"""Each does what the floor and the parser do, and its stage."""
ALL = ("floor", "parse", *PARTS, "steer", "whole")
REPEAT = 1_000_000
PLENTY = PlanBucket(per_s=10_000_000_000, burst=10_000_000_000)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One point of the table."""

    flows: int = 1
    prefixes: int = 1
    family: int = 4
    flows_max: int = 131_072
    denied: bool = False


def packet_of(setting: Setting) -> PlanPacket:
    """Tables with this many prefixes, among the senders' addresses, so that they are what a lookup walks through."""
    chosen = random.Random(setting.prefixes)
    deny = 40 if setting.denied else 0
    acl = [PlanAcl(1, "10.0.0.0/8", 0, deny), PlanAcl(1, "10.0.0.1/32", 0, deny), PlanAcl(1, "10.0.0.0/32", 0, deny)]
    acl += [PlanAcl(1, "2001:db8::/32", 0, deny)]
    for family in (4, 6):
        acl += [
            PlanAcl(1, one, 0, deny) for one in sorted({prefix(chosen, family) for _ in range(setting.prefixes - 1)})
        ]
    buckets = bytes(index % 2 for index in range(STEER_BUCKETS))
    groups = (PlanGroup(1, "blue", 8443), PlanGroup(2, "green", 8444))
    return PlanPacket(
        interface="none",
        mode="auto",
        programmed_by="agent",
        services=(PlanService(1, "chat"),),
        tables=PlanTables(
            vips=(PlanVip(1, "192.0.2.10", 6, 443), PlanVip(1, "2001:db8::10", 6, 443)),
            acl=tuple(acl),
            meters=(
                PlanMeter(1, 32, 64, 0, 65_536, source_packets=PLENTY, source_bytes=PLENTY, service_packets=PLENTY),
            ),
            steer=(PlanSteer(1, groups, buckets),),
        ),
        flows=PlanFlows(setting.flows_max, 300_000, 10_000, 5_000, 1_048_576),
    )


def prefix(chosen: random.Random, family: int) -> str:
    """A prefix of /17 to /31 or /97 to /127 around an address of the senders (10.0.0.0/16, 2001:db8::/112)."""
    number = chosen.getrandbits(16)
    if family == 4:
        return str(ipaddress.ip_network((0x0A000000 + number, chosen.randint(17, 31)), strict=False))
    return str(ipaddress.ip_network(((0x20010DB8 << 96) + number, chosen.randint(112, 127)), strict=False))


def frame(family: int, flags: int) -> bytes:
    """A TCP segment to the VIP with 20 bytes of payload; checksums are not looked at."""
    ethernet = bytes(12) + (b"\x08\x00" if family == 4 else b"\x86\xdd")
    tcp = struct.pack("!HHIIBBHHH", 40_000, 443, 1, 1, 5 << 4, flags, 65_535, 0x1234, 0) + bytes(20)
    if family == 4:
        addresses = bytes([10, 0, 0, 1]) + ipaddress.ip_address("192.0.2.10").packed
        return ethernet + struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + addresses + tcp
    addresses = ipaddress.ip_address("2001:db8::1").packed + ipaddress.ip_address("2001:db8::10").packed
    return ethernet + struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + addresses + tcp


class BenchRig:
    """Programs and maps of one setting. Close it."""

    def __init__(self, setting: Setting) -> None:
        """Raises TargetUnavailable."""
        self.setting = setting
        packet = packet_of(setting)
        acl = acl_tables(packet.tables)
        names = tuple(f"bench_{name}" for name in ALL)
        self.loaded = load(sizes_of(packet, acl), Options(), {}, names, files=("bench",), more_maps=("bench_input",))
        self.loaded.maps.write(1, contents(packet.tables, acl, 1, self.loaded.maps.sizes.max_vip_buckets))
        self.loaded.maps.flip(1, 1)
        self.input: mmap.mmap = self.loaded.maps["bench_input"].mapped()

    def close(self) -> None:
        """Lets go of all of it."""
        self.input.close()
        self.loaded.close()

    def forget_flows(self) -> None:
        """Empties the flow table."""
        for key, _ in list(self.loaded.maps["flow"].items()):
            self.loaded.maps["flow"].delete(key)

    def ns(self, program: str, repeat: int = REPEAT, *, flags: int = 0x10) -> float:
        """Mean nanoseconds a frame of `repeat` runs."""
        struct.pack_into("=QQ", self.input, 0, 0, self.setting.flows - 1)
        data = frame(self.setting.family, flags)
        return float(bpf.test_run(self.loaded.programs[f"bench_{program}"], data, repeat).duration_ns)
