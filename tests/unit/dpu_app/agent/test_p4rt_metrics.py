"""Each bound of the P4Runtime server and client is a series, from the start."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from dpu_app.agent.p4rt_metrics import P4RuntimeMetrics
from dpu_app.p4rt import schema
from dpu_app.p4rt.client import Client
from dpu_app.p4rt.memory import MemoryBackend
from dpu_app.p4rt.options import ClientOptions, ServerOptions
from dpu_app.p4rt.server import XdpTables
from dpu_app.p4rt.service import Service
from dpu_app.p4rt.stubs import v1

OPTIONS = ServerOptions(address="127.0.0.1:0", plaintext=True)


def text(metrics: P4RuntimeMetrics) -> str:
    registry = CollectorRegistry()
    registry.register(metrics)
    return generate_latest(registry).decode()


def test_a_side_that_is_not_there_has_no_series() -> None:
    assert text(P4RuntimeMetrics(None, None)) == ""


def test_hits_of_the_server_are_counted_by_limit() -> None:
    service = Service(XdpTables(schema.load(), MemoryBackend()), OPTIONS)
    service.hits["updates"] += 2
    found = text(P4RuntimeMetrics(service, None))
    assert 'dpu_p4runtime_limit_hits_total{limit="updates"} 2.0' in found
    assert 'dpu_p4runtime_limit_hits_total{limit="streams"} 0.0' in found
    assert "dpu_p4runtime_controllers 0.0" in found


def test_lost_notices_of_a_device_are_counted() -> None:
    client = Client(ClientOptions(address="127.0.0.1:1", plaintext=True, notices_max=1), schema.load())
    for _ in range(3):
        client.inbox.put(client.inbox.packets, v1.PacketIn())
    found = text(P4RuntimeMetrics(None, client))
    client.close()
    assert "dpu_p4runtime_device_notices_lost_total 2.0" in found
    assert "dpu_p4runtime_device_up 0.0" in found
