"""Carries what is in force from one generation of maps to the next: tables, meters, flows."""

from __future__ import annotations

import errno
import os
import struct
import sys
from dataclasses import replace
from itertools import islice

from abi.gen.packet import FlowKey, FlowValue
from dpu_app.targets.packet.bpf import BpfError, Map
from dpu_app.targets.packet.layout import BANKS
from dpu_app.targets.packet.maps import Maps
from dpu_app.targets.packet.vips import BUCKET_BYTES, grown

CHUNK = 4_096
COUNTS = struct.Struct("=2Q24x2Q")
"""packets_in, bytes_in, packets_out, bytes_out of `struct flow_value`."""
CELL_STATE_AT = 8
"""What lies before it in a cell is its lock."""


class Carrier:
    """Copies first, and after the swap of the programs adds what came in between. `names`: maps that are not shared."""

    def __init__(self, old: Maps, new: Maps, names: list[str]) -> None:
        self.old = old
        self.new = new
        self.names = names
        self.seen: dict[bytes, tuple[int, ...]] = {}

    def copy(self) -> int:
        """Copies everything while the old programs go on; returns how many flows. Raises BpfError (E2BIG: no room)."""
        for name in self.names:
            if name in ("acl6", "reverse"):
                self.new[name].update_many(list(self.old[name].items()))
            elif name in ("source_cells", "service_cells"):
                self.copy_array(name)
            elif name in ("acl4", "vip"):
                self.copy_half(name)
        return self.copy_flows() if "flow" in self.names else 0

    def copy_half(self, name: str) -> None:
        """Bank by bank: ACL blocks are counted from the beginning of their bank, VIPs find their new bucket."""
        for bank in range(BANKS):
            start, size = self.old.half(name, bank)
            data = self.old.memory[name][start : start + size]
            to, room = self.new.half(name, bank)
            if name == "vip":
                seed = int.from_bytes(self.old.memory["bank"][bank * 8 : bank * 8 + 8], sys.byteorder)
                data = grown(data, room // BUCKET_BYTES, seed)
            self.new.memory[name][to : to + len(data)] = data

    def copy_array(self, name: str) -> None:
        """Element by element; the new array is as large or larger."""
        entries = min(self.old[name].shape.entries_max, self.new[name].shape.entries_max)
        for index in range(entries):
            key = struct.pack("=I", index)
            value = self.old[name].lookup(key) or b""
            if value[CELL_STATE_AT:].strip(b"\0"):
                self.new[name].update(key, bytes(CELL_STATE_AT) + value[CELL_STATE_AT:])

    def copy_flows(self) -> int:
        """As many flows as there is room for, remembering their counts; the others go by their bucket from now on."""
        room = self.new["flow"].shape.entries_max
        chunk: list[tuple[bytes, bytes]] = []
        for key, value in islice(self.old["flow"].items(), room):
            self.seen[key] = COUNTS.unpack_from(value)
            chunk.append((key, value))
            if len(chunk) == CHUNK:
                self.new["flow"].update_many(chunk)
                chunk = []
        self.new["flow"].update_many(chunk)
        return len(self.seen)

    def catch_up(self) -> int:
        """After the swap: what the old flows gained since they were copied; returns how many there were."""
        if "flow" not in self.names:
            return 0
        gained = 0
        ended = set(self.seen)
        for key, value in self.old["flow"].items():
            ended.discard(key)
            before, now = self.seen.get(key), COUNTS.unpack_from(value)
            if before == now:
                continue
            try:
                self.add(key, value, [after - was for after, was in zip(now, before or (0, 0, 0, 0), strict=True)])
            except BpfError as error:
                if error.errno != errno.E2BIG:
                    raise
                # A smaller table that is full by now: this flow goes by its bucket.
                continue
            gained += 1
        for key in ended:
            # It ended between copy and swap and has its record; one that the new programs have seen again is another.
            there = self.new["flow"].lookup(key)
            if there is not None and COUNTS.unpack_from(there) == self.seen[key]:
                self.new["flow"].delete(key)
        return gained

    def add(self, key: bytes, value: bytes, gain: list[int]) -> None:
        """One flow's gain on top of what the new programs counted meanwhile."""
        there = self.new["flow"].lookup(key)
        if there is None:
            if key not in self.seen:
                self.new["flow"].update(key, value)
            return
        flow = FlowValue.unpack(there)
        older = FlowValue.unpack(value)
        merged = replace(
            flow,
            packets_in=flow.packets_in + gain[0],
            bytes_in=flow.bytes_in + gain[1],
            packets_out=flow.packets_out + gain[2],
            bytes_out=flow.bytes_out + gain[3],
            first_ns=min(flow.first_ns, older.first_ns),
            last_ns=max(flow.last_ns, older.last_ns),
            flags_in=flow.flags_in | older.flags_in,
            flags_out=flow.flags_out | older.flags_out,
            state=flow.state | older.state,
        )
        self.new["flow"].update(key, merged.pack())


def take_flows(fd: int, new: Maps) -> int:
    """Copies the flows of a table whose key and value are as large as ours; how many. Raises BpfError."""
    old = Map(os.dup(fd), "flow")
    try:
        if (old.shape.key_size, old.shape.value_size) != (FlowKey.SIZE, FlowValue.SIZE):
            return 0
        found = list(old.items())[: new["flow"].shape.entries_max]
        new["flow"].update_many(found)
        return len(found)
    finally:
        old.close()
