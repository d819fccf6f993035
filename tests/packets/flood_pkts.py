"""Frames of a flood on the VIPs of deploy/config/packet.yaml, by what the packet stage has against them."""

from __future__ import annotations

import random
from collections.abc import Callable

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

VIP4, VIP6 = "192.0.2.10", "2001:db8:a::10"
SOURCE_MAC = "02:00:00:00:00:66"
Make = Callable[[random.Random], Packet]


def forged4(dice: random.Random) -> IP:
    """From anywhere in TEST-NET-2: one sender to the meters, many to the flow table."""
    return IP(src=f"198.51.100.{dice.randrange(1, 255)}", dst=VIP4)


def forged6(dice: random.Random) -> IPv6:
    """From anywhere in one /64."""
    return IPv6(src=f"2001:db8:f::{dice.randrange(1, 65536):x}", dst=VIP6)


def syn(dice: random.Random) -> TCP:
    """Another connection each time."""
    return TCP(sport=dice.randrange(1024, 65536), dport=443, flags="S", seq=dice.randrange(1 << 32))


def datagram(dice: random.Random) -> UDP:
    """As long as a QUIC Initial has to be."""
    return UDP(sport=dice.randrange(1024, 65536), dport=443) / Raw(bytes(1200))


MAKERS: dict[str, Make] = {
    "syn4": lambda dice: forged4(dice) / syn(dice),
    "syn6": lambda dice: forged6(dice) / syn(dice),
    "udp4": lambda dice: forged4(dice) / datagram(dice),
    "udp6": lambda dice: forged6(dice) / datagram(dice),
    "fragment4": lambda dice: IP(src="198.51.100.9", dst=VIP4, flags="MF", id=dice.randrange(65536)) / syn(dice),
    "fragment6": lambda dice: forged6(dice) / IPv6ExtHdrFragment(m=1, id=dice.randrange(1 << 32)) / syn(dice),
    "denied4": lambda dice: IP(src=f"203.0.113.{dice.randrange(1, 255)}", dst=VIP4) / syn(dice),
    "denied6": lambda dice: IPv6(src=f"2001:db8:bad::{dice.randrange(1, 65536):x}", dst=VIP6) / syn(dice),
}


def frames(kind: str, mac: str, count: int, seed: int = 1) -> list[bytes]:
    """Different frames of one kind to the interface with this address; the same ones for the same seed."""
    dice = random.Random(seed)
    return [bytes(Ether(src=SOURCE_MAC, dst=mac) / MAKERS[kind](dice)) for _ in range(count)]


def broken_checksum(mac: str, port: int) -> bytes:
    """A SYN whose TCP checksum is one bit off."""
    whole = IP(src="192.0.2.100", dst=VIP4) / TCP(sport=port, dport=443, flags="S")
    good = TCP(bytes(whole)[20:]).chksum
    return bytes(
        Ether(src=SOURCE_MAC, dst=mac)
        / IP(src="192.0.2.100", dst=VIP4)
        / TCP(sport=port, dport=443, flags="S", chksum=good ^ 1)
    )
