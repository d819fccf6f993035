"""Token limits from the file to the fast path's plan, and what is refused of them."""

from __future__ import annotations

import pytest

from dpu_app.compile.summary import tables
from dpu_app.model.plan import PlanTokenRate, plan_from_json, plan_to_json
from dpu_app.targets.fastpath_plan import to_proto
from dpu_proto.fastpath.v1 import fastpath_pb2 as pb
from tests.unit.dpu_app.samples import TEXT, edited, plan, problems

TENANT = ("concurrency_max: 4", "concurrency_max: 4\n      token_rate: { tokens: 2000, per: 1m }")
MODEL = ("    arms:", "    limits: { token_rate: { tokens: 30, per: 1s, burst: 90 } }\n    arms:")
ALL = "limits: { token_rate: { tokens: 7, per: 1h }, grant_tokens_min: 3 }\n"


def test_token_limits_of_tenant_model_and_all_reach_the_fast_path() -> None:
    made = plan(text=edited(TENANT, MODEL) + ALL)
    assert made.tenants[0].token_rate == PlanTokenRate(2000, 60_000, 2000)
    assert made.models[0].token_rate == PlanTokenRate(30, 1_000, 90)
    assert (made.token_rate, made.tenants[0].grant_tokens_min) == (PlanTokenRate(7, 3_600_000, 7), 3)
    sent = to_proto(made)
    assert sent.tenants[0].token_rate == pb.TokenRate(tokens=2000, interval_ms=60_000, burst=2000)
    assert sent.models[0].token_rate == pb.TokenRate(tokens=30, interval_ms=1_000, burst=90)
    assert sent.token_rate == pb.TokenRate(tokens=7, interval_ms=3_600_000, burst=7)
    assert sent.tenants[0].grant_tokens_min == 3
    assert plan_from_json(plan_to_json(made)) == made
    assert {table.title: table.rows for table in tables(made)}["token limits"] == (
        ("tenant", "alpha", "2000 per 60 s", "2000"),
        ("model", "chat", "30 per 1 s", "90"),
        ("all", "-", "7 per 3600 s", "7"),
    )


def test_limit_that_is_left_out_does_not_apply() -> None:
    sent = to_proto(plan())
    assert not any(part.HasField("token_rate") for part in (sent, sent.tenants[0], sent.models[0]))
    assert sent.tenants[0].grant_tokens_min == 16


def test_tenant_can_have_a_smallest_grant_of_its_own() -> None:
    text = edited(("concurrency_max: 4", "concurrency_max: 4\n      grant_tokens_min: 100")) + ALL
    assert plan(text=text).tenants[0].grant_tokens_min == 100


@pytest.mark.parametrize(
    ("rate", "path"),
    [
        ("{ tokens: 0, per: 1m }", "limits.token_rate.tokens"),
        ("{ tokens: 1, per: 0s }", "limits.token_rate.per"),
        ("{ tokens: 1, per: 1m, burst: 0 }", "limits.token_rate.burst"),
        ("{ tokens: 1000000001, per: 1m }", "limits.token_rate.tokens"),
        ("{ tokens: 1000000000, per: 999ms }", "limits.token_rate"),
        ("{ tokens: 1, per: 1m, brust: 1 }", "limits.token_rate.brust"),
        ("{ tokens: 1 }", "limits.token_rate"),
    ],
)
def test_rate_that_cannot_be_is_refused_where_it_stands(rate: str, path: str) -> None:
    found = problems(TEXT + f"limits: {{ token_rate: {rate} }}\n")
    assert [problem.path.removesuffix(".per") for problem in found] == [path.removesuffix(".per")]
    assert found[0].fix
