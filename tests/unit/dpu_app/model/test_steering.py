"""Steering and queue: every setting has a default, reaches the plan, and is refused where it makes no sense."""

from __future__ import annotations

import pytest

from dpu_app.model.plan import PlanQueue, PlanSteering
from dpu_app.targets.fastpath_plan import to_proto
from dpu_proto.fastpath.v1 import fastpath_pb2 as pb
from tests.unit.dpu_app.samples import TEXT, plan, problems

SETTINGS = """\
steering:
  conversation_id_bytes_max: 64
  warm: { entries_max: 1024, ttl: 1m, lead_tokens_max: 0 }
  breaker: { failures: 3, ratio_percent: 25, requests_min: 8, window: 5s, open_min: 500ms, open_max: 8s }
  slow_start: null
queue:
  requests_max: 10
  requests_max_per_tenant: 5
  bytes_max: 1048576
  wait_max: 2s
  passes_max: 4
  requests_per_slot: 2
"""


def test_defaults_of_the_file_are_those_of_the_plan() -> None:
    compiled = plan()
    assert compiled.queue == PlanQueue()
    assert compiled.steering == PlanSteering()


def test_every_setting_reaches_the_fast_path() -> None:
    message = to_proto(plan(text=TEXT + SETTINGS))
    assert message.queue == pb.Queue(
        requests_max=10,
        requests_max_per_tenant=5,
        bytes_max=1_048_576,
        wait_max_ms=2_000,
        passes_max=4,
        requests_per_slot=2,
    )
    assert message.steering == pb.Steering(
        conversation_id_bytes_max=64,
        warm_entries_max=1_024,
        warm_ttl_ms=60_000,
        breaker_failures=3,
        breaker_ratio_percent=25,
        breaker_requests_min=8,
        breaker_window_ms=5_000,
        breaker_open_min_ms=500,
        breaker_open_max_ms=8_000,
    )


def test_tenant_and_worker_settings_reach_the_fast_path() -> None:
    text = TEXT.replace("    models: [chat]\n", "    models: [chat]\n    arm_override: true\n    queue_weight: 3\n")
    text = text.replace('address: "127.0.0.1:7102"', 'address: "127.0.0.1:7102", requests_max: 7')
    message = to_proto(plan(text=text))
    assert (message.tenants[0].arm_override, message.tenants[0].queue_weight) == (True, 3)
    assert [worker.requests_max for worker in message.workers] == [0, 7]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("queue: { requests_max: 0 }", "queue.requests_max"),
        ("queue: { wait_max: 0s }", "queue.wait_max"),
        ("queue: { requests: 1 }", "queue.requests"),
        ("steering: { warm: { entries_max: 1 } }", "steering.warm.entries_max"),
        ("steering: { breaker: { ratio_percent: 101 } }", "steering.breaker.ratio_percent"),
        ("steering: { breaker: { open_min: 2m } }", "steering.breaker.open_min"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_place(text: str, where: str) -> None:
    found = problems(f"{TEXT}{text}\n")
    assert [problem.path for problem in found] == [where]
    assert all(problem.fix for problem in found)
