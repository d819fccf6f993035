"""HTTP/2 requests on the running program: every row of the table, then the connection is used again."""

from __future__ import annotations

import pytest

from tests.conformance.h2_rows import ROWS, Row
from tests.conformance.wire import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    H2,
    HEADERS,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    Target,
    ask,
    chat,
    frame,
    setting,
)
from tests.integration.processes import until

FRAME_BYTES = 16_000


def send_head(client: H2, row: Row) -> None:
    """The row's head, in as many frames as it takes; its DATA."""
    block = client.encoder.encode([(name.encode("latin-1"), value.encode("latin-1")) for name, value in row.head])
    parts = [block[at : at + FRAME_BYTES] for at in range(0, len(block), FRAME_BYTES)]
    end = END_STREAM if row.data is None else 0
    for index, part in enumerate(parts):
        last = END_HEADERS if index == len(parts) - 1 else 0
        kind, flags = (HEADERS, end | last) if index == 0 else (CONTINUATION, last)
        client.send(frame(kind, flags, 1, part))
    if row.data is not None:
        client.send(frame(DATA, END_STREAM if row.ends else 0, 1, row.data))


def first_word(client: H2) -> Frame:
    """An answer's head, or RST_STREAM, or GOAWAY."""
    while (found := client.next()) is not None:
        if found.kind in (HEADERS, RST_STREAM, GOAWAY):
            return found
    raise AssertionError("closed without a word")


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_doubtful_request_is_refused_for_its_one_reason(target: Target, row: Row) -> None:
    before = target.refused(row.reason)
    with H2(target) as client:
        send_head(client, row)
        word = first_word(client)
        if row.goaway:
            assert (word.kind, word.code) == (GOAWAY, row.goaway)
            assert client.ending() is None
        elif row.reset:
            assert (word.kind, word.code) == (RST_STREAM, row.reset)
        else:
            assert (word.kind, word.headers.get(":status")) == (HEADERS, str(row.status))
        if not row.goaway:
            client.send(client.head(3, ask("GET", "/v1/models"), end=True))
            assert client.until(HEADERS, 3).headers[":status"] == "200"
    until(lambda: target.refused(row.reason) == before + 1, f"one more {row.reason}", 5)


def test_every_row_has_its_own_name() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) > 40


def test_cookie_crumbs_count_as_one_field(target: Target) -> None:
    with H2(target) as client:
        crumbs = [("cookie", f"a={i}") for i in range(150)]
        client.send(client.head(1, [*ask("GET", "/v1/models"), *crumbs], end=True))
        assert client.until(HEADERS).headers[":status"] == "200"


def test_host_stands_in_for_a_missing_authority(target: Target) -> None:
    with H2(target) as client:
        fields = [*(pair for pair in ask("GET", "/v1/models") if pair[0] != ":authority"), ("host", "localhost")]
        client.send(client.head(1, fields, end=True))
        assert client.until(HEADERS).headers[":status"] == "200"


BROKEN = {
    "no_preface": b"GET / HTTP/1.1\r\n\r\n" + b"x" * 20,
    "data_on_stream_0": frame(DATA, 0, 0, b"x"),
    "data_on_an_idle_stream": frame(DATA, 0, 1, b"x"),
    "headers_on_an_even_stream": frame(HEADERS, END_HEADERS | END_STREAM, 2, b"\x82"),
    "continuation_without_a_head": frame(CONTINUATION, END_HEADERS, 1, b""),
    "push_promise_from_a_client": frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2\x82"),
    "frame_above_the_size": frame(DATA, 0, 1, b"x" * 16_385),
    "settings_of_odd_size": frame(SETTINGS, payload=b"12345"),
    "settings_window_too_large": frame(SETTINGS, payload=setting(4, 2**31)),
    "window_update_of_zero": frame(WINDOW_UPDATE, payload=b"\0\0\0\0"),
    "window_overflow": frame(WINDOW_UPDATE, payload=b"\x7f\xff\xff\xff") * 2,
    "hpack_index_that_is_not_there": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\x0f"),
    "head_broken_into_by_another_frame": frame(HEADERS, 0, 1, b"\x82") + frame(DATA, 0, 1, b"x"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_protocol_ends_the_connection_and_is_counted_once(target: Target, name: str) -> None:
    before = target.refused("http_h2_protocol")
    if name == "no_preface":
        client = H2.__new__(H2)
        client.socket, client.buffer = target.tls("h2"), b""
        client.send(BROKEN[name])
    else:
        client = H2(target)
        client.send(BROKEN[name])
    with client:
        goaway = client.ending()
        assert goaway is not None or name == "no_preface"
        assert goaway is None or goaway.code != 0
    until(lambda: target.refused("http_h2_protocol") == before + 1, "counted once", 5)


def test_streams_side_by_side_are_served(target: Target) -> None:
    with H2(target) as client:
        streams = range(1, 41, 2)
        for stream in streams:
            client.send(client.head(stream, ask()) + frame(DATA, END_STREAM, stream, chat()))
        statuses: dict[int, str] = {}
        while len(statuses) < len(streams):
            found = client.until(HEADERS)
            statuses[found.stream] = found.headers[":status"]
        assert set(statuses.values()) == {"200"}
