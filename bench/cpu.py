"""CPU time of whole process trees in microseconds, to a nanosecond, user and system together.

Uses the CPU-time clock that POSIX gives every process (clock_getcpuclockid, IEEE 1003.1): it holds user and system time
of all threads, also of those that have ended, where /proc/<pid>/stat has steps of 10 ms.
`python -m bench.cpu PID [SECONDS]` prints it.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

_LIBC = ctypes.CDLL(None)


class ProcessGone(RuntimeError):
    """A process of the tree ended between two readings, so their difference means nothing."""


def tree(root: int) -> frozenset[int]:
    """`root` and all processes below it, now. Threads are not listed: the clock of a process counts them."""
    found: set[int] = set()
    unseen = [root]
    while unseen:
        pid = unseen.pop()
        found.add(pid)
        unseen += [child for child in _children(pid) if child not in found]
    return frozenset(found)


def cpu_us(pid: int) -> float:
    """User + system time that the process has used since its start, in microseconds; raises ProcessGone."""
    clock = ctypes.c_int()
    if _LIBC.clock_getcpuclockid(ctypes.c_int(pid), ctypes.byref(clock)) != 0:
        raise ProcessGone(f"process {pid} is gone")
    try:
        return time.clock_gettime_ns(clock.value) / 1000
    except OSError as error:
        raise ProcessGone(f"process {pid} is gone") from error


def read(roots: Iterable[int]) -> dict[int, float]:
    """CPU microseconds of every process in the trees of `roots`."""
    return {pid: cpu_us(pid) for root in roots for pid in tree(root)}


def used_us(before: dict[int, float], after: dict[int, float]) -> float:
    """What the trees used between two readings. A process born in between counts whole.

    Raises ProcessGone when one of the first reading is not in the second.
    """
    gone = before.keys() - after.keys()
    if gone:
        raise ProcessGone(f"ended while being measured: {sorted(gone)}")
    return sum(value - before.get(pid, 0.0) for pid, value in after.items())


def _children(pid: int) -> list[int]:
    """Processes that any thread of `pid` has started and that still live; none for a process that is gone."""
    found: list[int] = []
    try:
        for task in (Path("/proc") / str(pid) / "task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended while we were looking: the next reading of its clock says so
    return found


def main(arguments: list[str]) -> int:
    """Prints the CPU use of a process tree over some seconds (default 1)."""
    root, seconds = int(arguments[0]), float(arguments[1]) if len(arguments) > 1 else 1.0
    before = read([root])
    time.sleep(seconds)
    used = used_us(before, read([root]))
    print(f"{used:.0f} us in {seconds:g} s = {used / seconds / 10_000:.1f} % of one of {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
