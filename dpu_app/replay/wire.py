"""The XDP program on a real interface: a veth pair between two namespaces of our own, which end with us."""

from __future__ import annotations

import itertools
import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from pyroute2 import NetNS, netns

from abi.gen.packet import ReplayIo
from dpu_app.replay.answer import Answer
from dpu_app.replay.target import TargetFailed, Timed

MTU = 3_400
"""What a page holds beside XDP's headroom, so that native mode takes every frame."""
FRAME_BYTES_MIN = 14
FRAME_BYTES_MAX = MTU + FRAME_BYTES_MIN
ANSWER_TIMEOUT_S = 1.0
ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_AUXDATA = 8
AUXDATA = struct.Struct("=IIIHHHH")
VLAN_VALID = 0x10
VLAN_TPID_VALID = 0x40
TYPES_AT = 12
NUMBERS = itertools.count()
"""Of the pairs of this process."""


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """The calling thread in a network namespace."""
    netns.pushns(namespace)
    try:
        yield
    finally:
        netns.popns()


class Wire:
    """Frames are sent one by one on one end, and captured behind XDP on the other.

    Needs CAP_NET_ADMIN, CAP_SYS_ADMIN and CAP_NET_RAW. `io` is the mapped `replay_io` of the program.
    """

    name = "wire"
    blind: tuple[str, ...] = ()

    def __init__(self, program_fd: int, io: mmap.mmap) -> None:
        """Raises TargetFailed."""
        self._io = io
        self._opened = ExitStack()
        self.notes: tuple[str, ...] = (
            f"wire: a veth pair; frames below {FRAME_BYTES_MIN} and beyond {FRAME_BYTES_MAX:,} bytes cannot be sent; "
            "reason, service and group are what the program says, verdict and bytes what arrives",
        )
        try:
            self._sender, self._receiver = self._build(program_fd)
        except Exception as error:
            # pyroute2 raises its own kinds beside OSError; whatever was made goes again.
            self._opened.close()
            raise TargetFailed(f"wire cannot be built: {error}; run it as root") from error

    def _build(self, program_fd: int) -> tuple[socket.socket, socket.socket]:
        number = next(NUMBERS)
        names = [f"dpu-replay-{os.getpid()}-{number}-{end}" for end in ("client", "dpu")]
        for name in names:
            netns.create(name)
            self._opened.callback(netns.remove, name)
            with inside(name):
                quiet()
        client, dpu = (self._opened.enter_context(NetNS(name)) for name in names)
        dpu.link("add", ifname="wire0", kind="veth", mtu=MTU, peer={"ifname": "client0", "net_ns_fd": names[0]})
        [index] = dpu.link_lookup(ifname="wire0")
        [peer] = client.link_lookup(ifname="client0")
        client.link("set", index=peer, mtu=MTU, state="up")
        dpu.link("set", index=index, xdp_fd=program_fd)
        dpu.link("set", index=index, state="up")
        sender, receiver = (self._socket(*end) for end in ((names[0], "client0"), (names[1], "wire0")))
        receiver.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        return sender, receiver

    def _socket(self, namespace: str, interface: str) -> socket.socket:
        with inside(namespace):
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self._opened.callback(opened.close)
            opened.bind((interface, 0))
        return opened

    def judge(self, frames: Sequence[Timed]) -> list[Answer | None]:
        """One answer a frame. Raises TargetFailed where the program does not see one."""
        return [self._one(clock_ns, frame) for clock_ns, frame in frames]

    def _one(self, clock_ns: int, frame: bytes) -> Answer | None:
        if not FRAME_BYTES_MIN <= len(frame) <= FRAME_BYTES_MAX:
            return None
        before = self._said().frames
        struct.pack_into("=Q", self._io, 0, clock_ns)
        self._sender.send(frame)
        until = time.monotonic() + ANSWER_TIMEOUT_S
        while (said := self._said()).frames == before:
            if time.monotonic() > until:
                raise TargetFailed(
                    "wire: a frame was sent and the program did not see it: nothing else may use the pair"
                )
            time.sleep(0)
        arrived = self._arrived(ANSWER_TIMEOUT_S if said.reason <= 9 else 0)
        passed = arrived is not None
        return Answer(passed, said.reason, said.service, said.group, said.port, arrived or b"")

    def _said(self) -> ReplayIo:
        return ReplayIo.unpack(self._io[: ReplayIo.SIZE])

    def _arrived(self, timeout_s: float) -> bytes | None:
        readable, _, _ = select.select([self._receiver], [], [], timeout_s)
        if not readable:
            return None
        data, ancillary, _, _ = self._receiver.recvmsg(65_536, socket.CMSG_SPACE(AUXDATA.size))
        return with_tag(data, ancillary)

    def close(self) -> None:
        """Removes the namespaces, and the pair with them."""
        self._opened.close()


def quiet() -> None:
    """The kernel's own IPv6 frames off, in this namespace: only what is replayed is on the wire."""
    for scope in ("all", "default"):
        with open(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6", "w", encoding="ascii") as setting:
            setting.write("1")


def with_tag(data: bytes, ancillary: list[tuple[int, int, bytes]]) -> bytes:
    """The frame with the VLAN tag that the kernel has taken out of it (packet(7), PACKET_AUXDATA)."""
    for level, kind, value in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA) and len(value) >= AUXDATA.size:
            status, _, _, _, _, tci, tpid = AUXDATA.unpack_from(value)
            if status & VLAN_VALID:
                tag = struct.pack("!HH", tpid if status & VLAN_TPID_VALID else 0x8100, tci)
                return data[:TYPES_AT] + tag + data[TYPES_AT:]
    return data
