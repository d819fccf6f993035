"""The load client `dpu-load` (fastpath/benches): one process for a side in a scenario, kept over all rounds.

It makes its connections and warms them up before it says that it is ready, so no handshake is in a round (but where
handshakes are the work), and a round ends when the last answer is there: nothing is in flight when CPU time is read.
"""

from __future__ import annotations

import dataclasses
import json
import os
import selectors
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.processes import stop
from bench.work import PATH, Scenario, WrongAnswer

ROOT = Path(__file__).resolve().parent.parent
READY_S = 120.0
GRACE_S = 60.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Load:
    """What the client saw in one round."""

    turns: int
    """Answers or handshakes."""
    units: int
    """Answers, events or handshakes: what CPU time is divided by."""
    seconds: float
    """From the first request to the last answer."""
    p50_us: float
    p99_us: float
    """Microseconds of a turn: from when it was due in the open loop, from its first byte in a closed one."""


class Stuck(RuntimeError):
    """The client did not end in time: the side hangs, or the client does."""


def program() -> Path:
    """The built client: DPU_LOAD, or what `make bench` has built (PROFILE=dev is the only one with another folder)."""
    folder = "debug" if os.environ.get("PROFILE") == "dev" else "release"
    return Path(os.environ.get("DPU_LOAD") or ROOT / f"fastpath/target/{folder}/dpu-load")


def arguments(scenario: Scenario, address: str, files: dict[str, Path]) -> list[str]:
    """Its command line. `files`: body, keys, and ca where the server speaks TLS."""
    values: dict[str, object] = {
        "address": address,
        "path": PATH,
        "connections": scenario.connections,
        "tokens": scenario.tokens,
        "warm-up": scenario.warm_up,
        # Streams begin spread over the time between two tokens, or all of them would have their events together.
        "spread-us": scenario.delay_ms * 1_000,
        **files,
    }
    if scenario.http2:
        values |= {"protocol": "h2", "streams": scenario.streams}
    if scenario.mode == "paced":
        values["rate"] = scenario.rate_per_s
    if scenario.mode == "handshake":
        values["resumed"] = str(scenario.resumed).lower()
    return [scenario.mode, *(word for name, value in values.items() for word in (f"--{name}", str(value)))]


class Client:
    """A running client. Close it, or use it in a `with`."""

    def __init__(self, command: list[str]) -> None:
        """Starts it; `ready` waits for it."""
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0)
        self._pending = b""

    def __enter__(self) -> Client:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it."""
        self.close()

    def ready(self) -> float:
        """Waits until all connections are warm; how long that took in seconds. Raises Stuck, WrongAnswer."""
        return float(self._answer(READY_S)["seconds"])

    def go(self, seconds: float) -> Load:
        """One round; raises Stuck, or WrongAnswer when one answer is not the right one."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(f"go {seconds}\n".encode())
        except OSError as error:
            raise Stuck(f"the load client is gone: {error}") from error
        told = self._answer(seconds + GRACE_S)
        if told["units"] == 0:
            raise WrongAnswer("not one answer in the whole round")
        return Load(**told)

    def close(self) -> None:
        """The end of its input ends it, connections closed; a client that hangs is killed."""
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.close()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            stop(self._child)
        self._child.stdout.close()

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self._line(timeout_s))
        if "fault" in told:
            raise WrongAnswer(str(told["fault"]))
        return told

    def _line(self, timeout_s: float) -> bytes:
        assert self._child.stdout is not None
        until = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                left = until - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise Stuck(f"no word from the load client in {timeout_s:.0f} s")
                got = os.read(self._child.stdout.fileno(), 65536)
                if not got:
                    raise Stuck("the load client ended without a word")
                self._pending += got
        line, _, self._pending = self._pending.partition(b"\n")
        return line
