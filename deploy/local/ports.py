"""Whether a TCP port can be had, and who has it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

LISTEN = "0A"
"""State of a listening socket in /proc/net/tcp (include/net/tcp_states.h)."""


def taken(host: str, port: int) -> bool:
    """Whether binding fails now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def holder(port: int) -> str:
    """The process that listens on a port: "nginx (pid 7)"; "another process" where /proc does not tell us."""
    inodes = listening_inodes(port)
    for folder in Path("/proc").glob("[0-9]*/fd"):
        if inodes & open_files(folder):
            pid = folder.parent.name
            return f"{command_of(folder.parent)} (pid {pid})"
    return "another process"


def open_files(folder: Path) -> set[str]:
    """What a process has open; files that close while we look are left out, and so is what we may not see."""
    found = set()
    try:
        for link in folder.iterdir():
            try:
                found.add(os.readlink(link))
            except OSError:
                continue
    except OSError:
        pass
    return found


def listening_inodes(port: int) -> set[str]:
    """The sockets that listen on a port, as /proc/PID/fd names them."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:] if Path(table).exists() else []:
            fields = line.split()
            if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def command_of(process: Path) -> str:
    """What a process was started as, in short."""
    try:
        words = [os.path.basename(word) for word in (process / "cmdline").read_text().split("\0") if word]
    except OSError:
        words = []
    return " ".join(words[:3]) or "a process"
