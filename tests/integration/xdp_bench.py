"""The XDP target on a veth pair in namespaces of its own: programmed, asked about frames, looked into."""

from __future__ import annotations

import ctypes
import ipaddress
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet as Frame
from scapy.packet import Raw

from abi.gen.packet import STEER_BUCKETS, FlowKey, FlowValue
from abi.gen.reasons import Reason
from deploy.local import netns
from deploy.local.namespaces import Names, Network
from dpu_app.compile.packet import packet as compiled
from dpu_app.model.packet import Packet
from dpu_app.model.plan import EMPTY_PLAN, Plan
from dpu_app.targets.packet import attach, bpf
from dpu_app.targets.packet.generation import Generation
from dpu_app.targets.packet.keys import packed
from dpu_app.targets.packet.maps import Maps
from dpu_app.targets.packet.target import XdpOptions, XdpTarget

PROG_LOAD = 5
PROG_TYPE_XDP = 6
XDP_PASS_PROGRAM = bytes.fromhex("b7000000020000009500000000000000")
"""r0 = XDP_PASS; exit."""
VIP = {4: "192.0.2.10", 6: "2001:db8:a::10"}
CLIENT = {4: "192.0.2.100", 6: "2001:db8:a::100"}
BLUE, GREEN = 8443, 8444
NOISE = {"packet_icmp", "packet_not_ip"}
"""What the kernel itself sends on a new link."""
SIZES = {"flows": 1_024, "pending": 1_024, "records": 4_096}


def section(interface: str, green: int = 0, **more: Any) -> dict[str, Any]:
    """A packet section: TCP and UDP VIPs of both families, two groups each, an ACL, the smallest tables."""
    vips = [
        {"service": service, "address": address, "protocol": protocol, "port": 443}
        for service, protocol in (("https", "tcp"), ("quic", "udp"))
        for address in VIP.values()
    ]
    groups = [
        {"name": "blue", "port": BLUE, "weight_percent": 100 - green},
        {"name": "green", "port": GREEN, "weight_percent": green},
    ]
    acl = [
        {"service": "https", "source": source, "action": "deny"} for source in ("203.0.113.0/24", "2001:db8:bad::/48")
    ]
    return {
        "interface": interface,
        "vips": vips,
        "acl": acl,
        "steer": [{"service": service, "groups": groups} for service in ("https", "quic")],
        "flows": {"entries_max": SIZES["flows"], "records_bytes_max": SIZES["records"]},
        **more,
    }


class Bench:
    """One DPU with its uplink, and an agent's target on it. `inside` where the target is used."""

    def __init__(self, folder: Path) -> None:
        self.network = Network(Names.of(folder), list(VIP.values()))
        self.network.build()
        self.options = XdpOptions()
        self.plan = EMPTY_PLAN
        with self.inside():
            self.target = XdpTarget()

    @property
    def uplink(self) -> str:
        """The interface of the packet stage."""
        return self.network.names.uplink

    def inside(self) -> AbstractContextManager[None]:
        """In the DPU's namespace."""
        return netns.inside(self.network.names.dpu)

    def planned(self, green: int = 0, **more: Any) -> Plan:
        """The plan after the one in force."""
        desired = Packet.model_validate(section(self.uplink, green, **more))
        number = self.plan.epoch + 1
        return Plan(revision=number, epoch=number, packet=compiled(desired, self.plan.packet))

    def program(self, green: int = 0, **more: Any) -> Plan:
        """Brings such a plan into force."""
        plan = self.planned(green, **more)
        with self.inside():
            self.target.apply(plan)
        self.plan = plan
        return plan

    def restart_agent(self) -> XdpTarget:
        """The agent dies and another one comes; its notes are those of the one before."""
        self.target.close()
        with self.inside():
            self.target = XdpTarget(self.options, self.plan)
        return self.target

    @property
    def generation(self) -> Generation:
        """What is in force."""
        assert self.target.generation is not None
        return self.target.generation

    @property
    def maps(self) -> Maps:
        """The maps in force."""
        return self.generation.maps

    @property
    def ifindex(self) -> int:
        """Of the uplink."""
        with self.inside():
            return attach.interface_index(self.uplink)

    def attached(self) -> attach.Attached:
        """The XDP program on the uplink, by netlink."""
        with self.inside():
            return attach.attached(self.ifindex)

    def flows(self) -> dict[FlowKey, FlowValue]:
        """The flow table."""
        return {FlowKey.unpack(key): FlowValue.unpack(value) for key, value in self.maps["flow"].items()}

    def ask(self, frame: Frame) -> tuple[str, Frame]:
        """Runs the ingress program over a frame: the reason, and the frame after."""
        before = self.maps.reasons()
        run = bpf.test_run(self.generation.program_fd("ingress"), bytes(frame))
        after = self.maps.reasons()
        moved = [
            Reason(number).name.lower()
            for number, counter in after.items()
            if counter.packets != (before[number].packets if number in before else 0)
        ]
        (reason,) = [name for name in moved if name not in NOISE] or moved
        return reason, Ether(run.data)

    def push(self, frame: Frame) -> None:
        """Runs the ingress program over a frame; quicker than to ask."""
        bpf.test_run(self.generation.program_fd("ingress"), bytes(frame))

    def answer(self, frame: Frame) -> Frame:
        """Runs the egress program over a frame of our own stack: the frame as it leaves."""
        return Ether(bpf.test_run(self.generation.program_fd("egress"), bytes(frame)).data)

    def forget_flows(self) -> None:
        """Empties the flow table and the ring of records."""
        for name in ("flow", "flow_pending"):
            for key, _ in list(self.maps[name].items()):
                self.maps[name].delete(key)
        while self.target.records_read():
            pass

    def close(self) -> None:
        """Leaves nothing."""
        self.target.close()
        self.network.remove()


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """One that is programmed."""
    made = Bench(folder)
    try:
        made.program()
        yield made
    finally:
        made.close()


