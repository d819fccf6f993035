"""Where the processes of the stack run: all on loopback, or in three namespaces behind the packet stage."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal, Protocol

from deploy.local import netns, packet
from deploy.local.namespaces import Hold, Names, Network
from deploy.local.processes import StackError
from deploy.local.settings import Settings

Role = Literal["client", "fastpath", "agent", "worker"]


class Place(Protocol):
    """What the stack asks of where it runs."""

    uplink: str
    """Interface of the packet stage; empty: there is none."""

    def open(self, vips: list[str]) -> None:
        """Makes it. Raises StackError, OSError."""
        ...

    def command(self, role: Role, command: list[str]) -> list[str]:
        """The command line that runs there."""
        ...

    def inside(self, role: Role) -> AbstractContextManager[None]:
        """The calling thread makes its sockets there."""
        ...

    def close(self) -> None:
        """Leaves nothing behind. Raises StackError."""
        ...


class Loopback:
    """Everything in the network that we were started in."""

    uplink = ""

    def open(self, vips: list[str]) -> None:
        """See Place."""

    def command(self, role: Role, command: list[str]) -> list[str]:
        """See Place."""
        return command

    def inside(self, role: Role) -> AbstractContextManager[None]:
        """See Place."""
        return nullcontext()

    def close(self) -> None:
        """See Place."""


class Behind:
    """Client, DPU and host apart, and XDP on the wire between the first two."""

    def __init__(self, run_dir: Path) -> None:
        """Raises StackError where another stack runs for this folder."""
        self.names = Names.of(run_dir)
        self.uplink = self.names.uplink
        self.hold = Hold(run_dir)
        self.network: Network = Network(self.names, [])

    def open(self, vips: list[str]) -> None:
        """See Place."""
        self.network = Network(self.names, vips)
        self.network.build()

    def namespace(self, role: Role) -> str:
        """Who is where."""
        return {"client": self.names.client, "worker": self.names.host}.get(role, self.names.dpu)

    def command(self, role: Role, command: list[str]) -> list[str]:
        """See Place."""
        # UCX wants its own /sys, the agent and people's tools want bpffs.
        return netns.prefix(self.namespace(role), own_sysfs=role in ("fastpath", "worker")) + command

    def inside(self, role: Role) -> AbstractContextManager[None]:
        """See Place."""
        return netns.inside(self.namespace(role))

    def close(self) -> None:
        """See Place."""
        try:
            self.network.remove()
        finally:
            self.hold.close()


def place_of(settings: Settings, say: Callable[[str], None]) -> Place:
    """What was asked for, or what this machine can. Raises StackError with why and the fix."""
    if settings.packet == "0":
        clear_crashed(settings.run_dir)
        return Loopback()
    reasons = packet.missing()
    if not reasons:
        return Behind(settings.run_dir)
    if settings.packet == "1":
        raise StackError("the packet stage cannot run here: " + "; ".join(reasons) + "; or leave PACKET=1 out")
    say(f"without the packet stage: {'; '.join(reasons)}")
    return Loopback()


def clear_crashed(run_dir: Path) -> None:
    """What a crashed run left in namespaces has the folder's sockets and state. Raises StackError where it lives."""
    names = Names.of(run_dir)
    if any(netns.exists(name) for name in names.all):
        hold = Hold(run_dir)
        try:
            Network(names, []).remove()
        finally:
            hold.close()
