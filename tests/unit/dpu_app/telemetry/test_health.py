"""The health server answers three paths, says why it is not ready, and has a limit."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from dpu_app.telemetry import health
from dpu_app.telemetry.health import HealthServer, Readiness


class Probe:
    """A server and what it should say."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.readiness = Readiness(False, "nothing is programmed", {"epoch": 0})
        self.server = HealthServer("127.0.0.1:0", self.registry, lambda: self.readiness)
        self.port = self.server.server_address[1]

    def fetch(self, path: str, accept: str = "*/*") -> tuple[int, str, bytes]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read()


@pytest.fixture
def probe() -> Iterator[Probe]:
    probe = Probe()
    yield probe
    probe.server.close()


def test_process_that_is_not_ready_is_alive_and_says_why(probe: Probe) -> None:
    assert probe.fetch("/livez")[0] == 200
    status, content_type, body = probe.fetch("/readyz?verbose")
    assert (status, content_type) == (503, "application/json")
    assert json.loads(body) == {"ready": False, "reason": "nothing is programmed", "epoch": 0}


def test_ready_process_answers_200(probe: Probe) -> None:
    probe.readiness = Readiness(True)
    assert probe.fetch("/readyz")[0] == 200


def test_metrics_are_prometheus_text(probe: Probe) -> None:
    Counter("dpu_things", "Things", registry=probe.registry).inc(3)
    status, content_type, body = probe.fetch("/metrics")
    assert (status, content_type.split(";")[0]) == (200, "text/plain")
    assert b"dpu_things_total 3.0\n" in body


def test_metrics_are_openmetrics_where_asked_for(probe: Probe) -> None:
    status, content_type, body = probe.fetch("/metrics", "application/openmetrics-text; version=1.0.0")
    assert (status, content_type.split(";")[0]) == (200, "application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_other_path_is_404(probe: Probe) -> None:
    assert probe.fetch("/")[0] == 404


def test_other_method_is_refused(probe: Probe) -> None:
    with socket.create_connection(("127.0.0.1", probe.port), timeout=5) as client:
        client.sendall(b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert b" 501 " in client.recv(4096).splitlines()[0]


def test_connection_beyond_the_limit_is_closed_and_a_free_place_serves_again(probe: Probe) -> None:
    idle = [socket.create_connection(("127.0.0.1", probe.port), timeout=5) for _ in range(health.CONNECTIONS_MAX)]
    with socket.create_connection(("127.0.0.1", probe.port), timeout=5) as one_more:
        assert one_more.recv(1) == b""
    for client in idle:
        client.close()
    assert fetch_soon(probe) == 200


def fetch_soon(probe: Probe) -> int:
    for _ in range(100):
        try:
            return probe.fetch("/livez")[0]
        except (urllib.error.URLError, ConnectionError):
            continue
    raise AssertionError("no place became free")


def test_silent_client_is_closed_after_the_timeout(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.Handler, "timeout", 0.1)
    with socket.create_connection(("127.0.0.1", probe.port), timeout=5) as silent:
        assert silent.recv(1) == b""


def test_address_in_use_is_an_error(probe: Probe) -> None:
    with pytest.raises(OSError, match="in use"):
        HealthServer(f"127.0.0.1:{probe.port}", CollectorRegistry(), Readiness)  # type: ignore[arg-type] # not called


def test_server_listens_on_ipv6() -> None:
    server = HealthServer("[::1]:0", CollectorRegistry(), lambda: Readiness(True))
    with socket.create_connection(("::1", server.server_address[1]), timeout=5):
        server.close()
