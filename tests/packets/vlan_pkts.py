"""Ethernet: tags, and frames that end inside them."""

from __future__ import annotations

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether

from abi.gen.reasons import Reason
from tests.packets.case import ETHERNET, IPV4, IPV6, one

TRUNCATED = Reason.PACKET_TRUNCATED
TAGS = {
    "one-tag": Dot1Q(vlan=7),
    "priority-tag": Dot1Q(vlan=0, prio=5),
    "two-tags": Dot1Q(vlan=7) / Dot1Q(vlan=8),
    "provider-tag": Dot1AD(vlan=9),
    "provider-and-customer-tag": Dot1AD(vlan=9) / Dot1Q(vlan=8),
}
INSIDE = {
    "ipv4": IP(src=IPV4.client(1), dst=IPV4.vip(10)) / TCP(sport=42000, dport=443, flags="A"),
    "ipv6": IPv6(src=IPV6.client(1), dst=IPV6.vip(10)) / TCP(sport=42000, dport=443, flags="A"),
}
THREE = ETHERNET / Dot1AD(vlan=9) / Dot1Q(vlan=8) / Dot1Q(vlan=7)

CASES = [
    one(f"{i}-{t}", ETHERNET / tags / inside, Reason.NONE, 8443)
    for t, tags in TAGS.items()
    for i, inside in INSIDE.items()
]
CASES += [one(f"{i}-three-tags", THREE / inside, Reason.PACKET_VLAN_DEPTH) for i, inside in INSIDE.items()]
CASES += [
    one(
        f"tagged-frame-of-{size}-bytes",
        bytes(ETHERNET / Dot1AD(vlan=9) / Dot1Q(vlan=8) / INSIDE["ipv4"])[:size],
        TRUNCATED,
    )
    for size in (14, 15, 17, 18, 21, 22, 41)
]
CASES += [
    one("frame-of-1-byte", b"\x02", TRUNCATED),
    one("frame-of-13-bytes", bytes(ETHERNET)[:13], TRUNCATED),
    one("arp-behind-a-tag", ETHERNET / Dot1Q(vlan=7) / ARP(pdst="192.0.2.10"), Reason.PACKET_NOT_IP),
    one("third-tag-cut-off", bytes(THREE)[:22], Reason.PACKET_VLAN_DEPTH),
    one("old-provider-tag-is-no-tag", Ether(bytes(ETHERNET)[:12] + b"\x91\x00") / bytes(40), Reason.PACKET_NOT_IP),
    one("length-in-place-of-a-type", bytes(ETHERNET)[:12] + b"\x00\x26" + bytes(38), Reason.PACKET_NOT_IP),
    one("ipv4-type-and-nothing", bytes(ETHERNET)[:12] + b"\x08\x00", TRUNCATED),
    one("ipv6-type-and-nothing", bytes(ETHERNET)[:12] + b"\x86\xdd", TRUNCATED),
]
