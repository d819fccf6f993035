"""The destination port of the listener group, and a checksum that fits it (RFC 1624, equation 3)."""

from __future__ import annotations

from dpu_app.replay.parse import TCP, Segment, number

CHECKSUM_AT = {TCP: 16}
UDP_CHECKSUM_AT = 6


def rewrite(segment: Segment, port: int) -> bytes:
    """The frame with its destination port set. Nothing changes where it is that already."""
    if port == segment.destination_port:
        return segment.frame
    frame = bytearray(segment.frame)
    frame[segment.start + 2 : segment.start + 4] = port.to_bytes(2, "big")
    at = segment.start + CHECKSUM_AT.get(segment.protocol, UDP_CHECKSUM_AT)
    checksum = number(segment.frame, at)
    frame[at : at + 2] = updated(segment, checksum, port).to_bytes(2, "big")
    return bytes(frame)


def updated(segment: Segment, checksum: int, port: int) -> int:
    """The checksum after the change. For UDP 0 means that there is none: it stays, and is never made."""
    if segment.protocol == TCP:
        return updated_checksum(checksum, segment.destination_port, port)
    if checksum == 0:
        return 0
    return updated_checksum(checksum, segment.destination_port, port) or 0xFFFF


def updated_checksum(checksum: int, before: int, after: int) -> int:
    """HC' = ~(~HC + ~m + m') in ones' complement."""
    total = (checksum ^ 0xFFFF) + (before ^ 0xFFFF) + after
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
