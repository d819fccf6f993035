"""The fast path as a target, where it goes wrong: refusals, silence, absence, a new process behind the same socket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpu_app.fastpath.server import Server, Service
from dpu_app.targets.base import Programmed, TargetRefused, TargetUnavailable
from dpu_app.targets.fastpath import FastPathTarget
from tests.contract.fake_native import FakeNative
from tests.unit.dpu_app.samples import plan


def serve(path: Path, native: FakeNative) -> Server:
    return Server(str(path), Service(native, on_drain=lambda _timeout_ms: None))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fp.sock"


@pytest.fixture
def target(path: Path) -> Iterator[FastPathTarget]:
    target = FastPathTarget(str(path), apply_timeout_s=0.5, status_timeout_s=0.5)
    yield target
    target.close()


def test_refusal_names_entry_and_fix(path: Path, target: FastPathTarget) -> None:
    native = FakeNative()
    native.problems = [("listeners[0].certificates[0].private_key_file", "is not there", "make it")]
    server = serve(path, native)
    with pytest.raises(TargetRefused) as refused:
        target.apply(plan())
    problem = refused.value.problems[0]
    assert (problem.path, problem.what, problem.fix) == native.problems[0]
    server.close()


def test_nobody_there_says_what_to_look_at(target: FastPathTarget, path: Path) -> None:
    with pytest.raises(TargetUnavailable, match=f"nobody answers at {path}: is dpu-fastpath running"):
        target.read_back()


def test_call_that_hangs_ends_at_its_deadline(path: Path, target: FastPathTarget) -> None:
    native = FakeNative()
    native.answering.clear()
    server = serve(path, native)
    with pytest.raises(TargetUnavailable, match="did not answer in time"):
        target.apply(plan())
    native.answering.set()
    server.close()


def test_restarted_fast_path_is_reached_again_and_has_nothing(path: Path, target: FastPathTarget) -> None:
    server = serve(path, FakeNative())
    target.apply(plan())
    server.close()
    with pytest.raises(TargetUnavailable):
        target.read_back()
    server = serve(path, FakeNative())
    assert read_back_soon(target).digest == b""
    server.close()


def read_back_soon(target: FastPathTarget) -> Programmed:
    """gRPC waits up to a second before it connects again."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            return target.read_back()
        except TargetUnavailable:
            time.sleep(0.1)
    raise AssertionError("not reached again within 5 s")


def test_fault_of_the_fast_path_is_not_a_refusal(path: Path, target: FastPathTarget) -> None:
    class Broken(FakeNative):
        def status(self) -> str:
            return "no JSON"

    server = serve(path, Broken())
    with pytest.raises(TargetUnavailable, match="failed: UNKNOWN"):
        target.read_back()
    server.close()
