"""Frames for property tests: the cases' own, broken in one or several places, and packets of random parts."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Dot1AD, Dot1Q

from tests.packets.case import ETHERNET, IPV4, IPV6, Step
from tests.packets.config import SERVICES
from tests.packets.tables import CASES

FRAMES = sorted({step.frame for case in CASES for step in case.steps if isinstance(step, Step)})
FRAME_BYTES_MIN = 14
CLOCK_NS_MAX = 60_000_000_000
NUMBERS = [number for number, _, _ in SERVICES.values()]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A frame of the cases with bits flipped, bytes set, cut off, or followed by others."""
    frame = bytearray(draw(st.sampled_from(FRAMES)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(frame) - 1))
        frame[at] = draw(st.one_of(st.integers(0, 255), st.integers(0, 7).map(lambda bit: frame[at] ^ 1 << bit)))  # noqa: B023  # drawn at once
    if draw(st.booleans()):
        frame = frame[: draw(st.integers(0, len(frame)))]
    frame += draw(st.binary(max_size=24))
    return bytes(frame).ljust(FRAME_BYTES_MIN, b"\0")


ports = st.one_of(st.sampled_from([443, 80, 8080, 0]), st.integers(0, 65535))


@st.composite
def transports(draw: st.DrawFn) -> Any:
    """TCP, UDP or ICMP with fields that may lie."""
    kind = draw(st.sampled_from(["tcp", "tcp", "udp", "icmp"]))
    if kind == "icmp":
        return ICMP()
    sport, dport = draw(st.integers(0, 65535)), draw(ports)
    if kind == "udp":
        length = draw(st.one_of(st.none(), st.integers(0, 40)))
        return UDP(sport=sport, dport=dport, len=length, chksum=draw(st.sampled_from([None, 0, 0xFFFF, 1])))
    flags = draw(st.one_of(st.sampled_from([0x02, 0x10, 0x11, 0x18, 0x04]), st.integers(0, 511)))
    offset = draw(st.one_of(st.none(), st.integers(0, 15)))
    checksum = draw(st.sampled_from([None, 0, 0xFFFF]))
    return TCP(sport=sport, dport=dport, flags=flags, dataofs=offset, chksum=checksum)


@st.composite
def built(draw: st.DrawFn) -> bytes:
    """A packet of random parts, most of them to a VIP."""
    packet: Any = ETHERNET
    for tag in draw(st.lists(st.sampled_from([Dot1Q(vlan=7), Dot1AD(vlan=9)]), max_size=3)):
        packet = packet / tag
    number = draw(st.sampled_from([*NUMBERS, 99]))
    client = draw(st.integers(0, 255))
    if draw(st.booleans()):
        options: dict[str, Any] = {
            "flags": draw(st.sampled_from([0, 0, 0, 1, 2])),
            "frag": draw(st.sampled_from([0, 0, 0, 0, 5])),
        }
        ihl = draw(st.sampled_from([None, None, None, 4, 5, 6, 15]))
        packet = packet / IP(src=IPV4.client(client), dst=IPV4.vip(number), ihl=ihl, **options)
    else:
        packet = packet / IPv6(src=IPV6.client(client), dst=IPV6.vip(number))
        headers = [IPv6ExtHdrDestOpt(), IPv6ExtHdrHopByHop(), IPv6ExtHdrFragment(), IPv6ExtHdrFragment(m=1)]
        for header in draw(st.lists(st.sampled_from(headers), max_size=5)):
            packet = packet / header
    return bytes(packet / draw(transports()) / draw(st.binary(max_size=30)))


frames = st.one_of(broken(), built(), st.binary(min_size=FRAME_BYTES_MIN, max_size=120))
sequences = st.lists(st.tuples(st.integers(0, CLOCK_NS_MAX), frames), min_size=1, max_size=30)
"""Frames with times that need not be in order."""
