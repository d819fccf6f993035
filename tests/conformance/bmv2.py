"""BMv2 as a target of tests: a switch with our pipeline, plans through the real target, frames asked by packet-out."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

import grpc
from scapy.error import Scapy_Exception
from scapy.utils import RawPcapReader

from dpu_app.model.plan import Plan
from dpu_app.model.plan_packet import PlanPacket
from dpu_app.p4rt.options import ClientOptions
from dpu_app.replay.answer import Answer
from dpu_app.targets.p4runtime import P4RuntimeTarget
from tests.integration.processes import free_ports

CONFIG = Path(__file__).resolve().parents[2] / "p4/build/dpu.json"
COMMAND = "simple_switch_grpc"
CPU_PORT = 510
WIRE = 0
HOST = 1
QUESTIONS_AT_ONCE = 64
"""BMv2 loses what finds its queue of 1,024 recirculated frames full."""
PATIENCE_S = 20.0
Value = TypeVar("Value")


def installed() -> bool:
    """Whether there is a switch to test with."""
    return shutil.which(COMMAND) is not None


def start(address: str, options: Sequence[str], folder: Path | None = None) -> subprocess.Popen[bytes]:
    """The process of a switch."""
    server = ["--", "--grpc-server-addr", address, "--cpu-port", str(CPU_PORT)]
    null = subprocess.DEVNULL
    return subprocess.Popen([COMMAND, "--device-id", "1", *options, *server], cwd=folder, stdout=null, stderr=null)


class Bmv2:
    """A switch without ports: it answers packet-outs. It ends with `close`."""

    def __init__(self) -> None:
        (port,) = free_ports(1)
        address = f"127.0.0.1:{port}"
        self.options = ClientOptions(address=address, plaintext=True, device_config=CONFIG)
        self.process = start(address, ["--no-p4"])
        try:
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(timeout=PATIENCE_S)
            self.target = P4RuntimeTarget(self.options)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.epoch = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the session and the process."""
        self.target.close()
        self.process.terminate()
        self.process.wait(PATIENCE_S)

    def program(self, packet: PlanPacket, epoch: int = 0) -> None:
        """From the next frame on, this plan."""
        self.epoch = epoch or self.epoch + 1
        self.packet = packet
        self.target.apply(Plan(revision=self.epoch, epoch=self.epoch, packet=packet))

    def ask_all(self, frames: Sequence[bytes], ingress: int = WIRE) -> list[Answer]:
        """What the switch answers to each, in their order."""
        found: list[Answer] = []
        for at in range(0, len(frames), QUESTIONS_AT_ONCE):
            batch = frames[at : at + QUESTIONS_AT_ONCE]
            for frame in batch:
                self.target.client.packet_out(frame, ingress=ingress)
            found += [self._answer() for _ in batch]
        return found

    def judge(self, frame: bytes, clock_ns: int = 0) -> Answer:
        """One frame from the wire. The clock is BMv2's own."""
        return self.ask_all([frame])[0]

    def _answer(self) -> Answer:
        reply = self.target.client.packet_in(PATIENCE_S)
        assert reply is not None, "the switch does not answer a packet-out"
        frame, said = reply
        services = {group.id: steer.service for steer in self.packet.tables.steer for group in steer.groups}
        passed = said["verdict"] == 1
        service = services.get(said["group"], 0)
        return Answer(passed, said["reason"], service, said["group"], said["port"], frame if passed else b"")

    def reasons(self) -> dict[int, tuple[int, int]]:
        """Frames and bytes by reason, where there are any."""
        return self.target.client.read_counters("reasons")


@contextmanager
def switch_of_files(folder: Path, ports: Sequence[str]) -> Iterator[None]:
    """A switch without controller whose ports are files: NAME_in.pcap is read, NAME_out.pcap written."""
    (port,) = free_ports(1)
    interfaces = [option for name in ports for option in ("-i", name)]
    process = start(f"127.0.0.1:{port}", ["--use-files", "0", *interfaces, str(CONFIG)], folder)
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def frames_of(path: Path) -> list[bytes]:
    """The frames of a capture that may still be written."""
    try:
        return [data for data, _ in RawPcapReader(str(path))]
    except (OSError, Scapy_Exception):
        return []


def settled(read: Callable[[], Value], wanted: Value) -> Value:
    """What `read` gives once it is what is wanted, or when patience ends."""
    until = time.monotonic() + PATIENCE_S
    while (found := read()) != wanted and time.monotonic() < until:
        time.sleep(0.01)
    return found
