"""Two network namespaces and a cable between them: a client, and a DPU in which the calling thread then is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import netns


@dataclass(frozen=True)
class Cable:
    """Interface and addresses of the DPU's end, and how to run a command at the client's."""

    interface: str
    ipv4: str
    ipv6: str
    client: tuple[str, ...]

    def run(self, *command: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
        """A command at the client's end."""
        return subprocess.run([*self.client, *command], capture_output=True, text=True, timeout=timeout_s)


@contextmanager
def cable() -> Iterator[Cable]:
    """Made of names that no other run has. What the calling thread starts meanwhile runs at the DPU's end."""
    dpu, client = f"dpu-{os.getpid()}", f"client-{os.getpid()}"
    near, far = f"near{os.getpid()}", f"far{os.getpid()}"
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        for name in (dpu, client):
            netns.create(name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", near, "netns", dpu, "type", "veth", "peer", "name", far, "netns", client)
        for name, interface, host in ((dpu, near, 1), (client, far, 2)):
            ip("-n", name, "addr", "add", f"198.18.0.{host}/24", "dev", interface)
            ip("-n", name, "addr", "add", f"2001:db8:77::{host}/64", "dev", interface, "nodad")
            ip("-n", name, "link", "set", interface, "up")
        netns.setns(dpu)
        yield Cable(near, "198.18.0.1", "2001:db8:77::1", ("nsenter", f"--net=/run/netns/{client}"))
    finally:
        netns.setns(home)
        os.close(home)
        for name in (dpu, client):
            if Path("/run/netns", name).exists():
                netns.remove(name)


def ip(*arguments: str) -> None:
    """Runs ip(8). Raises CalledProcessError."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
