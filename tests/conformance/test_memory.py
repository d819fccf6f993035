"""Memory a hostile connection and stream may cost: bounded by the formula of THREAT_MODEL.md, and given back."""

from __future__ import annotations

import pytest

from dpu_app.model.listeners import Limits
from tests.conformance.memory import (
    KIB,
    KINDS,
    begin_anew,
    growth,
    h1_bytes_max,
    h2_bytes_max,
    stalled_streams,
    stream_bytes_max,
)
from tests.conformance.wire import Target

CONNECTIONS = 1_000


def test_thousand_hostile_connections_stay_below_their_bound_and_the_next_thousand_cost_nothing(
    patient: Target,
) -> None:
    begin_anew(patient)
    kinds = [kind for kind, _ in KINDS]
    bound = sum(bytes_max for _, bytes_max in KINDS) / len(KINDS)
    first = growth(patient, kinds, CONNECTIONS)
    assert first < bound
    assert growth(patient, kinds, CONNECTIONS) < bound / 4


def test_streams_that_are_not_read_stay_below_their_bound(patient: Target) -> None:
    assert stalled_streams(patient, 50, 1_000) < stream_bytes_max()


def test_no_client_of_the_table_may_hold_more_than_the_formula_says() -> None:
    limits = Limits()
    assert max(bytes_max for _, bytes_max in KINDS) < min(h1_bytes_max(limits), h2_bytes_max(limits, 0))


@pytest.mark.parametrize("field", ["head_bytes_max", "body_bytes_max", "pipelined_bytes_max"])
def test_formula_follows_the_limits(field: str) -> None:
    smaller = Limits.model_validate({field: 1_024})
    assert h1_bytes_max(smaller) < h1_bytes_max(Limits())
    assert h1_bytes_max(Limits()) < 16 * KIB * KIB
