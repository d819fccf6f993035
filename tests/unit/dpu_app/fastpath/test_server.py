"""The FastPath service over its socket: who may connect, what a dead process leaves, and what calls do."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from dpu_app.fastpath.server import Server, ServerError, Service
from dpu_app.targets.fastpath_plan import to_proto
from dpu_proto.fastpath.v1 import fastpath_pb2 as pb
from dpu_proto.fastpath.v1.fastpath_pb2_grpc import FastPathStub
from tests.contract.fake_native import FakeNative
from tests.unit.dpu_app.samples import plan


class Bench:
    """A server over a fake native side, and a client of it."""

    def __init__(self, path: Path) -> None:
        self.native = FakeNative()
        self.drains: list[int] = []
        self.service = Service(self.native, self.drains.append)
        self.server = Server(str(path), self.service)
        self.channel = grpc.insecure_channel(f"unix:{path}")
        self.stub = FastPathStub(self.channel)

    def close(self) -> None:
        self.channel.close()
        self.server.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fp.sock"


@pytest.fixture
def bench(path: Path) -> Iterator[Bench]:
    bench = Bench(path)
    yield bench
    bench.close()


def test_socket_is_the_owners_alone(bench: Bench, path: Path) -> None:
    mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


def test_umask_of_the_process_is_as_before(bench: Bench) -> None:
    before = os.umask(0o022)
    os.umask(before)
    assert before != 0o177


def test_plan_reaches_the_native_side_in_deterministic_bytes(bench: Bench) -> None:
    message = to_proto(plan())
    reply = bench.stub.Apply(pb.ApplyRequest(plan=message), timeout=5)
    assert (reply.applied, reply.changed, reply.epoch) == (True, True, 1)
    assert bench.native.plan == message.SerializeToString(deterministic=True)
    status = bench.stub.Status(pb.StatusRequest(), timeout=5)
    assert status.plan_sha256 == hashlib.sha256(bench.native.plan).digest()


def test_refused_plan_leaves_the_one_before(bench: Bench) -> None:
    bench.stub.Apply(pb.ApplyRequest(plan=to_proto(plan())), timeout=5)
    bench.native.problems = [("workers[0]", "what", "fix")]
    reply = bench.stub.Apply(pb.ApplyRequest(plan=to_proto(plan(revision=2))), timeout=5)
    assert not reply.applied
    assert list(reply.problems) == [pb.Problem(entry="workers[0]", what="what", fix="fix")]
    assert bench.stub.Status(pb.StatusRequest(), timeout=5).revision == 1


def test_status_before_the_first_plan_is_empty(bench: Bench) -> None:
    assert bench.stub.Status(pb.StatusRequest(), timeout=5) == pb.StatusReply()


def test_status_has_the_workers(bench: Bench) -> None:
    bench.stub.Apply(pb.ApplyRequest(plan=to_proto(plan())), timeout=5)
    status = bench.stub.Status(pb.StatusRequest(), timeout=5)
    assert [(w.name, w.state, w.transport, w.outstanding) for w in status.workers] == [
        ("w0", "ready", "tcp", 2),
        ("w1", "ready", "tcp", 2),
    ]
    assert list(status.listening) == ["127.0.0.1:8443"]


def test_drain_is_passed_on(bench: Bench) -> None:
    bench.stub.Drain(pb.DrainRequest(timeout_ms=1234), timeout=5)
    assert bench.drains == [1234]


def test_drain_time_is_the_longest_of_the_listeners(bench: Bench) -> None:
    assert bench.service.drain_timeout_ms == 0
    bench.stub.Apply(pb.ApplyRequest(plan=to_proto(plan())), timeout=5)
    assert bench.service.drain_timeout_ms == 10_000


def test_closed_server_takes_its_socket_away(path: Path) -> None:
    Bench(path).close()
    assert not path.exists()


def test_socket_of_a_dead_process_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    Bench(path).close()


def test_socket_that_somebody_answers_is_left_alone(bench: Bench, path: Path) -> None:
    with pytest.raises(ServerError, match="another process listens"):
        Server(str(path), bench.service)
    assert bench.stub.Status(pb.StatusRequest(), timeout=5) == pb.StatusReply()


def test_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(ServerError, match="is not a socket"):
        Server(str(path), Service(FakeNative(), print))
    assert path.read_text() == "precious"


def test_path_that_a_socket_cannot_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="longer than the 107 bytes"):
        Server(str(tmp_path / ("x" * 108)), Service(FakeNative(), print))


def test_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="cannot listen"):
        Server(str(tmp_path / "none" / "fp.sock"), Service(FakeNative(), print))
