"""The machine that the bench runs on: what it is, whether it is quiet, how many descriptors there are."""

from __future__ import annotations

import os
import platform
import resource
import time
from pathlib import Path

QUIET_PERCENT = 5.0
"""Of all cores: more than this used by others before the rounds, or during a run, is told."""
_TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


def processor() -> str:
    """Model of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"


def describe() -> str:
    """Architecture, processor, cores, kernel."""
    return f"{platform.machine()}, {processor()}, {os.cpu_count()} cores, Linux {platform.release()}"


def busy_us() -> float:
    """CPU time in microseconds that all processes of the machine have used, and what other machines took (steal).

    In steps of 10 ms. Interrupts are left out: a kernel counts them beside the process that they interrupt.
    """
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    user, nice, system, steal = (int(fields[at]) for at in (1, 2, 3, 8))
    return (user + nice + system + steal) * _TICK_US


def others_percent(busy: float, own: float, seconds: float) -> float:
    """Share of all cores that others used: `busy` of the machine and `own` of the bench in microseconds."""
    return max(0.0, 100 * (busy - own) / (seconds * 1e6 * (os.cpu_count() or 1)))


def wait_until_quiet(timeout_s: float) -> float:
    """Waits until others use next to nothing; what they used in the last second, in percent of all cores."""
    until = time.monotonic() + timeout_s
    while True:
        before = busy_us()
        time.sleep(1)
        percent = others_percent(busy_us() - before, 0.0, 1.0)
        if percent <= QUIET_PERCENT or time.monotonic() >= until:
            return percent


def files_max() -> int:
    """Descriptors that a process may have, after raising the bound as far as it goes; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20
