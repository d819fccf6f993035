"""HTTP as clients other than the SDK speak it: both versions, both counted, the books add up."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.clients import ALPHA, trust
from tests.integration.processes import Stack, total, until

BODY: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "one two three"}]}


def http_client(stack: Stack, *, http2: bool) -> httpx.Client:
    """Only the named version is offered, so that a fall-back cannot hide."""
    headers = {"authorization": f"Bearer {ALPHA}"}
    return httpx.Client(base_url=stack.url, verify=trust(stack), http1=not http2, http2=http2, headers=headers)


@pytest.mark.parametrize(("http2", "version"), [(False, "HTTP/1.1"), (True, "HTTP/2")])
def test_both_http_versions_are_served_and_recorded(stack: Stack, http2: bool, version: str) -> None:
    with http_client(stack, http2=http2) as client:
        answer = client.post("/v1/chat/completions", json=BODY)
    assert (answer.status_code, answer.http_version) == (200, version)
    record = stack.record_of(answer.headers["x-request-id"])
    assert record["protocol"] == {"HTTP/1.1": "h1", "HTTP/2": "h2"}[version]


@pytest.mark.parametrize("http2", [False, True])
def test_stream_ends_with_done(stack: Stack, http2: bool) -> None:
    with http_client(stack, http2=http2) as client:
        with client.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            events = [line for line in answer.iter_lines() if line]
    assert all(event.startswith("data: ") for event in events)
    assert events[-1] == "data: [DONE]"


def test_connection_is_kept(stack: Stack) -> None:
    before = total(stack.fastpath.metrics(), "dpu_connections_total")
    with http_client(stack, http2=False) as client:
        for _ in range(5):
            assert client.post("/v1/chat/completions", json=BODY).status_code == 200
    assert total(stack.fastpath.metrics(), "dpu_connections_total") == before + 1


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/v1/chat/completions", 405), ("POST", "/", 404)]
)
def test_what_is_not_served_is_refused_with_openais_error_body(
    stack: Stack, method: str, path: str, status: int
) -> None:
    with http_client(stack, http2=False) as client:
        answer = client.request(method, path)
    assert answer.status_code == status
    assert {"message", "type", "code"} <= answer.json()["error"].keys()
    assert answer.headers["x-request-id"]


def test_duplicate_key_is_refused_by_name(stack: Stack) -> None:
    with http_client(stack, http2=False) as client:
        answer = client.post(
            "/v1/chat/completions",
            content=b'{"model":"chat","model":"chat","messages":[]}',
            headers={"content-type": "application/json"},
        )
    assert answer.status_code == 400
    assert stack.record_of(answer.headers["x-request-id"])["reason"] == "json_duplicate_key"


def test_requests_in_is_the_sum_over_outcomes(stack: Stack) -> None:
    with http_client(stack, http2=True) as client:
        statuses = [client.post("/v1/chat/completions", json=BODY).status_code for _ in range(10)]
        statuses += [client.post("/v1/chat/completions", json={**BODY, "model": "no"}).status_code for _ in range(5)]
    assert statuses == [200] * 10 + [404] * 5

    def adds_up() -> bool:
        samples = stack.fastpath.metrics()
        received = total(samples, "dpu_requests_received_total")
        ended = total(samples, "dpu_requests_total")
        return received == ended == len(stack.journal()) and total(samples, "dpu_requests_in_flight") == 0

    until(adds_up, "received = ended = journal lines, nothing in flight", 10)


@pytest.mark.parametrize("framing", ["content-length", "transfer-encoding"])
def test_sender_of_a_body_that_is_too_large_comes_to_read_why(stack: Stack, framing: str) -> None:
    size = 10_000_000
    length, wrap = (str(size), (b"", b"")) if framing == "content-length" else ("chunked", (b"%x\r\n" % size, b"\r\n"))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {ALPHA}\r\n"
    head += f"content-type: application/json\r\n{framing}: {length}\r\n\r\n"
    raw = socket.create_connection(("127.0.0.1", int(stack.url.rsplit(":", 1)[1])), timeout=10)
    with trust(stack).wrap_socket(raw, server_hostname="localhost") as client:
        client.sendall(head.encode() + wrap[0] + bytes(size) + wrap[1])
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_request_and_transport_threads_do_not_interrupt_who_runs_on_their_core(stack: Stack) -> None:
    for process, threads in ((stack.fastpath, "dpu-core-"), (stack.workers[0], "dpu-host")):
        assert process.running is not None
        tasks = Path(f"/proc/{process.running.pid}/task").iterdir()
        policies = {(task / "comm").read_text().strip(): os.sched_getscheduler(int(task.name)) for task in tasks}
        assert {policy for name, policy in policies.items() if name.startswith(threads)} == {os.SCHED_BATCH}
        assert os.sched_getscheduler(process.running.pid) == os.SCHED_OTHER
