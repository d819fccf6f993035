"""Flow records out of the BPF ring buffer (Documentation/bpf/ringbuf.rst of the kernel), read in place."""

from __future__ import annotations

import mmap
import os
import struct

from abi.gen.packet import FlowRecord

PAGE = os.sysconf("SC_PAGE_SIZE")
HEADER = struct.Struct("=II")
POSITION = struct.Struct("=Q")
BUSY, DISCARDED = 1 << 31, 1 << 30
BATCH_MAX = 4_096
"""Records in one call: what a reader holds at once is bounded."""


class RecordReader:
    """Reads one ring. Its position lies in the ring itself, so the next agent goes on where this one stopped."""

    def __init__(self, fd: int, size: int) -> None:
        """`size` is that of the ring, a power of two in bytes. Raises OSError."""
        self.size = size
        self.consumer = mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # The kernel maps the data twice in a row, so that a record is never in two pieces.
        self.producer = mmap.mmap(fd, PAGE + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=PAGE)

    def close(self) -> None:
        """Lets go of the memory."""
        self.consumer.close()
        self.producer.close()

    def read(self) -> list[FlowRecord]:
        """What is there now, at most BATCH_MAX; never waits."""
        records: list[FlowRecord] = []
        position = int(POSITION.unpack_from(self.consumer)[0])
        end = int(POSITION.unpack_from(self.producer)[0])
        while position < end and len(records) < BATCH_MAX:
            at = PAGE + (position & (self.size - 1))
            length, _ = HEADER.unpack_from(self.producer, at)
            if length & BUSY:
                break
            body = length & ~(BUSY | DISCARDED)
            if not length & DISCARDED and body == FlowRecord.SIZE:
                start = at + HEADER.size
                records.append(FlowRecord.unpack(self.producer[start : start + body]))
            position += (body + HEADER.size + 7) // 8 * 8
        # The kernel reads it as one word; an aligned store of eight bytes is one.
        POSITION.pack_into(self.consumer, 0, position)
        return records
