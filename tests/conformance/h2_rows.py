"""What may be wrong with an HTTP/2 request, row by row: its head, its DATA, and what has to come of them (RFC 9113).

A stream is refused with an answer where the h2 crate hands us its head, with RST_STREAM or GOAWAY where the crate
refuses it by itself. After the first two the connection lives on: frames do not depend on what a head says. Not here: a
fragment in `:path`, which the http crate drops before we see it, so that everybody reads the same path.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.conformance.wire import ask

MALFORMED, AMBIGUOUS, BAD_HOST = "http_malformed_head", "http_ambiguous_length", "http_bad_host"
PROTOCOL = "http_h2_protocol"
PROTOCOL_ERROR = 1
Head = list[tuple[str, str]]


@dataclass(frozen=True)
class Row:
    """One request that is refused: by a status, or by the code of a RST_STREAM or GOAWAY."""

    name: str
    clause: str
    head: Head
    reason: str
    status: int = 0
    reset: int = 0
    goaway: int = 0
    data: bytes | None = b"{}"
    ends: bool = True


def without(name: str) -> Head:
    """A sound head less one field."""
    return [pair for pair in ask() if pair[0] != name]


def having(*pairs: tuple[str, str]) -> Head:
    """A sound head and more fields."""
    return [*ask(), *pairs]


def changed(name: str, value: str) -> Head:
    """A sound head with one value replaced."""
    return [(found, value if found == name else old) for found, old in ask()]


def connection_fields() -> list[Row]:
    """RFC 9113, 8.2.2."""
    fields = [
        ("connection", "close"),
        ("connection", "upgrade"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
    ]
    return [
        Row(f"{name}_{value}", "9113 8.2.2", having((name, value)), PROTOCOL, reset=PROTOCOL_ERROR)
        for name, value in fields
    ]


def pseudo_fields() -> list[Row]:
    """RFC 9113, 8.3."""
    twice = [(":method", "POST"), *ask()]
    late = [*without(":path"), (":path", "/v1/chat/completions")]
    empty = changed(":path", "")
    crate = {
        "method_missing": without(":method"),
        "scheme_missing": without(":scheme"),
        "path_missing": without(":path"),
        "method_twice": twice,
        "pseudo_field_behind_a_field": late,
        "status_in_a_request": [(":status", "200"), *ask()],
        "protocol_without_extended_connect": [(":protocol", "websocket"), *ask()],
        "path_empty": empty,
        "path_without_a_slash": changed(":path", "v1/models"),
    }
    # The crate gives these up as it decodes the block: a connection error, which RFC 9113, 5.4.2 leaves to it.
    undecodable = {
        "unknown_pseudo_field": [(":x", "y"), *ask()],
        "upper_case_name": having(("X-Upper", "y")),
        "name_with_a_space": having(("x y", "z")),
        "name_with_nul": having(("x\0", "z")),
        "value_with_cr": having(("x", "a\rb")),
        "value_with_lf": having(("x", "a\nb")),
        "value_with_nul": having(("x", "a\0b")),
    }
    found = [Row(name, "9113 8.3", head, PROTOCOL, reset=PROTOCOL_ERROR) for name, head in crate.items()]
    found += [Row(name, "9113 8.2.1", head, PROTOCOL, goaway=PROTOCOL_ERROR) for name, head in undecodable.items()]
    ours = {
        "scheme_http": changed(":scheme", "http"),
        "asterisk_without_options": changed(":path", "*"),
        "value_with_white_space_before": having(("x", " a")),
        "value_with_white_space_behind": having(("x", "a ")),
    }
    return found + [Row(name, "9113 8.3.1", head, MALFORMED, 400) for name, head in ours.items()]


def hosts() -> list[Row]:
    """RFC 9113, 8.3.1: one host."""
    found = {
        "authority_and_host_disagree": having(("host", "other")),
        "host_twice": having(("host", "localhost"), ("host", "localhost")),
        "authority_and_host_missing": without(":authority"),
        "authority_with_a_bad_port": changed(":authority", "localhost:99999"),
        "host_not_valid": [*without(":authority"), ("host", "a b")],
    }
    rows = [Row(name, "9113 8.3.1", head, BAD_HOST, 400) for name, head in found.items()]
    with_userinfo = changed(":authority", "a@localhost")
    return [*rows, Row("authority_with_userinfo", "9113 8.3.1", with_userinfo, BAD_HOST, 400)]


def lengths() -> list[Row]:
    """RFC 9113, 8.1.1: the body is as long as its head says."""

    def of(value: str) -> Head:
        return having(("content-length", value))

    twice = having(("content-length", "2"), ("content-length", "2"))
    differing = having(("content-length", "2"), ("content-length", "3"))
    return [
        Row("body_longer_than_its_length", "9113 8.1.1", of("1"), AMBIGUOUS, reset=PROTOCOL_ERROR),
        Row("body_shorter_than_its_length", "9113 8.1.1", of("3"), AMBIGUOUS, reset=PROTOCOL_ERROR),
        Row("no_body_with_a_length", "9113 8.1.1", of("2"), PROTOCOL, reset=PROTOCOL_ERROR, data=None),
        Row("length_that_is_no_number", "9110 8.6", of("x"), PROTOCOL, reset=PROTOCOL_ERROR),
        Row("length_with_a_sign", "9110 8.6", of("+2"), PROTOCOL, reset=PROTOCOL_ERROR),
        Row("length_twice_differing", "9110 8.6", differing, PROTOCOL, reset=PROTOCOL_ERROR),
        Row("length_twice_equal", "9110 8.6", twice, AMBIGUOUS, 400),
        Row("length_above_the_limit", "9110 8.6", of("99999999"), "http_body_too_large", 413, ends=False),
    ]


def intents() -> list[Row]:
    """What is not offered here."""
    connect = [(":method", "CONNECT"), (":authority", "localhost:443")]
    return [
        Row("connect", "9113 8.5", connect, "http_upgrade_refused", 400),
        Row("expect_something_else", "9110 10.1.1", having(("expect", "200-ok")), "http_bad_expect", 417),
        Row(
            "expect_twice",
            "9110 10.1.1",
            having(("expect", "100-continue"), ("expect", "100-continue")),
            "http_bad_expect",
            417,
        ),
        Row(
            "too_many_fields",
            "9113 10.5.1",
            having(*[(f"x{i}", "y") for i in range(100)]),
            "http_too_many_headers",
            431,
        ),
        Row("head_too_large", "9113 10.5.1", having(("x", "y" * 17_000)), "http_head_too_large", 431),
        Row(
            "head_too_large_by_cookie_crumbs",
            "9113 8.2.3",
            having(*[("cookie", f"a{i}={i}") for i in range(600)]),
            "http_head_too_large",
            431,
        ),
        Row("head_larger_than_the_crate_reads", "9113 10.5.1", having(("x", "y" * 40_000)), "http_head_too_large", 431),
    ]


ROWS = [*connection_fields(), *pseudo_fields(), *hosts(), *lengths(), *intents()]
