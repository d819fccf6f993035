"""The native status as reply and as readiness."""

from __future__ import annotations

import json

import pytest

from dpu_app.fastpath.status import readiness, reply
from dpu_app.targets.fastpath_plan import to_proto
from tests.contract.fake_native import FakeNative
from tests.unit.dpu_app.samples import plan


def programmed() -> FakeNative:
    native = FakeNative()
    native.apply(to_proto(plan()).SerializeToString(deterministic=True))
    return native


def test_reply_takes_hex_and_leaves_out_what_it_does_not_know() -> None:
    status = json.dumps({"epoch": 3, "plan_sha256": "ab" * 32, "not_ready": "why", "workers": [{"models": ["*"]}]})
    assert (reply(status).epoch, reply(status).plan_sha256) == (3, b"\xab" * 32)


@pytest.mark.parametrize("status", ["", "{", '{"epoch": "x"}', '{"plan_sha256": "xy"}', '{"workers": 5}'])
def test_status_that_is_none_is_an_error(status: str) -> None:
    with pytest.raises(ValueError):
        reply(status)


def test_process_without_a_plan_is_not_ready() -> None:
    state = readiness(FakeNative().status(), stopping=False)
    assert (state.ready, state.reason) == (False, "no plan has been applied yet")


def test_programmed_process_with_workers_is_ready() -> None:
    state = readiness(programmed().status(), stopping=False)
    assert (state.ready, state.reason, state.detail["epoch"]) == (True, "", 1)


def test_process_without_workers_is_not_ready() -> None:
    native = programmed()
    native.workers_ready = False
    state = readiness(native.status(), stopping=False)
    assert not state.ready
    assert state.detail["workers"][0]["state"] == "connecting"


def test_process_that_stops_is_not_ready() -> None:
    assert readiness(programmed().status(), stopping=True).reason == "draining"
    native = programmed()
    native.drain(0)
    assert readiness(native.status(), stopping=False).reason == "draining"
