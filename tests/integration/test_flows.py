"""Requests of a running stack meet their flow: the journal names a connection's ends as its client does."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from abi.gen import packet as abi
from dpu_app.telemetry.flow_source import FlowNames
from dpu_app.telemetry.flows.record import address_bytes
from dpu_app.telemetry.flows.service import FlowTelemetry
from dpu_app.telemetry.flows.settings import FlowSettings
from tests.integration.clients import ALPHA, BETA, trust, user
from tests.integration.processes import Stack, until
from tests.unit.dpu_app.telemetry.flows.samples import FakeSource


def ask(client: httpx.Client, key: str) -> tuple[str, tuple[str, int], tuple[str, int]]:
    """One question; the request's id and the ends of its connection, as the client's socket has them."""
    body = {"model": "chat", "messages": user("how do you do"), "max_tokens": 4}
    answer = client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    stream = answer.extensions["network_stream"]
    return answer.headers["x-request-id"], stream.get_extra_info("client_addr"), stream.get_extra_info("server_addr")


def flow_of(client: tuple[str, int], server: tuple[str, int]) -> abi.FlowRecord:
    """What a packet stage would say whose VIP had port 443 and whose listener group has the server's port."""
    key = abi.FlowKey(address_bytes(client[0]), address_bytes(server[0]), client[1], 443, 6)
    value = abi.FlowValue(
        packets_in=20, bytes_in=4_000, packets_out=18, bytes_out=6_000, first_ns=0, last_ns=1 << 62, epoch=1, service=1,
        group=1, port=server[1], reason=0, flags_in=0x1B, flags_out=0x1B, state=7,
    )  # fmt: skip
    return abi.FlowRecord(key, value, abi.FLOW_ENDED)


class OneService(FakeSource):
    """The service and its group have names."""

    def names(self) -> FlowNames:
        return FlowNames({1: "chat"}, {1: "blue"})


@pytest.mark.parametrize("http2", [False, True])
def test_both_requests_of_a_connection_are_in_the_record_of_its_flow(stack: Stack, tmp_path: Path, http2: bool) -> None:
    source, written = OneService(), tmp_path / "flows.jsonl"
    settings = FlowSettings(json_file=written)
    telemetry = FlowTelemetry(source, stack.folder / "requests.jsonl", settings, CollectorRegistry())
    with httpx.Client(base_url=stack.url, verify=trust(stack), timeout=20, http2=http2, http1=not http2) as client:
        asked = [ask(client, ALPHA), ask(client, BETA)]
    (_, *ends), (_, *same) = asked
    assert ends == same
    source.records = [flow_of(*ends)]
    ids = {request_id for request_id, *_ in asked}
    until(lambda: ids <= {line["request_id"] for line in stack.journal()}, "both lines are in the journal", 10)
    telemetry.stop()
    # Requests of tests before this one may be written late: theirs are records without a flow.
    records = [json.loads(line) for line in written.read_text().splitlines()]
    (found,) = [record for record in records if record["packets_in"]]
    assert (found["end"], found["packets_in"], found["requests"], found["answered"]) == ("ended", 20, 2, 2)
    assert (found["tenant"], found["listener"], found["service"]) == ("alpha,beta", "public", "chat")
    lines = [line for line in stack.journal() if line["request_id"] in ids]
    assert found["tokens_out"] == sum(line["completion_tokens"] for line in lines) == 8
    assert telemetry.unreadable == 0
