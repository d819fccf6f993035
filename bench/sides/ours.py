"""dpu-app itself: agent, fast path and one worker with the echo engine, on ports of their own."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from bench.processes import NotReady, free_port, running
from bench.sides.base import Running, Setup, render
from bench.work import KEY

NAME = "dpu-app"
ROOT = Path(__file__).resolve().parent.parent.parent
_READY_TIMEOUT_S = 30.0


def version() -> str:
    """For example `dpu-app 0.1.0`."""
    try:
        return f"{NAME} {metadata.version(NAME)}"
    except metadata.PackageNotFoundError:
        return f"{NAME} (not installed)"


@contextlib.contextmanager
def start(setup: Setup) -> Iterator[Running]:
    """Runs it until the block ends. The fast path is counted; the worker is behind it; the agent is idle by then."""
    with contextlib.ExitStack() as stack:
        port, worker_port = free_port(), free_port()
        worker = _program(stack, setup, "host_agent.worker", _worker_arguments(setup, worker_port))
        fastpath = _program(stack, setup, "dpu_app.fastpath", _fastpath_arguments(setup))
        _program(stack, setup, "dpu_app", _agent_arguments(setup, port, worker_port))
        _wait_until_ready(setup, fastpath.http)
        yield Running(name=NAME, port=port, proxies=(fastpath.pid,), behind=(worker.pid,), version=version())


class _Started:
    """One of our processes: its pid and the port of its health server."""

    def __init__(self, pid: int, http: int) -> None:
        self.pid = pid
        self.http = http


def _program(stack: contextlib.ExitStack, setup: Setup, module: str, arguments: list[str]) -> _Started:
    health = free_port()
    command = [sys.executable, "-m", module, *arguments, "--http", f"127.0.0.1:{health}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = setup.directory / f"{module}.log"
    return _Started(stack.enter_context(running(command, log, health, environment=environment)).pid, health)


def _worker_arguments(setup: Setup, port: int) -> list[str]:
    key = setup.key.with_name("worker.key")
    engine = ["--engine", "echo", "--model", "chat"]
    return ["--name", "w0", "--listen", f"127.0.0.1:{port}", "--key-file", str(key), *engine, *_transport()]


def _fastpath_arguments(setup: Setup) -> list[str]:
    # No journal: nginx and HAProxy write no access log either.
    return ["--socket", _socket(setup), "--threads", str(setup.workers), *_transport()]


def _agent_arguments(setup: Setup, port: int, worker_port: int) -> list[str]:
    values: dict[str, object] = {
        "PORT": port,
        "CERTIFICATE": setup.certificate,
        "KEY": setup.key,
        "KEYHASH": hashlib.sha256(KEY.encode()).hexdigest(),
        "WORKER": worker_port,
        "WORKERKEY": setup.key.with_name("worker.key"),
    }
    config = render("dpu.yaml", setup.directory / "dpu.yaml", values)
    state = setup.directory / "state"
    return ["run", "--config", str(config), "--fastpath-socket", _socket(setup), "--state-dir", str(state)]


def _socket(setup: Setup) -> str:
    return str(setup.directory / "fastpath.sock")


def _transport() -> list[str]:
    """UCX's way to the worker: TRANSPORT of the environment, or the fast path's own choice."""
    return ["--transport", os.environ.get("TRANSPORT") or "auto"]


def _wait_until_ready(setup: Setup, health: int) -> None:
    """Until the fast path has a plan and a worker that answers; raises NotReady with its last word."""
    until = time.monotonic() + _READY_TIMEOUT_S
    said = ""
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", health, timeout=5)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            said = answer.read().decode(errors="replace")
            if answer.status == 200:
                return
        time.sleep(0.1)
    logs = "\n".join(path.read_text(errors="replace")[-1000:] for path in sorted(setup.directory.glob("*dpu_app*.log")))
    raise NotReady(f"dpu-app is not ready: {said}\n{logs}")
