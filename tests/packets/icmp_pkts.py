"""ICMP and neighbour discovery pass: without them there is no path MTU and no neighbour."""

from __future__ import annotations

from scapy.layers.inet import ICMP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6PacketTooBig,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)

from abi.gen.reasons import Reason
from tests.packets.case import IPV4, IPV6, one

PASSES = Reason.PACKET_ICMP
CASES = [
    one("ipv4-echo-to-vip", IPV4.ip(10) / ICMP() / b"ping", PASSES),
    one("ipv4-echo-elsewhere", IPV4.ip(99) / ICMP(), PASSES),
    one("ipv4-fragmentation-needed", IPV4.ip(10) / ICMP(type=3, code=4, nexthopmtu=1400) / bytes(28), PASSES),
    one("ipv4-icmp-without-a-byte", IPV4.ip(10, proto=1), PASSES),
    one("ipv4-icmp-from-the-vip-itself", IPV4.ip(10, src=IPV4.vip(10)) / ICMP(), PASSES),
    one("ipv6-echo-to-vip", IPV6.ip(10) / ICMPv6EchoRequest(data=b"ping"), PASSES),
    one("ipv6-echo-elsewhere", IPV6.ip(99) / ICMPv6EchoRequest(), PASSES),
    one("ipv6-packet-too-big", IPV6.ip(10) / ICMPv6PacketTooBig(mtu=1280) / bytes(48), PASSES),
    one("ipv6-neighbour-solicitation", IPV6.ip(10, dst="ff02::1:ff00:10") / ICMPv6ND_NS(tgt=IPV6.vip(10)), PASSES),
    one("ipv6-neighbour-advertisement", IPV6.ip(10) / ICMPv6ND_NA(tgt=IPV6.client(1)), PASSES),
    one("ipv6-router-advertisement", IPV6.ip(10, src="fe80::1", dst="ff02::1") / ICMPv6ND_RA(), PASSES),
    one("ipv6-address-detection-from-nobody", IPV6.ip(10, src="::") / ICMPv6ND_NS(tgt=IPV6.vip(10)), PASSES),
    one(
        "ipv6-multicast-report-behind-options",
        IPV6.ip(10, dst="ff02::16", nh=0) / IPv6ExtHdrHopByHop(nh=58, options=[RouterAlert()]) / bytes(8),
        PASSES,
    ),
    one("ipv6-icmp-without-a-byte", IPV6.ip(10, nh=58), PASSES),
    # Each family has its own.
    one("ipv4-icmp-of-ipv6", IPV4.ip(10, proto=58) / bytes(8), Reason.PACKET_NOT_VIP),
    one("ipv6-icmp-of-ipv4", IPV6.ip(10, nh=1) / bytes(8), Reason.PACKET_NOT_VIP),
]
