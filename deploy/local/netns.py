"""Network namespaces: made, entered by a thread, used for a command, emptied and removed."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.local.processes import StackError

FOLDER = Path("/run/netns")
"""Where iproute2 keeps their names."""
CLONE_NEWNET = 0x40000000
EMPTY_TIMEOUT_S = 5.0
_libc = ctypes.CDLL(None, use_errno=True)


def path_of(name: str) -> Path:
    """The file that stands for a namespace."""
    return FOLDER / name


@contextmanager
def inside(name: str) -> Iterator[None]:
    """The calling thread makes its sockets in that namespace; an empty name changes nothing. Raises OSError.

    A socket stays where it was made: what was opened before goes on outside, what is opened here may be used after.
    """
    if not name:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(path_of(name), os.O_RDONLY)
        try:
            enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            enter(home)
    finally:
        os.close(home)


def enter(descriptor: int) -> None:
    """setns(2) of the calling thread. Raises OSError."""
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"entering a network namespace: {os.strerror(code)}")


def prefix(name: str, own_sysfs: bool) -> list[str]:
    """What a command line begins with to run in a namespace, under its own process id.

    UCX looks for devices in /sys/class/net, which is that of the namespace that mounted it: `ip netns exec` mounts it
    anew. It hides bpffs, which lies below: who needs that one enters the network alone.
    """
    return ["ip", "netns", "exec", name] if own_sysfs else ["nsenter", f"--net={path_of(name)}", "--"]


def ip(lines: Sequence[str], name: str = "") -> None:
    """Runs lines of iproute2 in a namespace, or outside of all. Raises StackError with the line that failed."""
    command = ["ip", *(["-n", name] if name else []), "-batch", "-"]
    done = subprocess.run(command, input="\n".join(lines) + "\n", text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise StackError(f"{' '.join(command[:-2])}: {done.stderr.strip()}")


def exists(name: str) -> bool:
    """Whether there is one of this name."""
    return path_of(name).exists()


def members(name: str) -> list[int]:
    """Process ids of everybody in it."""
    done = subprocess.run(["ip", "netns", "pids", name], text=True, capture_output=True, check=False)
    return [int(line) for line in done.stdout.split()]


def remove(name: str) -> list[int]:
    """Kills who is left in it and takes it away; the process ids of the killed. Does nothing where there is none."""
    if not exists(name):
        return []
    killed = empty(name)
    ip([f"netns delete {name}"])
    return killed


def empty(name: str) -> list[int]:
    """Kills everybody in it, and waits until they are gone."""
    killed: list[int] = []
    until = time.monotonic() + EMPTY_TIMEOUT_S
    while (left := members(name)) and time.monotonic() < until:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed.append(pid)
        time.sleep(0.02)
    return sorted(set(killed))
