"""dpu-app itself: agent, fast path and one worker with the echo engine, over shared memory or TCP between the two."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from bench.processes import NotReady, free_port, running
from bench.sides.base import Running, Setup, render
from bench.work import keys

NAME = "dpu-app"
SHM, TCP = "dpu-app-shm", "dpu-app-tcp"
"""Names of the two in samples."""
ROOT = Path(__file__).resolve().parent.parent.parent
_READY_TIMEOUT_S = 120.0
"""A plan of ten thousand tenants is read and checked by the agent first."""


def version() -> str:
    """For example `dpu-app 0.1.0`."""
    try:
        return f"{NAME} {metadata.version(NAME)}"
    except metadata.PackageNotFoundError:
        return f"{NAME} (not installed)"


@contextlib.contextmanager
def start(setup: Setup, name: str = SHM, tenants: int = 1) -> Iterator[Running]:
    """Runs it until the block ends. The fast path is counted; the worker is behind it; the agent is idle by then."""
    with contextlib.ExitStack() as stack:
        port, worker_port = free_port(), free_port()
        own = Path(tempfile.mkdtemp(prefix="ours-", dir=setup.directory))
        way = ["--transport", name.rpartition("-")[2]]
        worker = _program(stack, own, "host_agent.worker", [*_worker_arguments(setup, worker_port), *way])
        fastpath = _program(stack, own, "dpu_app.fastpath", [*_fastpath_arguments(setup, own), *way])
        _program(stack, own, "dpu_app", _agent_arguments(setup, own, port, worker_port, tenants))
        _wait_until_ready(own, fastpath.http)
        yield Running(
            name=name,
            port=port,
            events_port=port,
            proxies=(fastpath.pid,),
            behind=(worker.pid,),
            version=version(),
        )


class _Started:
    """One of our processes: its pid and the port of its health server."""

    def __init__(self, pid: int, http: int) -> None:
        self.pid = pid
        self.http = http


def _program(stack: contextlib.ExitStack, own: Path, module: str, arguments: list[str]) -> _Started:
    health = free_port()
    command = [sys.executable, "-m", module, *arguments, "--http", f"127.0.0.1:{health}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = own / f"{module}.log"
    return _Started(stack.enter_context(running(command, log, health, environment=environment)).pid, health)


def _worker_arguments(setup: Setup, port: int) -> list[str]:
    key = setup.key.with_name("worker.key")
    engine = ["--engine", "echo", "--model", "chat"]
    return ["--name", "w0", "--listen", f"127.0.0.1:{port}", "--key-file", str(key), *engine]


def _fastpath_arguments(setup: Setup, own: Path) -> list[str]:
    # No journal: nginx, HAProxy and Envoy write no access log either. Nor is any of them pinned: client, proxy and what
    # stands behind it share the cores.
    return ["--socket", _socket(own), "--threads", str(setup.workers), "--no-pin"]


def _agent_arguments(setup: Setup, own: Path, port: int, worker_port: int, tenants: int) -> list[str]:
    values: dict[str, object] = {
        "PORT": port,
        "CERTIFICATE": setup.certificate,
        "KEY": setup.key,
        "TENANTS": "\n".join(_tenant(number, key) for number, key in enumerate(keys(tenants))),
        "WORKER": worker_port,
        "WORKERKEY": setup.key.with_name("worker.key"),
    }
    config = render("dpu.yaml", own / "dpu.yaml", values)
    return ["run", "--config", str(config), "--fastpath-socket", _socket(own), "--state-dir", str(own / "state")]


def _tenant(number: int, key: str) -> str:
    """One entry of `tenants`; the first is the `alpha` of the development configuration."""
    name = f"t{number}" if number else "alpha"
    return f"  - name: {name}\n    keys: [sha256:{hashlib.sha256(key.encode()).hexdigest()}]\n    models: [chat]"


def _socket(own: Path) -> str:
    return str(own / "fastpath.sock")


def _wait_until_ready(own: Path, health: int) -> None:
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
    logs = "\n".join(path.read_text(errors="replace")[-1000:] for path in sorted(own.glob("*dpu_app*.log")))
    raise NotReady(f"dpu-app is not ready: {said}\n{logs}")
