"""bench.cpu: the accounting that the bench's figures stand on."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bench import cpu

BURN = "import time\nwhile time.process_time() < {seconds}: pass\nprint('burnt', flush=True)\ntime.sleep(60)\n"
BURN_IN_THREAD = (
    "import threading, time\n"
    "def burn():\n    while time.thread_time() < {seconds}: pass\n"
    "thread = threading.Thread(target=burn)\nthread.start(); thread.join()\n"
    "print('burnt', flush=True)\ntime.sleep(60)\n"
)
FORK = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=sys.stdout)\n"
    "try: time.sleep(60)\nfinally: child.kill(); child.wait()\n"
)


def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen([sys.executable, "-c", *arguments], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "burnt\n"
    try:
        yield child
    finally:
        for pid in cpu.tree(child.pid):
            os.kill(pid, 9)
        child.communicate()


@pytest.mark.parametrize("program", [BURN, BURN_IN_THREAD], ids=["main thread", "thread that has ended"])
def test_burnt_time_is_counted_once(program: str) -> None:
    for child in started(program.format(seconds=0.2)):
        assert 200_000 <= cpu.cpu_us(child.pid) < 400_000


def test_own_time_agrees_with_getrusage() -> None:
    clock = cpu.cpu_us(os.getpid())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    # getrusage may lag by one tick of the scheduler.
    assert clock == pytest.approx((usage.ru_utime + usage.ru_stime) * 1e6, abs=20_000)


def test_tree_holds_grandchildren() -> None:
    for child in started(FORK, BURN.format(seconds=0.1)):
        pids = cpu.tree(child.pid)
        assert len(pids) == 2
        assert sum(cpu.read([child.pid]).values()) >= 100_000


def test_idle_process_uses_nothing() -> None:
    for child in started(BURN.format(seconds=0.01)):
        before = cpu.read([child.pid])
        time.sleep(0.2)
        assert cpu.used_us(before, cpu.read([child.pid])) < 5_000


def test_process_that_ends_between_readings_is_an_error() -> None:
    with pytest.raises(cpu.ProcessGone):
        cpu.used_us({1: 5.0, 2: 7.0}, {1: 6.0})


def test_process_born_between_readings_counts_whole() -> None:
    assert cpu.used_us({1: 5.0}, {1: 6.0, 2: 7.5}) == 8.5


def test_clock_of_a_dead_process_is_an_error() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(cpu.ProcessGone):
        cpu.cpu_us(child.pid)
