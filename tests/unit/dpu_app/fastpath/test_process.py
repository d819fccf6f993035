"""The fast path process as a process: flags, signals, exit status. Its native side is a fake, put in from outside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from dpu_app.targets.base import TargetUnavailable
from dpu_app.targets.fastpath import FastPathTarget
from dpu_proto.fastpath.v1 import fastpath_pb2 as pb
from dpu_proto.fastpath.v1.fastpath_pb2_grpc import FastPathStub
from tests.unit.dpu_app.samples import ROOT, plan

RUN = """
import signal, sys
from dpu_app.fastpath.process import SIGNALS, Options, Process
from tests.contract.fake_native import FakeNative
signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
process = Process(FakeNative(), Options(sys.argv[1], "127.0.0.1:0"))
print(process.health.server_address[1], flush=True)
sys.exit(process.run())
"""


class Running:
    """A started process."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", RUN, str(path)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.target = FastPathTarget(str(path))

    def ready(self) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return answer.status, json.load(answer)["reason"]
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["reason"]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "fp.sock")
    yield running
    running.target.close()
    running.process.kill()
    running.process.wait()


def test_process_is_ready_once_it_has_a_plan(running: Running) -> None:
    assert running.ready() == (503, "no plan has been applied yet")
    running.target.apply(plan())
    assert running.ready() == (200, "")


def test_sigterm_drains_and_exits_0(running: Running, tmp_path: Path) -> None:
    running.target.apply(plan())
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
    assert not (tmp_path / "fp.sock").exists()
    with pytest.raises(TargetUnavailable):
        running.target.read_back()


def test_drain_over_the_socket_ends_the_process(running: Running, tmp_path: Path) -> None:
    with grpc.insecure_channel(f"unix:{tmp_path}/fp.sock") as channel:
        FastPathStub(channel).Drain(pb.DrainRequest(timeout_ms=5), timeout=5)
    assert running.process.wait(20) == 0


def test_help_teaches() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dpu_app.fastpath", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    for flag in ("--socket", "--http", "--threads", "--journal", "--transport", "--name", "--user"):
        assert flag in done.stdout
