"""The launcher of `make run`: it tells what died, goes on without agent and workers, and leaves nobody behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from certs import dev_ca
from deploy.local import ports
from tests.integration.processes import ROOT, free_ports, until

pytest.importorskip("dpu_fastpath", reason="the Rust module is not built (make setup)")
CHILDREN = ("w0", "w1", "fastpath", "agent")
Start = Callable[[], subprocess.Popen[bytes]]


def free_block(count: int) -> int:
    """The first of `count` free ports in a row."""
    for first in free_ports(32):
        if not any(ports.taken("127.0.0.1", first + offset) for offset in range(count)):
            return first
    raise AssertionError("no free ports in a row")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the launcher with echo workers; what it says is in launcher.log."""
    dev_ca.make(ROOT / "certs/dev")
    made: list[subprocess.Popen[bytes]] = []

    def begin() -> subprocess.Popen[bytes]:
        numbers = {"port": free_block(1), "worker-port": free_block(2), "health-port": free_block(4)}
        flags = [f"--{name}={number}" for name, number in numbers.items()]
        command = [
            sys.executable,
            str(ROOT / "deploy/local/stack.py"),
            "--engine=echo",
            f"--run-dir={tmp_path}",
            *flags,
        ]
        with (tmp_path / "launcher.log").open("wb") as log:
            made.append(subprocess.Popen(command, stdout=log, stderr=log))
        return made[-1]

    yield begin
    for launcher in made:
        launcher.terminate()
        launcher.wait(60)


def said(folder: Path) -> str:
    return (folder / "launcher.log").read_text()


def pid_of(folder: Path, name: str) -> int:
    return int((folder / f"{name}.pid").read_text())


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_agent_and_worker_may_die_but_the_fast_path_may_not(start: Start, tmp_path: Path) -> None:
    launcher = start()
    until(lambda: "everything runs" in said(tmp_path), "the stack runs", 60)
    pids = {name: pid_of(tmp_path, name) for name in CHILDREN}
    for name in ("agent", "w1"):
        os.kill(pids[name], signal.SIGKILL)
    notes = [f"{name} (pid {pids[name]}) ended with status -9" for name in ("agent", "w1")]
    until(lambda: all(note in said(tmp_path) for note in notes), "both are missed")
    assert launcher.poll() is None
    os.kill(pids["fastpath"], signal.SIGKILL)
    assert launcher.wait(60) == 1
    assert "the fast path ended" in said(tmp_path)
    assert not any(lives(pid) for pid in pids.values())


def test_launcher_that_is_stopped_while_it_starts_leaves_nobody_behind(start: Start, tmp_path: Path) -> None:
    launcher = start()
    until((tmp_path / "w1.pid").exists, "the workers are started")
    pids = [pid_of(tmp_path, name) for name in ("w0", "w1")]
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(60) == 0
    assert not any(lives(pid) for pid in pids)
    assert not list(tmp_path.glob("*.pid"))
