"""The parser of server-sent events: however they are cut the same events, and never more than its bound."""

from __future__ import annotations

import random

import pytest

from host_agent.worker.engines.sse import Event, EventTooLarge, Parser

A = [Event("message", b"a")]
TABLE = [
    (b"data: a\n\n", A),
    (b"data:a\r\n\r\n", A),
    (b"data: a\r\r", A),
    (b"\xef\xbb\xbfdata: a\n\n", A),
    (b": a comment\n:\ndata: a\nid: 7\nretry: 9\nunknown: x\nnothing\n\n", A),
    (b"data: a\ndata: b\r\ndata\rdata:  c\n\n", [Event("message", b"a\nb\n\n c")]),
    (b"event: error\ndata: a\n\ndata: a\n\n", [Event("error", b"a"), *A]),
    (b"event: ping\n\n\n\n", []),
    (b"data: a\n", []),
    (b"data\n\n", [Event("message", b"")]),
]


def fed(parts: list[bytes]) -> list[Event]:
    parser = Parser(64)
    return [event for part in parts for event in parser.feed(part)]


@pytest.mark.parametrize(("text", "events"), TABLE)
def test_events_are_the_same_however_they_are_cut(text: bytes, events: list[Event]) -> None:
    assert fed([text]) == events
    assert fed([bytes([byte]) for byte in text]) == events
    dice = random.Random(7)
    for _ in range(20):
        cuts = sorted(dice.randrange(len(text) + 1) for _ in range(3))
        assert fed([text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]) == events


@pytest.mark.parametrize("text", [b"data: " + b"x" * 64, b"x" * 65, b"data: xxxxxxx\n" * 9, b": " + b"x" * 70])
def test_what_does_not_end_is_refused(text: bytes) -> None:
    with pytest.raises(EventTooLarge):
        fed([text])
    with pytest.raises(EventTooLarge):
        fed([bytes([byte]) for byte in text])
