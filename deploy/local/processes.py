"""One child of the stack: its log, its pid file, its readiness, its end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

POLL_S = 0.05
PROBE_TIMEOUT_S = 2.0
LOG_TAIL_LINES = 12


class StackError(Exception):
    """The stack cannot go on; the message says why and what to do."""


@dataclass
class Child:
    """A process that is started, watched and stopped. Its process group is its own: Ctrl-C reaches only us."""

    name: str
    command: list[str]
    health: str
    """Base URL of its health server."""
    run_dir: Path
    around: Callable[[], AbstractContextManager[None]] = nullcontext
    """Where its health server is asked from: inside its network namespace, if it has one."""
    popen: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.run_dir / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Its process id; 0 before the start."""
        return self.popen.pid if self.popen else 0

    def start(self) -> None:
        """Starts it; the log begins anew."""
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        # Whole or not at all: people and tests read it while the stack starts.
        written = self.run_dir / f"{self.name}.pid.new"
        written.write_text(f"{self.pid}\n")
        written.replace(self.run_dir / f"{self.name}.pid")

    def ended(self) -> int | None:
        """Its exit status once it has ended."""
        return self.popen.poll() if self.popen else None

    def wait_for(self, path: str, timeout_s: float) -> float:
        """Waits until GET `path` on its health server is 200. Returns the seconds it took. Raises StackError."""
        began, why = time.monotonic(), "no answer"
        while (took := time.monotonic() - began) < timeout_s:
            if (status := self.ended()) is not None:
                raise StackError(f"{self.name} ended with status {status}; the end of {self.log}:\n{self.tail()}")
            with self.around():
                good, why = probe(self.health + path)
            if good:
                return took
            time.sleep(POLL_S)
        raise StackError(
            f"{self.name} is not ready after {timeout_s:.0f} s ({why}); the end of {self.log}:\n{self.tail()}"
        )

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines)

    def stop(self, timeout_s: float) -> bool:
        """SIGTERM, then KILL for its whole group. False: it had to be killed."""
        gentle = True
        if self.popen is not None and self.ended() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(timeout_s)
            except subprocess.TimeoutExpired:
                gentle = False
                os.killpg(self.pid, signal.SIGKILL)
                self.popen.wait()
        (self.run_dir / f"{self.name}.pid").unlink(missing_ok=True)
        return gentle


def probe(url: str) -> tuple[bool, str]:
    """Whether a health URL answers 200, and what it said otherwise. A process that is busy may break off anywhere."""
    try:
        with urllib.request.urlopen(url, timeout=PROBE_TIMEOUT_S) as answer:
            return answer.status == 200, ""
    except urllib.error.HTTPError as error:
        return False, said_by(error)
    except (OSError, http.client.HTTPException) as error:
        return False, str(getattr(error, "reason", error))


def said_by(error: urllib.error.HTTPError) -> str:
    """The body of an answer that is not 200, as far as it comes."""
    try:
        return explained(error.read())
    except (OSError, http.client.HTTPException):
        return f"status {error.code}"


def explained(body: bytes) -> str:
    """A health answer in few words."""
    try:
        said = json.loads(body)
    except ValueError:
        return body[:100].decode(errors="replace").strip()
    return str(said.get("reason") or said.get("stage") or said)[:200] if isinstance(said, dict) else str(said)[:200]
