"""TCP: flags of a client, data offsets, options, headers that are cut off."""

from __future__ import annotations

from itertools import product
from typing import Any

from scapy.layers.inet import TCP

from abi.gen.reasons import Reason
from tests.packets.case import FAMILIES, Case, one

OF_CLIENTS = {"S", "A", "FA", "R", "RA"}
# The four flags that are read, and others beside them that are not.
READ = ["".join(flag for flag, on in zip("FSRA", bits, strict=True) if on) for bits in product((0, 1), repeat=4)]
BESIDE = ("", "P", "U", "EC", "PUECN")
OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]
OFFSET = Reason.PACKET_TCP_OFFSET


def flags_cases() -> list[Case]:
    """Every combination of the flags."""
    cases = []
    for f, flags, beside in product(FAMILIES, READ, BESIDE):
        good = flags in OF_CLIENTS
        packet = f.ip(10) / TCP(sport=45000, dport=443, flags=flags + beside)
        reason = Reason.NONE if good else Reason.PACKET_TCP_FLAGS
        cases.append(one(f"{f.name}-tcp-flags-{flags}-{beside}", packet, reason, 8443 if good else 0))
    return cases


def header(**fields: Any) -> Any:
    """An ACK of a flow of its own."""
    defaults: dict[str, Any] = {"sport": 45001, "dport": 443, "flags": "A"}
    return TCP(**(defaults | fields))


CASES = flags_cases()
for f in FAMILIES:
    CASES += [
        one(f"{f.name}-tcp-data", f.ip(10) / header() / bytes(range(256)), Reason.NONE, 8443),
        one(f"{f.name}-tcp-odd-data", f.ip(10) / header() / b"odd", Reason.NONE, 8443),
        one(f"{f.name}-tcp-options", f.ip(10) / header(flags="S", options=OPTIONS), Reason.NONE, 8443),
        one(f"{f.name}-tcp-longest-offset", f.ip(10) / header(dataofs=15) / bytes(40), Reason.NONE, 8443),
        one(f"{f.name}-tcp-offset-4", f.ip(10) / header(dataofs=4), OFFSET),
        one(f"{f.name}-tcp-offset-0", f.ip(10) / header(dataofs=0) / bytes(40), OFFSET),
        one(f"{f.name}-tcp-offset-beyond", f.ip(10) / header(dataofs=6) / b"xyz", OFFSET),
        one(f"{f.name}-tcp-offset-before-flags", f.ip(10) / header(dataofs=4, flags="SF"), OFFSET),
        one(f"{f.name}-tcp-offset-elsewhere", f.ip(99) / header(dataofs=4), Reason.PACKET_NOT_VIP),
        one(f"{f.name}-tcp-flags-elsewhere", f.ip(99) / header(flags="SF"), Reason.PACKET_NOT_VIP),
        one(f"{f.name}-tcp-reserved-bits", f.ip(10) / header(reserved=7), Reason.NONE, 8443),
    ]
    for size in (0, 1, 4, 19):
        short = f.ip(10, **{"proto" if f.name == "ipv4" else "nh": 6}) / bytes(header())[:size]
        there = f.ip(99, **{"proto" if f.name == "ipv4" else "nh": 6}) / bytes(header())[:size]
        CASES += [
            one(f"{f.name}-tcp-header-of-{size}-bytes", short, Reason.PACKET_L4_TRUNCATED),
            one(f"{f.name}-tcp-header-of-{size}-bytes-elsewhere", there, Reason.PACKET_NOT_VIP),
            one(
                f"{f.name}-tcp-header-of-{size}-bytes-and-padding", bytes(short) + bytes(40), Reason.PACKET_L4_TRUNCATED
            ),
        ]
