"""HTTP/1 framing on the running program: every row of the table, and what stands beside it and is served."""

from __future__ import annotations

import pytest

from tests.conformance.h1_rows import HOST, LINE, REST, ROWS, Row, head
from tests.conformance.wire import H1, Target, chat
from tests.integration.processes import until

MODELS = f"GET /v1/models HTTP/1.1\r\n{HOST}{REST}\r\n".encode()


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_doubtful_request_is_refused_for_its_one_reason_and_closed(target: Target, row: Row) -> None:
    before = target.refused(row.reason)
    with H1(target) as client:
        client.send(row.bytes)
        answer = client.answer()
        assert answer.status == row.status
        assert b'"error"' in answer.body
        assert answer.headers["connection"] == "close"
        assert answer.request_id
        assert client.is_closed()
    until(lambda: target.refused(row.reason) == before + 1, f"one more {row.reason}", 5)


def test_every_row_has_its_own_name() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) > 90


def test_body_shorter_than_its_length_is_recorded(target: Target) -> None:
    before = target.refused("http_body_incomplete")
    with H1(target) as client:
        client.send(head("content-length: 10\r\n"))
    until(lambda: target.refused("http_body_incomplete") == before + 1, "the lie is recorded", 5)


def test_body_longer_than_its_length_is_the_next_request_and_refused(target: Target) -> None:
    body = chat()
    with H1(target) as client:
        client.send(f"{LINE}{HOST}{REST}content-length: {len(body)}\r\n\r\n".encode() + body + b"{}\r\n\r\n")
        assert client.answer().status == 200
        assert client.answer().status == 400
        assert client.is_closed()


@pytest.mark.parametrize("lines", [b"\r\n", b"\r\n\r\n"], ids=["one", "two"])
def test_empty_lines_before_a_request_are_skipped(target: Target, lines: bytes) -> None:
    with H1(target) as client:
        client.send(lines + MODELS)
        assert client.answer().status == 200
        client.send(lines)
        client.send(MODELS)
        assert client.answer().status == 200


@pytest.mark.parametrize(
    ("name", "request_bytes"),
    [
        ("absolute_form", MODELS.replace(b" /v1", b" https://localhost/v1")),
        ("host_with_the_port", MODELS.replace(b"host: localhost", b"HOST:\tlocalhost:443 ")),
        ("no_white_space", MODELS.replace(b"host: ", b"host:")),
        ("query", MODELS.replace(b"/models", b"/models?a=%20b")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusual_but_sound_request_is_served_and_kept(target: Target, name: str, request_bytes: bytes) -> None:
    with H1(target) as client:
        for _ in range(2):
            client.send(request_bytes)
            assert client.answer().status == 200, name


def test_http_10_needs_no_host_and_is_closed(target: Target) -> None:
    with H1(target) as client:
        client.send(f"GET /v1/models HTTP/1.0\r\n{REST}\r\n".encode())
        assert client.answer().status == 200
        assert client.is_closed()


def test_client_that_expects_100_gets_it_and_then_its_answer(target: Target) -> None:
    body = chat()
    with H1(target) as client:
        client.send(f"{LINE}{HOST}{REST}expect: 100-Continue\r\ncontent-length: {len(body)}\r\n\r\n".encode())
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(body)
        assert client.answer().status == 200


def test_chunked_body_with_extension_and_trailer_is_served(target: Target) -> None:
    body = chat()
    with H1(target) as client:
        client.send(f"{LINE}{HOST}{REST}transfer-encoding: Chunked\r\n\r\n{len(body):X};a=b\r\n".encode())
        client.send(body + b"\r\n0\r\nx-checksum: 1\r\n\r\n" + MODELS)
        assert [client.answer().status, client.answer().status] == [200, 200]


def test_pipelined_requests_are_answered_in_order(target: Target) -> None:
    body = chat("!echo tokens=3 delay_ms=5")
    post = f"{LINE}{HOST}{REST}content-length: {len(body)}\r\n\r\n".encode() + body
    lost = MODELS.replace(b"/models", b"/nowhere")
    with H1(target) as client:
        client.send((post + MODELS + lost) * 4)
        assert [client.answer().status for _ in range(12)] == [200, 200, 404] * 4


def test_request_byte_by_byte_is_served_and_a_doubtful_one_refused(target: Target) -> None:
    with H1(target) as client:
        for byte in MODELS:
            client.send(bytes([byte]))
        assert client.answer().status == 200
        for byte in head("x : y\r\n", ""):
            client.send(bytes([byte]))
        assert client.answer().status == 400
