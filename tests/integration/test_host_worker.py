"""The worker process and the native module alone: start, health, refusals, the end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import ROOT, Process, free_ports

native = pytest.importorskip("dpu_fastpath", reason="the Rust module is not built (make setup)")

KEY = bytes(range(32))


def build(**more: Any) -> Any:
    told: dict[str, Any] = {"name": "w0", "listen": "127.0.0.1:0", "key": KEY, "engine": "llama", "slots": 2}
    told |= {"models": [("chat", bytes(32), "Q4_1", 2048)], "transport": "auto"}
    return native.HostWorker(**told | more)


def worker(folder: Path, *flags: str) -> Process:
    key, (listen, http) = folder / "worker.key", free_ports(2)
    key.write_bytes(KEY)
    command = [sys.executable, "-m", "host_agent.worker", "--name", "w0", "--key-file", str(key), "--engine", "echo"]
    command += ["--listen", f"127.0.0.1:{listen}", "--http", f"127.0.0.1:{http}", *flags]
    return Process("w0", command, http, folder / "w0.log")


def readyz(process: Process) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{process.http}/readyz", timeout=5) as answer:
        return json.load(answer)


def test_worker_says_where_it_listens_and_leaves_with_0(tmp_path: Path) -> None:
    process = worker(tmp_path)
    process.start()
    try:
        process.wait_ready()
        said = readyz(process)
        assert said["listening"] in " ".join(process.command) and said["transport"]["peers"] == []
        assert ("dpu_worker_running", frozenset()) in process.metrics()
        process.send(signal.SIGTERM)
        assert process.wait() == 0
    finally:
        process.stop()


def test_idle_worker_uses_no_cpu(tmp_path: Path) -> None:
    process = worker(tmp_path)
    process.start()
    try:
        process.wait_ready()
        assert process.running is not None
        stat = Path(f"/proc/{process.running.pid}/stat")
        before = ticks(stat)
        time.sleep(2)
        assert ticks(stat) - before <= 1, "more than 10 ms in 2 s"
    finally:
        process.stop()


def ticks(stat: Path) -> int:
    """User and system time, in hundredths of a second (proc(5), fields 14 and 15)."""
    fields = stat.read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_second_worker_on_an_address_ends_with_a_reason(tmp_path: Path) -> None:
    first = build(engine="echo")
    process = worker(tmp_path, "--listen", first.listening)
    process.start()
    assert process.wait() == 1
    assert first.listening in process.log.read_text()
    first.drain(0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"transport": "pigeon"},
        {"slots": 0},
        {"models": [("chat", b"short", "", 0)]},
        {"listen": "127.0.0.1"},
        {"listen": "127.0.0.1:99999"},
    ],
)
def test_native_worker_refuses_what_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, OSError)):
        build(**wrong)


def test_native_worker_reports_until_it_is_drained() -> None:
    made = build()
    assert json.loads(made.status()) == {"draining": False, "peers": [], "queued": 0, "running": 0}
    assert {family["name"] for family in json.loads(made.metrics())} >= {"dpu_worker_requests", "dpu_worker_running"}
    began = time.monotonic()
    assert made.next(50) is None and 0.04 < time.monotonic() - began < 5
    assert made.drain(1000) == 0 and made.drain(1000) == 0
    assert (made.status(), made.metrics(), made.next(0)) == ("{}", "[]", None)


def test_help_teaches() -> None:
    command = [sys.executable, "-m", "host_agent.worker", "--help"]
    text = subprocess.run(command, check=True, capture_output=True, cwd=ROOT, text=True).stdout
    assert all(word in text for word in ("--engine", "OPENAI_API_KEY", "certs.dev_ca", "SIGTERM"))
