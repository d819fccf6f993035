"""Every status that a client may get, provoked on the running program: OpenAI's error body, request id, retry-after,
the journal's reason and the metric's increment."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.integration.clients import ALPHA, trust, user
from tests.integration.processes import Samples, Stack, build, total, until

ONCE = "sk-once"
BODY_BYTES_MAX = 2048
HEX_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Sent:
    """What is written on a fresh TLS connection, and what is then kept open."""

    text: str = "hi"
    path: str = "/v1/chat/completions"
    method: str = "POST"
    key: str | None = ALPHA
    fields: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_at: int | None = None
    """Bytes of the whole that are sent."""

    def bytes(self) -> bytes:
        """The request."""
        body = self.body
        if body is None and self.method == "POST":
            body = json.dumps({"model": "chat", "messages": user(self.text), **self.fields}).encode()
        headers = {"Host": "localhost"}
        if body is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        headers |= self.headers
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers.items() if value),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


@dataclass(frozen=True)
class Row:
    """What is sent and what has to come back. `begun`: the head was accepted, so that there is a record."""

    status: int
    reason: str
    kind: str
    code: str
    sent: Sent
    param: str | None = None
    begun: bool = True
    outcome: str = "refused"
    headers: tuple[str, ...] = ()


BAD = "invalid_request_error"
RETRY = ("retry-after", "retry-after-ms")
ROWS = [
    Row(400, "http_malformed_head", BAD, "malformed_request", Sent(headers={"bad name": "x"}), begun=False),
    Row(
        400,
        "http_ambiguous_length",
        BAD,
        "ambiguous_length",
        Sent(headers={"Transfer-Encoding": "chunked"}),
        begun=False,
    ),
    Row(400, "http_bad_host", BAD, "bad_host", Sent(headers={"Host": ""}), begun=False),
    Row(400, "json_syntax", BAD, "invalid_json", Sent(body=b"{")),
    Row(400, "field_unknown", BAD, "unknown_parameter", Sent(fields={"nonsense": 1}), param="nonsense"),
    Row(400, "field_value", BAD, "invalid_value", Sent(fields={"n": 0}), param="n"),
    Row(400, "field_missing", BAD, "missing_required_parameter", Sent(body=b'{"model":"chat"}'), param="messages"),
    Row(401, "auth_missing", BAD, "missing_api_key", Sent(key=None), headers=("www-authenticate",)),
    Row(401, "auth_invalid", BAD, "invalid_api_key", Sent(key="sk-nobody"), headers=("www-authenticate",)),
    Row(403, "model_forbidden", BAD, "model_not_allowed", Sent(fields={"model": "secret"}), param="model"),
    Row(404, "http_not_found", BAD, "not_found", Sent(path="/v1/nowhere")),
    Row(404, "model_not_found", BAD, "model_not_found", Sent(fields={"model": "nobody"}), param="model"),
    Row(404, "model_not_found", BAD, "model_not_found", Sent(path="/v1/models/nobody", method="GET"), param="model"),
    Row(405, "http_method_refused", BAD, "method_not_allowed", Sent(method="GET"), headers=("allow",)),
    Row(408, "http_head_timeout", BAD, "head_timeout", Sent(cut_at=30), begun=False),
    Row(408, "http_body_timeout", BAD, "body_timeout", Sent(cut_at=-3)),
    Row(411, "http_length_required", BAD, "length_required", Sent(headers={"Content-Length": ""}, body=b"")),
    Row(413, "http_body_too_large", BAD, "body_too_large", Sent(text="x" * BODY_BYTES_MAX)),
    Row(415, "http_media_type", BAD, "unsupported_media_type", Sent(headers={"Content-Type": "text/plain"})),
    Row(417, "http_bad_expect", BAD, "bad_expect", Sent(headers={"Expect": "a miracle"}), begun=False),
    Row(421, "http_misdirected", BAD, "misdirected_request", Sent(headers={"Host": "other.example"})),
    Row(
        429,
        "rate_limited",
        "requests",
        "rate_limit_exceeded",
        Sent(key=ONCE),
        headers=(*RETRY, "x-ratelimit-limit-requests"),
    ),
    Row(
        431,
        "http_too_many_headers",
        BAD,
        "too_many_headers",
        Sent(headers={f"x-{n}": "1" for n in range(40)}),
        begun=False,
    ),
    Row(431, "http_head_too_large", BAD, "head_too_large", Sent(headers={"x-long": "1" * 5000}), begun=False),
    Row(502, "worker_failed", "server_error", "worker_failed", Sent("!echo fail_after=0"), outcome="failed"),
    Row(503, "no_worker", "server_error", "no_worker", Sent(fields={"model": "lonely"}), headers=RETRY),
    Row(504, "worker_timeout", "server_error", "worker_timeout", Sent("!echo hang_after=0"), outcome="failed"),
    Row(505, "http_bad_version", BAD, "bad_http_version", Sent(path="/ HTTP/3.0\r\nx: y"), begun=False),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[Stack]:
    """Short times and small bounds; one request an hour for a tenant, a model of another, one without worker."""
    made = build(tmp_path_factory.mktemp("table"), certs)
    yaml = YAML()
    desired = yaml.load(made.config.read_text())
    limits = {
        "head_timeout": "500ms",
        "body_timeout": "500ms",
        "request_timeout": "1s",
        "body_bytes_max": BODY_BYTES_MAX,
    }
    desired["listeners"][0]["limits"] |= {**limits, "head_bytes_max": 4096, "headers_max": 20}
    only = [{"name": "only", "weight_percent": 100}]
    far = [{"name": "only", "weight_percent": 100, "worker_labels": {"zone": "far"}}]
    desired["models"] += [{"name": "secret", "arms": only}, {"name": "lonely", "arms": far}]
    desired["tenants"][0]["models"].append("lonely")
    digest = hashlib.sha256(ONCE.encode()).hexdigest()
    rate = {"requests": 1, "per": "1h", "burst": 1}
    once = {
        "name": "once",
        "keys": [f"sha256:{digest}"],
        "models": ["chat", "secret"],
        "limits": {"request_rate": rate},
    }
    desired["tenants"].append(once)
    # A worker of that zone that is not there.
    desired["workers"].append({"name": "gone", "address": "127.0.0.1:1", "labels": {"zone": "far"}})
    with made.config.open("w") as file:
        yaml.dump(desired, file)
    for process in [*made.workers, made.fastpath, made.agent]:
        process.start()
    try:
        for process in [*made.workers, made.agent]:
            process.wait_ready()
        until(lambda: total(made.fastpath.metrics(), "dpu_worker_up") == 2, "both workers are up")
        assert exchange(made, Sent(key=ONCE))[0] == 200  # the only one of the hour
        yield made
    finally:
        made.stop()


def connect(stack: Stack) -> ssl.SSLSocket:
    """HTTP/1.1 over TLS."""
    context = trust(stack)
    context.set_alpn_protocols(["http/1.1"])
    return context.wrap_socket(socket.create_connection(("127.0.0.1", stack.port), 10), server_hostname="localhost")


def exchange(stack: Stack, sent: Sent) -> tuple[int, dict[str, str], bytes]:
    """Status, header fields in lower case, body."""
    with connect(stack) as client:
        client.sendall(sent.bytes()[: sent.cut_at])
        data = b""
        while b"\r\n\r\n" not in data:
            data += (part := client.recv(65536))
            assert part, f"closed after {data!r}"
        head, _, body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers["content-length"]):
            body += client.recv(65536)
    return int(status.split()[1]), headers, body


def counted(samples: Samples, row: Row) -> float:
    """What the metrics say of this row's reason."""
    if not row.begun:
        return total(samples, "dpu_head_refusals_total", reason=row.reason)
    return total(samples, "dpu_requests_total", reason=row.reason, outcome=row.outcome)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.status}-{row.reason}")
