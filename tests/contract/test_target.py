"""The contract of every target: stub, chaos without faults, the fast path's own server over a real socket, and
P4Runtime over a DPL-like server and over ours. Packet tables are tried in test_packet_target.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dpu_app.fastpath.server import Server, Service
from dpu_app.model.plan import EMPTY_PLAN
from dpu_app.targets.base import Target
from dpu_app.targets.chaos import ChaosTarget
from dpu_app.targets.fastpath import FastPathTarget
from dpu_app.targets.stub import StubTarget
from tests.contract.fake_native import FakeNative
from tests.contract.packet_backends import DplDevice, ServerDevice
from tests.unit.dpu_app.samples import other_plan, plan


def stub(_folder: Path) -> Iterator[Target]:
    yield StubTarget()


def chaos(_folder: Path) -> Iterator[Target]:
    yield ChaosTarget(StubTarget())


def fastpath(folder: Path) -> Iterator[Target]:
    server = Server(str(folder / "fp.sock"), Service(FakeNative(), on_drain=lambda _timeout_ms: None))
    target = FastPathTarget(str(folder / "fp.sock"))
    yield target
    target.close()
    server.close()


def p4runtime_dpl(_folder: Path) -> Iterator[Target]:
    device = DplDevice()
    yield device.target
    device.close()


def p4runtime_server(_folder: Path) -> Iterator[Target]:
    device = ServerDevice()
    yield device.target
    device.close()


@pytest.fixture(params=[stub, chaos, fastpath, p4runtime_dpl, p4runtime_server])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    make: Callable[[Path], Iterator[Target]] = request.param
    yield from make(tmp_path)


def test_fresh_target_has_nothing(target: Target) -> None:
    has = target.read_back()
    assert (has.revision, has.epoch, has.digest, has.ready) == (0, 0, b"", False)


def test_applied_plan_is_read_back(target: Target) -> None:
    assert target.apply(plan(revision=7)) is True
    has = target.read_back()
    assert (has.revision, has.epoch, has.ready) == (7, 1, True)
    assert has.digest == target.digest(plan(revision=7))


def test_applying_twice_changes_nothing(target: Target) -> None:
    target.apply(plan())
    assert target.apply(plan()) is False
    assert target.read_back().digest == target.digest(plan())


def test_another_plan_takes_the_place_of_the_first(target: Target) -> None:
    target.apply(plan())
    assert target.apply(other_plan(plan())) is True
    assert target.read_back().epoch == 2
    assert target.read_back().digest == target.digest(other_plan(plan()))


def test_plan_before_can_be_put_back(target: Target) -> None:
    target.apply(plan())
    target.apply(other_plan(plan()))
    assert target.apply(plan()) is True
    assert target.read_back().digest == target.digest(plan())


def test_new_revision_of_the_same_content_is_read_back(target: Target) -> None:
    target.apply(plan(revision=1))
    target.apply(plan(revision=2, previous=plan(revision=1)))
    has = target.read_back()
    assert (has.revision, has.epoch) == (2, 1)


def test_empty_plan_takes_away_what_was_programmed(target: Target) -> None:
    target.apply(plan())
    target.apply(EMPTY_PLAN)
    assert target.read_back().epoch == 0


@pytest.mark.parametrize(
    "other",
    [
        replace(plan(), revision=2),
        replace(plan(), epoch=2),
        replace(plan(), workers=()),
        replace(plan(), models=(replace(plan().models[0], buckets=bytes(10_000)),)),
        replace(plan(), tenants=(replace(plan().tenants[0], keys=("00" * 32,)),)),
    ],
)
def test_digest_tells_plans_apart(target: Target, other: object) -> None:
    assert isinstance(other, type(plan()))
    assert target.digest(other) != target.digest(plan())
    assert target.digest(plan()) == target.digest(plan())


def test_name_is_a_short_label(target: Target) -> None:
    assert target.name.isidentifier()
