"""The stack of `make run PACKET=1` for tests: its counters and flows, and who works in the client's namespace."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from abi.gen.packet import FlowKey, FlowValue
from abi.gen.reasons import Reason
from certs import dev_ca
from deploy.local import netns, packet
from deploy.local.namespaces import WIRE
from deploy.local.place import Behind
from deploy.local.processes import Child
from deploy.local.settings import Settings
from deploy.local.stack import Stack
from dpu_app.targets.packet import bpf, generation
from dpu_app.targets.packet.programmed import Record
from tests.integration.processes import Samples, parse_metrics, until
from tests.packets import flood_pkts

MISSING = packet.missing()
needs_packet = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))
URLS = ("https://192.0.2.10", "https://[2001:db8:a::10]")
FLOOD_PER_S = 8_000
BURST = 16
"""Frames at once: the queue between the ends of a veth pair holds 256."""


@dataclass
class Seen:
    """What the packet stage says at one moment."""

    reasons: dict[str, int]
    events: dict[str, int]
    flows: dict[bytes, FlowValue]
    epoch: tuple[int, int]
    record: Record
    entries_max: int
    program_id: int

    def since(self, before: Seen) -> dict[str, int]:
        """Frames by reason from then to now; those that did not move are left out."""
        moved = {name: count - before.reasons.get(name, 0) for name, count in self.reasons.items()}
        return {name: count for name, count in moved.items() if count}

    def alive_since(self, before: Seen) -> list[bytes]:
        """Keys of flows that were there then and have had frames meanwhile."""
        then = before.flows
        return [key for key, flow in self.flows.items() if key in then and flow.last_ns > then[key].last_ns]


class Lab:
    """A running stack behind the packet stage."""

    def __init__(self, folder: Path) -> None:
        dev_ca.main([])
        self.stack = Stack(Settings(engine="echo", run_dir=folder, packet="1", threads=2, drain_s=5.0), print)
        assert isinstance(self.stack.place, Behind)
        self.place: Behind = self.stack.place

    @property
    def names(self) -> tuple[str, str, str]:
        """The three namespaces."""
        return self.place.names.all

    def seen(self) -> Seen:
        """Asked of the pinned maps, not of the agent."""
        found = generation.adopted(self.place.network.pins)
        assert found is not None, "nothing is pinned"
        link = bpf.opened(str(found.folder / generation.LINK))
        try:
            return Seen(
                {Reason(number).name.lower(): counter.packets for number, counter in found.maps.reasons().items()},
                found.maps.events(),
                {key: FlowValue.unpack(value) for key, value in found.maps["flow"].items()},
                found.maps.epoch(),
                Record.read(found.maps),
                found.maps["flow"].shape.entries_max,
                bpf.link(link).program_id,
            )
        finally:
            bpf.close(link)
            found.close()

    def metrics(self, child: Child) -> Samples:
        """What /metrics of a child says."""
        with child.around(), urllib.request.urlopen(child.health + "/metrics", timeout=5) as answer:
            return parse_metrics(answer.read().decode())

    def reload(self, change: Callable[[Any], None]) -> None:
        """Changes the desired state's file, and waits until the agent has programmed it."""
        before = self.seen().epoch[0]
        yaml = YAML()
        document = yaml.load(self.stack.effective.path)
        change(document)
        yaml.dump(document, self.stack.effective.path)
        assert self.stack.agent.popen is not None
        self.stack.agent.popen.send_signal(signal.SIGHUP)
        until(lambda: self.seen().epoch[0] > before, "the agent has programmed the change", 60)

    @property
    def uplink_mac(self) -> str:
        """Where frames on the wire go."""
        command = ["ip", "-j", "-n", self.place.names.dpu, "link", "show", self.place.uplink]
        return str(json.loads(subprocess.check_output(command))[0]["address"])

    def wire(self) -> tuple[int, int]:
        """Frames that the client's end has sent, and those that found no room in the queue."""
        command = ["ip", "-j", "-s", "-n", self.place.names.client, "link", "show", WIRE]
        sent = json.loads(subprocess.check_output(command))[0]["stats64"]["tx"]
        return sent["packets"], sent["dropped"]

    def tcp(self, role: str) -> dict[str, int]:
        """The kernel's TCP counters in the client's or the DPU's namespace (proc_net_snmp)."""
        with self.place.inside("client" if role == "client" else "fastpath"):
            lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
        names, values = (line.split()[1:] for line in lines if line.startswith("Tcp:"))
        return dict(zip(names, map(int, values), strict=True))

    @contextmanager
    def raw_socket(self) -> Iterator[socket.socket]:
        """Sends whole frames from the client's end of the wire."""
        with self.place.inside("client"):
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with sender:
            sender.bind((WIRE, 0))
            yield sender

    def kill_agent(self) -> None:
        """SIGKILL, and reaped."""
        agent = self.stack.agent.popen
        assert agent is not None
        agent.kill()
        agent.wait()


@dataclass
class Sdk:
    """A packet_client process in the client's namespace."""

    process: subprocess.Popen[str]

    def line(self) -> dict[str, Any]:
        """The next thing that it says."""
        assert self.process.stdout is not None
        said: dict[str, Any] = json.loads(self.process.stdout.readline())
        return said

    def finish(self) -> dict[str, Any]:
        """Ends the load, waits for the streams; what came of it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        last = self.line()
        assert self.process.wait(30) == 0
        return last


@contextmanager
def sdk(lab: Lab, *flags: str) -> Iterator[Sdk]:
    """The SDK at work in the client's namespace; everything of it has begun when this is entered."""
    urls = [word for url in URLS for word in ("--url", url)]
    script = Path(__file__).with_name("packet_client.py")
    command = [*netns.prefix(lab.place.names.client, own_sysfs=False), sys.executable, str(script)]
    process = subprocess.Popen(
        [*command, "--ca", str(lab.stack.ca), *urls, *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    made = Sdk(process)
    try:
        assert made.line() == {"ready": True}
        yield made
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@dataclass
class Flood:
    """Frames of several kinds in turn, from a thread; bounded in number and in rate."""

    lab: Lab
    each: int
    kinds: tuple[str, ...] = tuple(flood_pkts.MAKERS)
    sent: int = field(default=0, init=False)
    took_s: float = field(default=0.0, init=False)

    def run(self) -> None:
        """Sends `each` frames of every kind."""
        mac = self.lab.uplink_mac
        pools = [flood_pkts.frames(kind, mac, 64) for kind in self.kinds]
        began = time.monotonic()
        with self.lab.raw_socket() as sender:
            for number in range(self.each):
                for pool in pools:
                    sender.send(pool[number % len(pool)])
                    self.sent += 1
                    if self.sent % BURST == 0:
                        time.sleep(max(0.0, began + self.sent / FLOOD_PER_S - time.monotonic()))
        self.took_s = time.monotonic() - began

    @contextmanager
    def running(self) -> Iterator[None]:
        """Beside what the caller does; over when this is left."""
        thread = threading.Thread(target=self.run, name="flood")
        thread.start()
        try:
            yield
        finally:
            thread.join()


def flow_key(value: bytes) -> FlowKey:
    """The parts of a flow's key."""
    return FlowKey.unpack(value)
