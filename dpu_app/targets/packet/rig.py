"""The packet programs for questions about single frames: loaded, programmed, attached to nothing, pinned nowhere."""

from __future__ import annotations

import mmap
import struct

from abi.gen.packet import ReplayIo
from dpu_app.model.plan_packet import PlanPacket
from dpu_app.targets.packet import bpf
from dpu_app.targets.packet.acl import acl_tables
from dpu_app.targets.packet.layout import Sizes, sizes_of
from dpu_app.targets.packet.render import contents
from dpu_app.targets.packet.source import Options
from dpu_app.targets.xdp import Loaded, load

XDP_PASS = 2
FRAME_BYTES_MIN = 14
"""The kernel runs nothing over less; an Ethernet header is as long."""


def sizes_for(packets: tuple[PlanPacket, ...]) -> Sizes:
    """Large enough for each of them."""
    sizes = Sizes()
    for packet in packets:
        sizes = sizes.at_least(sizes_of(packet, acl_tables(packet.tables)))
    return sizes


class XdpRig:
    """Owns a set of programs and maps of its own. Needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON. Close it.

    `packets` are all that will be programmed; the first one is at once, with epoch 1.
    """

    def __init__(self, packets: tuple[PlanPacket, ...], *, capture_clock: bool = False) -> None:
        """Raises TargetUnavailable. With `capture_clock` the time of a frame is what `ask` says, else the kernel's."""
        options = Options(replay=True, replay_clock=capture_clock)
        self.loaded: Loaded = load(sizes_for(packets), options, {}, ("ingress",))
        self.io: mmap.mmap = self.loaded.maps["replay_io"].mapped()
        self.program(packets[0], 1)

    @property
    def program_fd(self) -> int:
        """For BPF_PROG_TEST_RUN: XDP."""
        return self.loaded.programs["ingress"]

    @property
    def io_fd(self) -> int:
        """The memory-mapped array that holds one `struct replay_io`."""
        return self.loaded.maps["replay_io"].fd

    def program(self, packet: PlanPacket, epoch: int) -> None:
        """Writes the bank that is not active and flips; meters and flows stay."""
        bank = 1 - self.loaded.maps.epoch()[1]
        self.loaded.maps.write(
            bank, contents(packet.tables, acl_tables(packet.tables), bank, self.loaded.maps.sizes.max_vip_buckets)
        )
        self.loaded.maps.flip(epoch, bank)

    def ask(self, frame: bytes, clock_ns: int = 0) -> tuple[bool, ReplayIo, bytes]:
        """Whether it passed, what the program said of it, and its bytes after. At least FRAME_BYTES_MIN bytes."""
        struct.pack_into("=Q", self.io, 0, clock_ns)
        run = bpf.test_run(self.program_fd, frame)
        return run.result == XDP_PASS, ReplayIo.unpack(self.io[: ReplayIo.SIZE]), run.data

    def close(self) -> None:
        """Lets go of all of it."""
        self.io.close()
        self.loaded.close()
