"""A case: frames one after the other, and what every target has to say about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from abi.gen.reasons import Reason

ETHERNET = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01")
NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Step:
    """One frame. Scapy packets are built; bytes are sent as they are."""

    packet: Any
    reason: Reason
    port: int = 0
    """Destination port after the rewrite; 0 where nothing is steered."""
    expect: Any = None
    """The frame as it goes on, where setting the port and building the checksum anew does not say it."""
    clock_s: float = 0.0

    @property
    def frame(self) -> bytes:
        """What comes from the wire."""
        return bytes(self.packet)

    @property
    def clock_ns(self) -> int:
        """When."""
        return int(self.clock_s * NS_PER_S)

    @property
    def frame_after(self) -> bytes:
        """What goes on; empty where it is dropped. Scapy builds it, not our own arithmetic."""
        if self.reason > 9:
            return b""
        if self.expect is not None:
            return bytes(self.expect)
        if not self.port:
            return self.frame
        packet = self.packet.copy()
        transport = packet.getlayer(TCP) or packet.getlayer(UDP)
        transport.dport = self.port
        del transport.chksum
        return bytes(packet)


@dataclass(frozen=True)
class Reload:
    """A new configuration (text of tests/packets/config.py's kind) between two frames; state outlives it."""

    text: str


@dataclass(frozen=True)
class Case:
    """`needs`: flow (first-packet pinning: XDP and the model), clock (tokens come back), reload. The steps of a case
    may run after those of any other on one target, but where `alone` says that it wants a fresh one."""

    name: str
    steps: tuple[Step | Reload, ...]
    needs: frozenset[str] = frozenset()
    alone: bool = False
    config: str | None = None
    """Configuration of its own; only with `alone`."""


def one(name: str, packet: Any, reason: Reason, port: int = 0, expect: Any = None) -> Case:
    """A case of one frame."""
    return Case(name, (Step(packet, reason, port, expect),))


@dataclass(frozen=True)
class Family:
    """IPv4 or IPv6: everything that is tested for one is tested for the other."""

    name: str
    layer: Any
    vip_prefix: str
    client_prefix: str

    def vip(self, number: int) -> str:
        """Address of the services in config.py."""
        return f"{self.vip_prefix}{number}"

    def client(self, number: int) -> str:
        """Address of a client; `number` up to 255."""
        return f"{self.client_prefix}{number if self.name == 'ipv4' else format(number, 'x')}"

    def ip(self, vip: int, client: int = 1, **fields: Any) -> Any:
        """Ethernet and IP from a client to a VIP address."""
        return ETHERNET / self.layer(**({"src": self.client(client), "dst": self.vip(vip)} | fields))

    def tcp(self, vip: int, client: int = 1, port: int = 443, flags: str = "A", sport: int = 40000) -> Any:
        """A TCP segment without payload."""
        return self.ip(vip, client) / TCP(sport=sport, dport=port, flags=flags)

    def udp(self, vip: int, client: int = 1, port: int = 443, sport: int = 40000) -> Any:
        """A UDP datagram with four bytes."""
        return self.ip(vip, client) / UDP(sport=sport, dport=port) / b"ping"


IPV4 = Family("ipv4", IP, "192.0.2.", "198.51.100.")
IPV6 = Family("ipv6", IPv6, "2001:db8::", "2001:db8:c1::")
FAMILIES = (IPV4, IPV6)
