"""Every limit of a listener is hit on the running program, is counted under its name, and hurts nobody else."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dpu_app.model.listeners import Limits
from tests.conformance.conftest import TIGHT
from tests.conformance.hostile import MODELS, clients, h1, post
from tests.conformance.wire import H1, Target, chat
from tests.integration.processes import build, running, total, until

CASES = list(clients())
NAMES = [f"{limit}-{getattr(client, '__name__', '').strip('<>')}" for limit, client in CASES]


def test_every_limit_has_a_small_value_a_series_and_a_client_that_hits_it(tight: Target) -> None:
    names = set(Limits.model_fields)
    assert set(TIGHT) == names
    counted = {dict(labels)["limit"] for name, labels in tight.samples() if name == "dpu_limit_hits_total"}
    assert counted == names - {"body_grace"}
    assert {limit for limit, _ in CASES} == counted - {"drain_timeout"}


@pytest.mark.parametrize(("limit", "client"), CASES, ids=NAMES)
def test_limit_ends_its_client_and_nobody_else(
    tight: Target, target: Target, limit: str, client: Callable[[Target], None]
) -> None:
    before = tight.hits(limit)
    client(tight)
    until(lambda: tight.hits(limit) > before, f"{limit} is counted", 8)
    assert h1(target, MODELS).status == 200
    until(lambda: total(tight.samples(), "dpu_requests_in_flight") == 0, "nothing is left behind", 8)
    samples = tight.samples()
    assert total(samples, "dpu_requests_received_total") == total(samples, "dpu_requests_total")


def test_client_that_does_not_read_is_recorded_so(tight: Target) -> None:
    records = [record for record in tight.stack.journal() if record["reason"] == "client_too_slow"]
    assert records
    assert {(record["outcome"], record["status"]) for record in records} == {("client_gone", 499)}


def test_drain_cuts_what_takes_longer(tmp_path: Path, certs: Path) -> None:
    stack = build(tmp_path, certs)
    yaml = YAML()
    desired = yaml.load(stack.config.read_text())
    desired["listeners"][0]["limits"]["drain_timeout"] = "300ms"
    with stack.config.open("w") as file:
        yaml.dump(desired, file)
    for one in running(stack):
        target = Target(one, one.port)
        with H1(target) as client:
            client.send(post(chat("!echo tokens=2000 delay_ms=20", stream=True, max_tokens=2000)))
            request_id = client.until(b"\r\n\r\n").split(b"x-request-id: ")[1].split(b"\r\n")[0].decode()
            one.fastpath.send(signal.SIGTERM)
            client.until(b'"draining"')
        assert one.fastpath.wait() == 0
        assert one.record_of(request_id)["reason"] == "drain_cut"
