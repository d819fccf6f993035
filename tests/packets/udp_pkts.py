"""UDP: lengths, and the checksum that may be absent."""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import UDP

from abi.gen.reasons import Reason
from tests.packets.case import FAMILIES, Family, one

LENGTH = Reason.PACKET_UDP_LENGTH
CASES = []


def datagram(family: Family, port: int, checksum: int | None = None, data: bytes = b"data") -> Any:
    """From one flow; the checksum is Scapy's where none is given."""
    return family.ip(10) / UDP(sport=46000, dport=port, chksum=checksum) / data


def with_checksum(family: Family, port: int, wanted: int, after: int) -> tuple[Any, Any]:
    """A datagram to `port` whose data makes its checksum `wanted` at port `after`, and that datagram at `after`."""
    base = UDP(bytes(datagram(family, after, data=b"\0\0")[UDP])).chksum
    # In ones' complement the checksum falls by what the data adds.
    data = (base - wanted) % 0xFFFF
    before = datagram(family, port, data=data.to_bytes(2, "big"))
    return before, datagram(family, after, wanted or 0xFFFF, data.to_bytes(2, "big"))


for f in FAMILIES:
    to_zero, as_ones = with_checksum(f, 443, 0, 8443)
    nh = {"proto" if f.name == "ipv4" else "nh": 17}
    CASES += [
        one(f"{f.name}-udp", datagram(f, 443), Reason.NONE, 8443),
        one(f"{f.name}-udp-odd-data", datagram(f, 443, data=b"odd"), Reason.NONE, 8443),
        one(f"{f.name}-udp-without-data", datagram(f, 443, data=b""), Reason.NONE, 8443),
        one(f"{f.name}-udp-no-checksum-stays-none", datagram(f, 443, 0), Reason.NONE, 8443, datagram(f, 8443, 0)),
        one(f"{f.name}-udp-checksum-that-becomes-0", to_zero, Reason.NONE, 8443, as_ones),
        one(f"{f.name}-udp-length-7", f.ip(10) / UDP(dport=443, len=7), LENGTH),
        one(f"{f.name}-udp-length-0", f.ip(10) / UDP(dport=443, len=0) / b"data", LENGTH),
        one(f"{f.name}-udp-length-beyond", f.ip(10) / UDP(dport=443, len=13) / b"data", LENGTH),
        one(f"{f.name}-udp-length-in-padding", bytes(f.ip(10) / UDP(dport=443, len=9)) + bytes(30), LENGTH),
        one(f"{f.name}-udp-length-elsewhere", f.ip(99) / UDP(dport=443, len=7), Reason.PACKET_NOT_VIP),
    ]
    shorter = f.ip(10) / UDP(sport=46001, dport=443, len=8, chksum=0x1234) / b"more"
    # 443 -> 8443 is 0x01bb -> 0x20fb: the checksum falls by 0x1f40, and once more for the carry.
    expected = f.ip(10) / UDP(sport=46001, dport=8443, len=8, chksum=0xF2F3) / b"more"
    CASES.append(one(f"{f.name}-udp-shorter-than-ip", shorter, Reason.NONE, 8443, expected))
    for size in (0, 3, 7):
        CASES += [
            one(f"{f.name}-udp-header-of-{size}-bytes", f.ip(10, **nh) / bytes(size), Reason.PACKET_L4_TRUNCATED),
            one(f"{f.name}-udp-header-of-{size}-bytes-elsewhere", f.ip(99, **nh) / bytes(size), Reason.PACKET_NOT_VIP),
        ]
