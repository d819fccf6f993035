"""Starting and ending the bench's own processes, by their pid only, and waiting until they answer."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

_READY_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 15.0


class NotReady(RuntimeError):
    """A process that the bench needs did not come up; the text says which, and where its log is."""


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    arguments: list[str], log: Path, port: int, *, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program with its output in `log` until the block ends; enters the block when `port` accepts."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    try:
        _wait_for_port(child, port, log)
        yield child
    finally:
        stop(child)


def stop(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL when that is not enough."""
    child.terminate()
    try:
        child.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _wait_for_port(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < until:
        if child.poll() is not None:
            raise NotReady(f"{log.stem} ended with {child.returncode}:\n{log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise NotReady(f"{log.stem} does not listen on port {port}:\n{log.read_text(errors='replace')[-2000:]}")
