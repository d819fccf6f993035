"""IPv6: extension headers, fragments, lengths that lie, addresses that our keys use for IPv4."""

from __future__ import annotations

from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)

from abi.gen.reasons import Reason
from tests.packets.case import IPV6, one

ACK = TCP(sport=44001, dport=443, flags="A")
HOP = IPv6ExtHdrHopByHop()
OPTS = IPv6ExtHdrDestOpt()
ROUTING = IPv6ExtHdrRouting(addresses=[])
WHOLE = IPv6ExtHdrFragment()
FIRST = IPv6ExtHdrFragment(m=1)
LATER = IPv6ExtHdrFragment(offset=8191)
LONG = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(252))])
EXTENSIONS = Reason.PACKET_IP6_EXTENSIONS
FRAGMENT = Reason.PACKET_FRAGMENT
TRUNCATED = Reason.PACKET_TRUNCATED
NOT_VIP = Reason.PACKET_NOT_VIP

WALKED = {
    "hop-by-hop": HOP,
    "destination-options": OPTS,
    "routing": ROUTING,
    "routing-with-addresses": IPv6ExtHdrRouting(addresses=["2001:db8::99"], segleft=0),
    "whole-fragment": WHOLE,
    "long-options": LONG,
    "four": HOP / ROUTING / WHOLE / OPTS,
    "four-of-a-kind": OPTS / OPTS / OPTS / OPTS,
}
ENDS = {
    "five": (OPTS / OPTS / OPTS / OPTS / OPTS / ACK, EXTENSIONS),
    "six": (OPTS / OPTS / OPTS / OPTS / OPTS / OPTS / ACK, EXTENSIONS),
    "five-and-icmp": (OPTS / OPTS / OPTS / OPTS / OPTS / ICMPv6EchoRequest(), EXTENSIONS),
    "fifth-is-a-fragment": (OPTS / OPTS / OPTS / OPTS / FIRST / ACK, EXTENSIONS),
    "first-fragment": (FIRST / ACK, FRAGMENT),
    "later-fragment": (LATER / bytes(8), FRAGMENT),
    "fragment-behind-three": (HOP / ROUTING / OPTS / LATER / bytes(8), FRAGMENT),
    "icmp-fragment": (FIRST / ICMPv6EchoRequest(), FRAGMENT),
    "headers-behind-a-fragment-are-not-read": (LATER / OPTS, FRAGMENT),
}


def payload(data: bytes, next_header: int, vip: int = 10, length: int | None = None) -> object:
    """An IPv6 packet around bytes, with a payload length that may lie."""
    return IPV6.ip(vip, nh=next_header, plen=len(data) if length is None else length) / data


OPTION_BYTES = b"\x06\x00\x01\x04\x00\x00\x00\x00"
FIVE_CUT = b"\x3c\x00\x01\x04\x00\x00\x00\x00" * 4

CASES = [one(f"ipv6-{n}", IPV6.ip(10) / e / ACK, Reason.NONE, 8443) for n, e in WALKED.items()]
CASES += [one(f"ipv6-{n}-udp", IPV6.ip(10) / e / UDP(dport=443) / b"x", Reason.NONE, 8443) for n, e in WALKED.items()]
CASES += [one(f"ipv6-{n}-elsewhere", IPV6.ip(99) / e / ACK, NOT_VIP) for n, e in WALKED.items()]
CASES += [one(f"ipv6-{n}", IPV6.ip(10) / e, reason) for n, (e, reason) in ENDS.items()]
CASES += [one(f"ipv6-{n}-elsewhere", IPV6.ip(99) / e, NOT_VIP) for n, (e, _) in ENDS.items()]
CASES += [
    one("ipv6-options-cut-off", payload(OPTION_BYTES[:7], 60), TRUNCATED),
    one("ipv6-options-cut-off-elsewhere", payload(OPTION_BYTES[:7], 60, vip=99), TRUNCATED),
    one("ipv6-options-of-one-byte", payload(b"\x06", 0), TRUNCATED),
    one("ipv6-options-without-any-byte", payload(b"", 43), TRUNCATED),
    one("ipv6-options-longer-than-payload", payload(b"\x06\x01" + bytes(13), 60), TRUNCATED),
    one("ipv6-options-end-in-padding", payload(b"\x06\x01" + bytes(34), 60, length=8), TRUNCATED),
    one("ipv6-fragment-header-cut-off", payload(bytes(7), 44), TRUNCATED),
    one("ipv6-second-header-cut-off", payload(b"\x3c\x00" + bytes(6) + b"\x06\x01" + bytes(6), 60), TRUNCATED),
    one("ipv6-fifth-header-is-not-read", payload(FIVE_CUT, 60), EXTENSIONS),
    one("ipv6-jumbo", payload(b"\x06\x00\xc2\x04\x00\x01\x00\x00" + bytes(20), 0, length=0), TRUNCATED),
    one("ipv6-only-options", payload(OPTION_BYTES, 60), Reason.PACKET_L4_TRUNCATED),
    one("ipv6-no-next-header", payload(bytes(20), 59), NOT_VIP),
    one("ipv6-authentication-header", payload(bytes(40), 51), NOT_VIP),
    one("ipv6-encapsulated", payload(bytes(40), 50), NOT_VIP),
    one("ipv6-mobility-header", payload(bytes(40), 135), NOT_VIP),
    one("ipv6-version-4", IPV6.ip(10, version=4) / ACK, Reason.PACKET_IP_VERSION),
    one("ipv6-version-5-elsewhere", IPV6.ip(99, version=5) / ACK, Reason.PACKET_IP_VERSION),
    one("ipv6-payload-beyond-frame", payload(bytes(ACK), 6, length=21), Reason.PACKET_IP_LENGTH),
    one("ipv6-payload-beyond-frame-elsewhere", payload(bytes(ACK), 6, 99, 65535), Reason.PACKET_IP_LENGTH),
    one("ipv6-payload-0", payload(bytes(ACK), 6, length=0), Reason.PACKET_L4_TRUNCATED),
    one("ipv6-cut-off", bytes(IPV6.ip(10) / ACK)[:53], TRUNCATED),
    one("ipv6-cut-off-elsewhere", bytes(IPV6.ip(99) / ACK)[:53], TRUNCATED),
    one("ipv6-mapped-source", IPV6.ip(10, src="::ffff:198.51.100.1") / ACK, Reason.PACKET_ADDRESS),
    one("ipv6-mapped-destination", IPV6.ip(10, dst="::ffff:192.0.2.10") / ACK, Reason.PACKET_ADDRESS),
    one("ipv6-mapped-source-elsewhere", IPV6.ip(99, src="::ffff:198.51.100.1") / ACK, Reason.PACKET_ADDRESS),
    one("ipv6-mapped-icmp", IPV6.ip(99, src="::ffff:0:0") / ICMPv6EchoRequest(), Reason.PACKET_ADDRESS),
    one("ipv6-mapped-before-extension-headers", IPV6.ip(99, src="::ffff:0:0", nh=60, plen=0), Reason.PACKET_ADDRESS),
    one("ipv6-compatible-source-is-not-mapped", IPV6.ip(10, src="::198.51.100.1") / ACK, Reason.NONE, 8443),
    one("ipv6-flow-label-and-class", IPV6.ip(10, tc=255, fl=0xFFFFF) / ACK, Reason.NONE, 8443),
]
