"""Every value of a plan reaches the fast path's message."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from google.protobuf.message import Message

from dpu_app.model.plan import (
    PlanArm,
    PlanCertificate,
    PlanJwt,
    PlanLimits,
    PlanQueue,
    PlanRate,
    PlanSteering,
    PlanTokenRate,
    PlanWorker,
)
from dpu_app.targets.fastpath_plan import to_proto
from dpu_proto.fastpath.v1 import fastpath_pb2 as pb
from tests.unit.dpu_app.samples import edited, plan


def test_message_has_every_part_of_the_plan() -> None:
    message = to_proto(plan(revision=3))
    assert (message.revision, message.epoch, message.worker_key_file) == (3, 1, "/etc/dpu/worker.key")
    listener = message.listeners[0]
    assert (listener.name, listener.address) == ("public", "127.0.0.1:8443")
    assert listener.certificates[0].private_key_file == "/etc/dpu/keys/server.key"
    tenant = message.tenants[0]
    assert tenant.key_sha256 == [b"\xab" * 32]
    assert tenant.request_rate == pb.RequestRate(requests=60, interval_ms=60_000, burst=60)
    assert tenant.concurrency_max == 4
    model = message.models[0]
    assert [(arm.name, arm.weight, arm.engine_model) for arm in model.arms] == [
        ("stable", 9000, "chat"),
        ("canary", 1000, "chat"),
    ]
    assert (len(model.buckets), model.buckets.count(1)) == (10_000, 1_000)
    assert dict(model.arms[1].worker_labels) == {"zone": "a"}
    assert [(worker.name, dict(worker.labels)) for worker in message.workers] == [("w0", {"zone": "a"}), ("w1", {})]


COPIED_BY_NAME = (
    (pb.Arm, PlanArm),
    (pb.Certificate, PlanCertificate),
    (pb.Jwt, PlanJwt),
    (pb.Limits, PlanLimits),
    (pb.Queue, PlanQueue),
    (pb.RequestRate, PlanRate),
    (pb.Steering, PlanSteering),
    (pb.TokenRate, PlanTokenRate),
    (pb.Worker, PlanWorker),
)


@pytest.mark.parametrize(("message", "entry"), COPIED_BY_NAME, ids=lambda kind: getattr(kind, "__name__", None))
def test_message_and_plan_have_the_same_fields(message: type[Message], entry: type[Any]) -> None:
    assert {field.name for field in message.DESCRIPTOR.fields} == {field.name for field in fields(entry)}


def test_no_limit_of_a_listener_is_zero() -> None:
    limits = to_proto(plan()).listeners[0].limits
    unset = [field.name for field in pb.Limits.DESCRIPTOR.fields if not getattr(limits, field.name)]
    assert unset == []


def test_tenant_without_rate_has_no_rate_in_the_message() -> None:
    text = "limits:\n      request_rate: { requests: 60, per: 1m }\n      concurrency_max: 4\n"
    message = to_proto(plan(text=edited((text, "priority: 3\n"))))
    assert not message.tenants[0].HasField("request_rate")
    assert (message.tenants[0].concurrency_max, message.tenants[0].priority) == (0, 3)