def ip(family: int, source: str, destination: str) -> Frame:
    """Ethernet and IP."""
    layer = IP if family == 4 else IPv6
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / layer(src=source, dst=destination)


def tcp(family: int, port: int, flags: str, source: str = "") -> Frame:
    """From a client to the VIP."""
    return ip(family, source or CLIENT[family], VIP[family]) / TCP(sport=port, dport=443, flags=flags)


def udp(family: int, port: int, text: bytes = b"hello") -> Frame:
    """From a client to the VIP."""
    return ip(family, CLIENT[family], VIP[family]) / UDP(sport=port, dport=443) / Raw(text)


def tcp_back(family: int, group_port: int, port: int, flags: str) -> Frame:
    """What our stack sends from a group's port."""
    return ip(family, VIP[family], CLIENT[family]) / TCP(sport=group_port, dport=port, flags=flags)


def udp_back(family: int, group_port: int, port: int) -> Frame:
    """What our stack sends from a group's port."""
    return ip(family, VIP[family], CLIENT[family]) / UDP(sport=group_port, dport=port) / Raw(b"answer")


def checksum_is_good(frame: Frame) -> bool:
    """By Scapy's own sum over a copy of the frame."""
    layer = TCP if TCP in frame else UDP
    copy = frame.copy()
    written = copy[layer].chksum
    del copy[layer].chksum
    return bool(Ether(bytes(copy))[layer].chksum == written)


def key_of(family: int, port: int, protocol: int = 6) -> FlowKey:
    """The flow's key of `tcp` or `udp`."""
    return FlowKey(packed(CLIENT[family]), packed(VIP[family]), port, 443, protocol)


def bucket_of(family: int, port: int) -> int:
    """docs/stages/packet.md, "flow and steer", by zlib."""
    addresses = [ipaddress.ip_address(text).packed for text in (CLIENT[family], VIP[family])]
    return zlib.crc32(b"".join(addresses) + port.to_bytes(2, "big") + (443).to_bytes(2, "big")) % STEER_BUCKETS


def foreign_program() -> int:
    """The descriptor of an XDP program that is not ours and lets everything through."""
    code = ctypes.create_string_buffer(XDP_PASS_PROGRAM, len(XDP_PASS_PROGRAM))
    licence = ctypes.create_string_buffer(b"GPL")
    attr = bpf.attributes("=IIQQ", PROG_TYPE_XDP, len(code) // 8, bpf.address(code), bpf.address(licence))
    return bpf.call(PROG_LOAD, attr, "loading a program")


def set_by_netlink(ifindex: int, program_fd: int) -> None:
    """Attaches without a link, as `ip link set xdp` does; -1 detaches."""
    with attach.netlink() as route:
        route.link("set", index=ifindex, xdp_fd=program_fd)


Tamper = Callable[[Bench], object]
