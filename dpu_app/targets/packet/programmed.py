"""What the agent writes down in the maps about its own plan, for the agent that comes after it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dpu_app.targets.packet.maps import INDEX_0, Maps

LAYOUT = struct.Struct("=QQ32s32s")


@dataclass(frozen=True)
class Record:
    """`struct programmed` of `bpf/maps/config.h`; epoch 0: nothing was programmed."""

    revision: int
    epoch: int
    digest: bytes
    """Of the plan, 32 bytes."""
    content: bytes
    """Of the active bank as it was read back, 32 bytes."""

    @classmethod
    def read(cls, maps: Maps) -> Record:
        """Raises BpfError."""
        return cls(*LAYOUT.unpack(maps["programmed"].lookup(INDEX_0) or bytes(LAYOUT.size)))

    def write(self, maps: Maps) -> None:
        """Raises BpfError."""
        maps["programmed"].update(INDEX_0, LAYOUT.pack(self.revision, self.epoch, self.digest, self.content))
