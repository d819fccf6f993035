"""What is ours and what is not; sources that cannot be on the wire."""

from __future__ import annotations

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP

from abi.gen.reasons import Reason
from tests.packets.case import ETHERNET, FAMILIES, IPV4, IPV6, one

NOT_VIP = Reason.PACKET_NOT_VIP
ADDRESS = Reason.PACKET_ADDRESS

CASES = [
    case
    for f in FAMILIES
    for case in (
        one(f"{f.name}-tcp-to-vip", f.tcp(10, sport=41000), Reason.NONE, 8443),
        one(f"{f.name}-syn-to-vip", f.tcp(10, sport=41001, flags="S"), Reason.NONE, 8443),
        one(f"{f.name}-udp-to-vip", f.udp(10, sport=41002), Reason.NONE, 8443),
        one(f"{f.name}-other-port-of-the-vip", f.tcp(10, port=444), NOT_VIP),
        one(f"{f.name}-port-0-of-the-vip", f.tcp(10, port=0), NOT_VIP),
        one(f"{f.name}-other-protocol-of-the-vip", f.udp(20), NOT_VIP),
        one(f"{f.name}-other-address", f.tcp(99), NOT_VIP),
        one(f"{f.name}-without-groups-keeps-its-port", f.tcp(11, port=80), Reason.NONE),
        one(f"{f.name}-udp-without-groups", f.udp(11, port=80), Reason.NONE),
        one(f"{f.name}-source-is-destination", f.ip(10, src=f.vip(10)) / TCP(dport=443, flags="S"), ADDRESS),
        one(f"{f.name}-udp-source-is-destination", f.ip(10, src=f.vip(10)) / UDP(dport=443) / b"x", ADDRESS),
        one(f"{f.name}-source-is-destination-elsewhere", f.ip(99, src=f.vip(99)) / TCP(dport=443), NOT_VIP),
    )
]

SOURCES = [
    (IPV4, "0.0.0.0", False),
    (IPV4, "0.255.255.255", False),
    (IPV4, "1.0.0.0", True),
    (IPV4, "126.255.255.255", True),
    (IPV4, "127.0.0.1", False),
    (IPV4, "128.0.0.0", True),
    (IPV4, "223.255.255.255", True),
    (IPV4, "224.0.0.1", False),
    (IPV4, "240.0.0.1", False),
    (IPV4, "255.255.255.255", False),
    (IPV6, "::", False),
    (IPV6, "::1", False),
    (IPV6, "::2", True),
    (IPV6, "::1:0:0:1", True),
    (IPV6, "1::", True),
    (IPV6, "fe80::1", True),
    (IPV6, "feff::1", True),
    (IPV6, "ff00::", False),
    (IPV6, "ff02::1", False),
]

for family, source, possible in SOURCES:
    packet = family.ip(10, src=source) / TCP(sport=41100, dport=443, flags="A")
    elsewhere = family.ip(99, src=source) / TCP(sport=41100, dport=443, flags="A")
    CASES += [
        one(f"source-{source}", packet, Reason.NONE if possible else ADDRESS, 8443 if possible else 0),
        one(f"source-{source}-elsewhere", elsewhere, NOT_VIP),
    ]

CASES += [
    one("arp", ETHERNET / ARP(pdst="192.0.2.10"), Reason.PACKET_NOT_IP),
    one("same-port-is-no-rewrite", IPV6.tcp(12), Reason.NONE, 443),
    # The entry that marks a VIP address has protocol 0 and port 0: nothing on the wire may find it.
    one("ipv4-protocol-0", IPV4.ip(10, proto=0) / bytes(20), NOT_VIP),
    one("ipv4-multicast-destination", ETHERNET / IP(src="198.51.100.1", dst="224.0.0.1") / UDP(dport=443), NOT_VIP),
    one("ipv6-multicast-destination", ETHERNET / IPv6(src=IPV6.client(1), dst="ff02::1") / UDP(dport=443), NOT_VIP),
]
