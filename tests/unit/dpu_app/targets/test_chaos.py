"""The fault-injecting twin does what its faults say."""

from __future__ import annotations

import pytest

from dpu_app.targets.base import TargetRefused, TargetUnavailable
from dpu_app.targets.chaos import ChaosTarget, Fault
from dpu_app.targets.stub import StubTarget
from tests.unit.dpu_app.samples import plan


@pytest.mark.parametrize(
    ("fault", "error", "epoch"),
    [
        (Fault.REFUSE, TargetRefused, 0),
        (Fault.TIMEOUT_BEFORE, TargetUnavailable, 0),
        (Fault.TIMEOUT_AFTER, TargetUnavailable, 1),
    ],
)
def test_apply_fails_as_told(fault: Fault, error: type[Exception], epoch: int) -> None:
    target = ChaosTarget(StubTarget(), applies=[fault])
    with pytest.raises(error):
        target.apply(plan())
    assert target.read_back().epoch == epoch
    assert target.apply(plan()) is (epoch == 0)


@pytest.mark.parametrize("fault", [Fault.FORGET, Fault.DIE])
def test_apply_says_yes_and_nothing_is_there(fault: Fault) -> None:
    target = ChaosTarget(StubTarget(), applies=[fault])
    assert target.apply(plan()) is True
    assert target.read_back().epoch == 0


def test_read_back_lies_once() -> None:
    target = ChaosTarget(StubTarget(), read_backs=[Fault.FORGET])
    target.apply(plan())
    assert target.read_back().digest != target.digest(plan())
    assert target.read_back().digest == target.digest(plan())


def test_read_back_is_silent_once() -> None:
    target = ChaosTarget(StubTarget(), read_backs=[Fault.TIMEOUT_BEFORE])
    with pytest.raises(TargetUnavailable):
        target.read_back()
    assert target.read_back().epoch == 0