def test_status_has_its_body_headers_record_and_count(stack: Stack, row: Row) -> None:
    before = counted(stack.fastpath.metrics(), row)
    status, headers, body = exchange(stack, row.sent)
    error = json.loads(body)["error"]
    assert error.keys() == {"message", "type", "param", "code"} and error["message"]
    assert (status, error["type"], error["code"], error["param"]) == (row.status, row.kind, row.code, row.param)
    assert HEX_ID.fullmatch(headers["x-request-id"]) and headers["content-type"] == "application/json"
    assert [name for name in row.headers if not headers.get(name)] == []
    if row.status == 503 or row.status == 429:
        assert int(headers["retry-after"]) >= 1
        assert int(headers["retry-after-ms"]) <= 1000 * int(headers["retry-after"])
    until(lambda: counted(stack.fastpath.metrics(), row) == before + 1, f"{row.reason} is counted once", 5)
    if row.begun:
        record = stack.record_of(headers["x-request-id"])
        assert (record["status"], record["reason"], record["outcome"]) == (row.status, row.reason, row.outcome)


def test_499_is_what_the_journal_says_of_a_client_that_went(stack: Stack) -> None:
    name, labels = "dpu_requests_total", {"reason": "client_gone", "outcome": "client_gone"}
    before = total(stack.fastpath.metrics(), name, **labels)
    with connect(stack) as client:
        client.sendall(Sent("!echo tokens=50 delay_ms=15", fields={"stream": True}).bytes())
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    until(lambda: total(stack.fastpath.metrics(), name, **labels) == before + 1, "it is counted once", 5)
    statuses: set[int] = set()

    def written() -> bool:
        statuses.update(record["status"] for record in stack.journal() if record["reason"] == "client_gone")
        return bool(statuses)

    until(written, "it is in the journal", 5)
    assert statuses == {499}


def test_books_of_the_table_add_up(stack: Stack) -> None:
    def open_now() -> float:
        return total(stack.fastpath.metrics(), "dpu_requests_in_flight")

    until(lambda: open_now() == 0, "nothing runs", 5)
    samples = stack.fastpath.metrics()
    ended = total(samples, "dpu_requests_total")
    assert total(samples, "dpu_requests_received_total") == ended
    until(lambda: len(stack.journal()) == ended, "every request has its line", 5)
