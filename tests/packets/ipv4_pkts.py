"""IPv4: options, fragments, lengths that lie."""

from __future__ import annotations

from scapy.layers.inet import ICMP, TCP, UDP, IPOption_NOP, IPOption_Router_Alert

from abi.gen.reasons import Reason
from tests.packets.case import IPV4, one

SYN = TCP(sport=43000, dport=443, flags="S")
ACK = TCP(sport=43001, dport=443, flags="A")
OPTIONS = {"router-alert": [IPOption_Router_Alert()], "40-bytes": [IPOption_NOP()] * 40}
FRAGMENT = Reason.PACKET_FRAGMENT
LENGTH = Reason.PACKET_IP_LENGTH


def shorter(packet: object, size: int) -> bytes:
    """The first bytes of a frame."""
    return bytes(packet)[:size]  # type: ignore[call-overload, no-any-return]  # Scapy packets have no types


CASES = [one(f"ipv4-options-{n}", IPV4.ip(10, options=o) / ACK, Reason.NONE, 8443) for n, o in OPTIONS.items()]
CASES += [
    one("ipv4-options-udp", IPV4.ip(10, options=[IPOption_NOP()] * 8) / UDP(dport=443) / b"x", Reason.NONE, 8443),
    one("ipv4-do-not-fragment", IPV4.ip(10, flags="DF") / SYN, Reason.NONE, 8443),
    one("ipv4-reserved-flag", IPV4.ip(10, flags="evil") / SYN, Reason.NONE, 8443),
    one("ipv4-ttl-0", IPV4.ip(10, ttl=0) / SYN, Reason.NONE, 8443),
    one("ipv4-bad-header-checksum", IPV4.ip(10, chksum=0x1234) / SYN, Reason.NONE, 8443),
    one("ipv4-padding", IPV4.ip(10) / ACK / b"", Reason.NONE, 8443),
    one("ipv4-first-fragment", IPV4.ip(10, flags="MF") / SYN, FRAGMENT),
    one("ipv4-later-fragment", IPV4.ip(10, frag=1) / bytes(20), FRAGMENT),
    one("ipv4-last-possible-fragment", IPV4.ip(10, frag=8191) / bytes(20), FRAGMENT),
    one("ipv4-icmp-fragment", IPV4.ip(10, flags="MF") / ICMP(), FRAGMENT),
    one("ipv4-fragment-of-unknown-protocol", IPV4.ip(10, flags="MF", proto=200) / bytes(8), FRAGMENT),
    one("ipv4-fragment-shorter-than-its-header", IPV4.ip(10, flags="MF", proto=6) / b"x", FRAGMENT),
    one("ipv4-fragment-from-an-impossible-source", IPV4.ip(10, flags="MF", src="127.0.0.1") / SYN, FRAGMENT),
    one("ipv4-fragment-elsewhere", IPV4.ip(99, flags="MF") / SYN, Reason.PACKET_NOT_VIP),
    one("ipv4-icmp-fragment-elsewhere", IPV4.ip(99, flags="MF") / ICMP(), Reason.PACKET_NOT_VIP),
    one("ipv4-version-6", IPV4.ip(10, version=6) / SYN, Reason.PACKET_IP_VERSION),
    one("ipv4-version-0-elsewhere", IPV4.ip(99, version=0) / SYN, Reason.PACKET_IP_VERSION),
    one("ipv4-header-of-16-bytes", IPV4.ip(10, ihl=4) / SYN, Reason.PACKET_IP_HEADER_LENGTH),
    one("ipv4-header-of-0-bytes-elsewhere", IPV4.ip(99, ihl=0) / SYN, Reason.PACKET_IP_HEADER_LENGTH),
    one("ipv4-total-length-below-header", IPV4.ip(10, len=19) / SYN, LENGTH),
    one("ipv4-total-length-0", IPV4.ip(10, len=0) / SYN, LENGTH),
    one("ipv4-total-length-below-options", IPV4.ip(10, ihl=15, len=59) / bytes(80), LENGTH),
    one("ipv4-total-length-beyond-frame", IPV4.ip(10, len=41) / SYN, LENGTH),
    one("ipv4-total-length-beyond-frame-elsewhere", IPV4.ip(99, len=65535) / SYN, LENGTH),
    one("ipv4-header-beyond-frame", IPV4.ip(10, ihl=15, len=40) / SYN, LENGTH),
    one("ipv4-total-length-is-all-header", IPV4.ip(10, len=20, proto=6) / SYN, Reason.PACKET_L4_TRUNCATED),
    one("ipv4-cut-off", shorter(IPV4.ip(10) / SYN, 33), Reason.PACKET_TRUNCATED),
    one("ipv4-cut-off-elsewhere", shorter(IPV4.ip(99) / SYN, 15), Reason.PACKET_TRUNCATED),
    one("ipv4-cut-off-behind-header", shorter(IPV4.ip(10) / SYN, 34), LENGTH),
    one("ipv4-ipv6-extension-number", IPV4.ip(10, proto=60) / bytes(40), Reason.PACKET_NOT_VIP),
    one("ipv4-tunnel", IPV4.ip(10, proto=4) / bytes(40), Reason.PACKET_NOT_VIP),
]
