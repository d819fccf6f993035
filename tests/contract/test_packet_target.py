"""The contract of every target that programs packet tables, over each back end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from dpu_app.model.plan import EMPTY_PLAN
from dpu_app.model.plan_packet import PlanBucket, PlanTables, PlanVip
from dpu_app.p4rt import entities
from dpu_app.targets.base import TargetRefused
from tests.contract.packet_backends import BACKENDS, Device
from tests.unit.dpu_app.p4rt.packet_samples import TABLES, packet, packet_plan, with_acl


@pytest.fixture(params=BACKENDS)
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    make: Callable[[], Iterator[Device]] = request.param
    yield from make()


def same(one: PlanTables, other: PlanTables) -> bool:
    """Whether two tables say the same; order and names of groups do not count."""
    return entities.entries(one, 0) == entities.entries(other, 0) and entities.cells(one) == entities.cells(other)


def test_frames_meet_the_tables_of_the_plan(device: Device) -> None:
    assert device.target.apply(packet_plan()) is True
    assert same(device.tables(), TABLES)
    has = device.target.read_back()
    assert (has.revision, has.epoch, has.ready) == (1, 1, True)
    assert has.digest == device.target.digest(packet_plan())


def test_the_other_bank_is_empty_after_a_change(device: Device) -> None:
    device.target.apply(packet_plan())
    device.target.apply(packet_plan(with_acl(), epoch=2))
    assert device.tables().acl == ()
    assert same(device.stale(), PlanTables())


def test_the_same_plan_again_changes_nothing(device: Device) -> None:
    device.target.apply(packet_plan())
    assert device.target.apply(packet_plan()) is False


def test_an_agent_that_comes_back_finds_its_plan_and_changes_nothing(device: Device) -> None:
    device.target.apply(packet_plan())
    again = device.other()
    assert again.read_back().digest == again.digest(packet_plan())
    assert again.apply(packet_plan()) is False


def test_an_entry_that_somebody_took_away_gives_another_digest_on_first_contact(device: Device) -> None:
    device.target.apply(packet_plan())
    device.tamper()
    has = device.other().read_back()
    assert has.digest != device.target.digest(packet_plan())
    assert (has.epoch, has.ready) == (1, False)


def test_the_plan_is_put_back_over_what_somebody_changed(device: Device) -> None:
    device.target.apply(packet_plan())
    device.tamper()
    again = device.other()
    assert again.apply(packet_plan()) is True
    assert same(device.tables(), TABLES)
    assert again.read_back().digest == again.digest(packet_plan())


def test_meters_change_and_go(device: Device) -> None:
    device.target.apply(packet_plan())
    faster = replace(TABLES.meters[0], source_packets=PlanBucket(10, 50), service_bytes=None)
    changed = replace(TABLES, meters=(faster,))
    device.target.apply(packet_plan(changed, epoch=2))
    assert same(device.tables(), changed)
    assert device.target.read_back().digest == device.target.digest(packet_plan(changed, epoch=2))
    device.target.apply(packet_plan(replace(TABLES, meters=()), epoch=3))
    assert device.tables().meters == ()


def test_empty_plan_leaves_no_entry(device: Device) -> None:
    device.target.apply(packet_plan())
    device.target.apply(EMPTY_PLAN)
    assert same(device.tables(), PlanTables())
    assert same(device.stale(), PlanTables())
    assert device.target.read_back().digest == b""


def test_plan_of_another_writer_is_refused(device: Device) -> None:
    if not device.has_one_writer:
        return
    foreign = replace(packet_plan(), packet=packet(PlanTables(), programmed_by="p4runtime"))
    with pytest.raises(TargetRefused) as refused:
        device.target.apply(foreign)
    assert [problem.path for problem in refused.value.problems] == ["packet.programmed_by"]


def test_too_many_entries_are_refused_and_nothing_changes(device: Device) -> None:
    if not device.has_one_writer:
        return
    device.target.apply(packet_plan())
    many = tuple(PlanVip(1, f"10.0.{i >> 8}.{i & 255}", 6, 443) for i in range(1, 1_026))
    with pytest.raises(TargetRefused) as refused:
        device.target.apply(packet_plan(replace(TABLES, vips=many), epoch=2))
    assert "packet.vips" in [problem.path for problem in refused.value.problems]
    assert same(device.tables(), TABLES)


@pytest.mark.parametrize(
    "changed",
    [
        with_acl(),
        replace(TABLES, vips=TABLES.vips[:2]),
        replace(TABLES, steer=()),
        replace(TABLES, meters=(replace(TABLES.meters[0], source_packets=PlanBucket(0, 6)),)),
    ],
)
def test_digest_tells_tables_apart(device: Device, changed: PlanTables) -> None:
    assert device.target.digest(packet_plan(changed)) != device.target.digest(packet_plan())
