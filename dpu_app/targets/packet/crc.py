"""The tables of CRC-32 by four bytes at a time that `bpf/lib/crc32.h` looks into."""

from __future__ import annotations

import struct

POLYNOMIAL = 0xEDB88320
"""IEEE 802.3, bits reversed."""


def crc_tables() -> bytes:
    """Four tables of 256 words: table k continues a byte by k zero bytes."""
    first = [one_byte(byte) for byte in range(256)]
    tables = [first]
    for _ in range(3):
        before = tables[-1]
        tables.append([(word >> 8) ^ first[word & 0xFF] for word in before])
    return b"".join(struct.pack("=256I", *table) for table in tables)


def one_byte(byte: int) -> int:
    """The remainder of one byte."""
    word = byte
    for _ in range(8):
        word = (word >> 1) ^ (POLYNOMIAL if word & 1 else 0)
    return word
