"""The real processes of the product on free ports, each under its own handle: a test can kill any one of them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
READY_TIMEOUT_S = 30.0
POLL_S = 0.02
SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now; all held at once so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports


def until(condition: Callable[[], bool], what: str, timeout_s: float = READY_TIMEOUT_S) -> float:
    """Waits for a condition and returns the seconds it took; AssertionError with `what` when the time is over."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout_s:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(POLL_S)
    return time.monotonic() - began


def http_status(url: str) -> int:
    """Status of a GET, 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)
    except OSError:
        return 0


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse_metrics(text: str) -> Samples:
    """Prometheus text as {(name, labels): value}."""
    found = (SAMPLE.match(line) for line in text.splitlines() if not line.startswith("#"))
    return {
        (match["name"], frozenset(LABEL.findall(match["labels"] or ""))): float(match["value"])
        for match in found
        if match
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """Sum over the series of `name` that have these labels."""
    wanted = set(labels.items())
    return sum(value for (found, has), value in samples.items() if found == name and wanted <= has)


@dataclass
class Process:
    """One process: its command, where its health is served, and its log."""

    name: str
    command: list[str]
    http: int
    log: Path
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; returns at once."""
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT)

    def ready(self) -> bool:
        """Whether /readyz says 200; raises AssertionError with the end of the log where it has died."""
        assert self.running is not None
        if self.running.poll() is not None:
            ending = self.log.read_text(errors="replace")[-2000:]
            raise AssertionError(f"{self.name} ended with {self.running.returncode}:\n{ending}")
        return http_status(f"http://127.0.0.1:{self.http}/readyz") == 200

    def wait_ready(self) -> None:
        """Until /readyz is 200."""
        until(self.ready, f"{self.name} is ready")

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        assert self.running is not None
        self.running.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and reaped."""
        self.send(signal.SIGKILL)
        self.wait()

    def wait(self, timeout_s: float = 20.0) -> int:
        """Exit status; raises TimeoutExpired."""
        assert self.running is not None
        return self.running.wait(timeout_s)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL where that is not enough."""
        if self.running is None or self.running.poll() is not None:
            return
        self.send(signal.SIGTERM)
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.kill()

    def metrics(self) -> Samples:
        """What /metrics says now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=5) as answer:
            return parse_metrics(answer.read().decode())


@dataclass
class Stack:
    """Agent, fast path and workers; `start` brings all of them up, `stop` drains them."""

    folder: Path
    ca: Path
    port: int
    config: Path
    agent: Process
    fastpath: Process
    workers: list[Process] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"https://localhost:{self.port}"

    def start(self) -> None:
        """Everything up and ready."""
        for process in [*self.workers, self.fastpath, self.agent]:
            process.start()
        for process in [*self.workers, self.agent, self.fastpath]:
            process.wait_ready()

    def stop(self) -> None:
        """Agent first: the rest lives without it."""
        for process in [self.agent, self.fastpath, *self.workers]:
            process.stop()

    def journal(self) -> list[dict[str, Any]]:
        """Decision records so far, oldest first."""
        path = self.folder / "requests.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def record_of(self, request_id: str, timeout_s: float = 5.0) -> dict[str, Any]:
        """The decision record of a request; the journal is written behind the answer, so this waits."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = [record for record in self.journal() if record["request_id"] == request_id]
            return bool(found)

        until(there, f"record of {request_id}", timeout_s)
        return found[0]


def write_config(path: Path, port: int, worker_ports: list[int], certs: Path) -> None:
    """deploy/config/dev.yaml with these ports and keys: the file that people use is the file that is tested."""
    yaml = YAML()
    desired = yaml.load((ROOT / "deploy/config/dev.yaml").read_text().replace("../../certs/dev/", f"{certs}/"))
    listener = desired["listeners"][0]
    listener["address"] = f"127.0.0.1:{port}"
    for worker, worker_port in zip(desired["workers"], worker_ports, strict=True):
        worker["address"] = f"127.0.0.1:{worker_port}"
    with path.open("w") as file:
        yaml.dump(desired, file)


def make_certificates(folder: Path) -> None:
    """A development CA and all that hangs on it."""
    subprocess.run(
        [sys.executable, "-m", "certs.dev_ca", "--dir", folder], check=True, cwd=ROOT, stdout=subprocess.PIPE
    )


def build(folder: Path, certs: Path, transport: str = "auto") -> Stack:
    """A stack with two echo workers, not started yet. `transport` is both sides' --transport."""
    port, agent_http, fastpath_http, *rest = free_ports(7)
    worker_ports, worker_http = rest[:2], rest[2:]
    config = folder / "desired.yaml"
    write_config(config, port, worker_ports, certs)
    sock = folder / "fastpath.sock"

    def process(name: str, http: int, *command: str) -> Process:
        http_option = ["--http", f"127.0.0.1:{http}"]
        return Process(name, [str(BIN / command[0]), *command[1:], *http_option], http, folder / f"{name}.log")

    state = ["--state-dir", str(folder / "state")]
    agent = ["dpu-agent", "run", "--config", str(config), "--fastpath-socket", str(sock), *state]
    journal = ["--journal", str(folder / "requests.jsonl")]
    fastpath = [
        "dpu-fastpath",
        "--name",
        "fp0",
        "--socket",
        str(sock),
        "--threads",
        "2",
        *journal,
        "--transport",
        transport,
    ]
    worker = ["host-worker", "--engine", "echo", "--key-file", str(certs / "worker.key"), "--transport", transport]
    workers = [
        process(f"w{i}", worker_http[i], *worker, "--name", f"w{i}", "--listen", f"127.0.0.1:{worker_ports[i]}")
        for i in range(2)
    ]
    return Stack(
        folder=folder,
        ca=certs / "ca.pem",
        port=port,
        config=config,
        agent=process("agent", agent_http, *agent),
        fastpath=process("fastpath", fastpath_http, *fastpath),
        workers=workers,
    )


def running(stack: Stack) -> Iterator[Stack]:
    """Starts a stack for the time of a fixture; the logs are in its folder, which pytest keeps."""
    os.makedirs(stack.folder, exist_ok=True)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
