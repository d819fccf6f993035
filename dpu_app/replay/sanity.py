"""What no client of ours sends: the second table of docs/stages/packet.md."""

from __future__ import annotations

from abi.gen.packet import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from abi.gen.reasons import Reason
from dpu_app.replay.parse import TCP, Segment, number

FLAGS_READ = TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK
FLAGS_OF_CLIENTS = {TCP_SYN, TCP_ACK, TCP_FIN | TCP_ACK, TCP_RST, TCP_RST | TCP_ACK}


def insane(segment: Segment) -> Reason | None:
    """Why the segment is dropped before anything is looked up for it, if it is."""
    if segment.source == segment.destination or impossible_source(segment.source):
        return Reason.PACKET_ADDRESS
    return insane_tcp(segment) if segment.protocol == TCP else insane_udp(segment)


def impossible_source(address: bytes) -> bool:
    """Nobody on the wire sends from it."""
    if len(address) == 4:
        return address[0] in (0, 127) or address[0] >= 224
    return address == bytes(16) or address == bytes(15) + b"\x01" or address[0] == 0xFF


def insane_tcp(segment: Segment) -> Reason | None:
    """RFC 9293."""
    offset = segment.frame[segment.start + 12] >> 4
    if offset < 5 or segment.start + offset * 4 > segment.end:
        return Reason.PACKET_TCP_OFFSET
    if segment.tcp_flags & FLAGS_READ not in FLAGS_OF_CLIENTS:
        return Reason.PACKET_TCP_FLAGS
    return None


def insane_udp(segment: Segment) -> Reason | None:
    """RFC 768."""
    length = number(segment.frame, segment.start + 4)
    if length < 8 or segment.start + length > segment.end:
        return Reason.PACKET_UDP_LENGTH
    return None
