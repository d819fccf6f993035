"""From a frame to the TCP or UDP header in it: the first table of docs/stages/packet.md, row by row."""

from __future__ import annotations

from dataclasses import dataclass

from abi.gen.packet import IP6_EXTENSIONS_MAX
from abi.gen.reasons import Reason

ETHERNET_BYTES = 14
VLAN_TYPES = (0x8100, 0x88A8)
VLAN_TAGS_MAX = 2
IPV4_TYPE = 0x0800
IPV6_TYPE = 0x86DD
TCP = 6
UDP = 17
ICMP = 1
ICMP6 = 58
HEADER_BYTES = {TCP: 20, UDP: 8}
FRAGMENT_HEADER = 44
EXTENSION_HEADERS = (0, 43, FRAGMENT_HEADER, 60)
"""Hop-by-hop options, routing, fragment, destination options."""
MAPPED = bytes(10) + b"\xff\xff"
"""First 12 bytes of ::ffff:0:0/96: how keys of 128 bits write IPv4."""


@dataclass(frozen=True, slots=True)
class IfOurs:
    """What is dropped with this reason where the destination is a VIP address, and passes otherwise."""

    reason: Reason
    destination: bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """A whole TCP or UDP header in a frame. Addresses have 4 or 16 bytes; offsets count from the frame's start."""

    frame: bytes
    source: bytes
    destination: bytes
    protocol: int
    start: int
    """Of the TCP or UDP header."""
    end: int
    """Of what the IP length covers; padding follows."""

    @property
    def source_port(self) -> int:
        """As the client wrote it."""
        return number(self.frame, self.start)

    @property
    def destination_port(self) -> int:
        """As the client wrote it."""
        return number(self.frame, self.start + 2)

    @property
    def tcp_flags(self) -> int:
        """FIN 1, SYN 2, RST 4, ACK 16; 0 for UDP."""
        return self.frame[self.start + 13] if self.protocol == TCP else 0


Parsed = Reason | IfOurs | Segment


def number(data: bytes, at: int, size: int = 2) -> int:
    """`size` bytes of big-endian at `at`."""
    return int.from_bytes(data[at : at + size], "big")


def key_address(address: bytes) -> bytes:
    """The 16 bytes that stand for an address in keys."""
    return MAPPED + address if len(address) == 4 else address


def parse(frame: bytes) -> Parsed:
    """A reason where the frame's way ends in the headers, else what it carries."""
    if len(frame) < ETHERNET_BYTES:
        return Reason.PACKET_TRUNCATED
    kind, start = number(frame, 12), ETHERNET_BYTES
    tags = 0
    while kind in VLAN_TYPES:
        if tags == VLAN_TAGS_MAX:
            return Reason.PACKET_VLAN_DEPTH
        if len(frame) < start + 4:
            return Reason.PACKET_TRUNCATED
        kind, start, tags = number(frame, start + 2), start + 4, tags + 1
    if kind == IPV4_TYPE:
        return parse_ipv4(frame, start)
    if kind == IPV6_TYPE:
        return parse_ipv6(frame, start)
    return Reason.PACKET_NOT_IP


def parse_ipv4(frame: bytes, start: int) -> Parsed:
    """RFC 791. Options are skipped; the header checksum is the kernel's to check."""
    if len(frame) < start + 20:
        return Reason.PACKET_TRUNCATED
    if frame[start] >> 4 != 4:
        return Reason.PACKET_IP_VERSION
    header_bytes = (frame[start] & 0x0F) * 4
    if header_bytes < 20:
        return Reason.PACKET_IP_HEADER_LENGTH
    total = number(frame, start + 2)
    if total < header_bytes or total > len(frame) - start:
        return Reason.PACKET_IP_LENGTH
    source, destination = frame[start + 12 : start + 16], frame[start + 16 : start + 20]
    if number(frame, start + 6) & 0x3FFF:  # MF, or an offset
        return IfOurs(Reason.PACKET_FRAGMENT, destination)
    protocol = frame[start + 9]
    if protocol == ICMP:
        return Reason.PACKET_ICMP
    return parse_transport(Segment(frame, source, destination, protocol, start + header_bytes, start + total))


def parse_ipv6(frame: bytes, start: int) -> Parsed:
    """RFC 8200."""
    if len(frame) < start + 40:
        return Reason.PACKET_TRUNCATED
    if frame[start] >> 4 != 6:
        return Reason.PACKET_IP_VERSION
    end = start + 40 + number(frame, start + 4)
    if end > len(frame):
        return Reason.PACKET_IP_LENGTH
    source, destination = frame[start + 8 : start + 24], frame[start + 24 : start + 40]
    if MAPPED in (source[:12], destination[:12]):
        return Reason.PACKET_ADDRESS
    walked = walk_extensions(frame, frame[start + 6], start + 40, end)
    if walked is Reason.PACKET_TRUNCATED:
        return walked
    if isinstance(walked, Reason):
        return IfOurs(walked, destination)
    protocol, start = walked
    if protocol == ICMP6:
        return Reason.PACKET_ICMP
    return parse_transport(Segment(frame, source, destination, protocol, start, end))


def walk_extensions(frame: bytes, protocol: int, start: int, end: int) -> Reason | tuple[int, int]:
    """The protocol behind the extension headers and where it starts. One header too many is not read."""
    walked = 0
    while protocol in EXTENSION_HEADERS:
        if walked == IP6_EXTENSIONS_MAX:
            return Reason.PACKET_IP6_EXTENSIONS
        if start + 8 > end:
            return Reason.PACKET_TRUNCATED
        size = 8 if protocol == FRAGMENT_HEADER else (frame[start + 1] + 1) * 8
        if start + size > end:
            return Reason.PACKET_TRUNCATED
        if protocol == FRAGMENT_HEADER and number(frame, start + 2) & 0xFFF9:  # an offset, or M
            return Reason.PACKET_FRAGMENT
        protocol, start, walked = frame[start], start + size, walked + 1
    return protocol, start


def parse_transport(segment: Segment) -> Parsed:
    """The segment itself where its header is whole."""
    header_bytes = HEADER_BYTES.get(segment.protocol)
    if header_bytes is None:
        return Reason.PACKET_NOT_VIP
    if segment.start + header_bytes > segment.end:
        return IfOurs(Reason.PACKET_L4_TRUNCATED, segment.destination)
    return segment
