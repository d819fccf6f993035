"""What may be wrong with an HTTP/1 request, row by row: its bytes and what has to come of them.

Every clause of RFC 9112 (and 9110) that two readers could take differently. All are refused and the connection is
closed: nobody knows where the next request starts.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.integration.clients import ALPHA

PATH = "/v1/chat/completions"
LINE = f"POST {PATH} HTTP/1.1\r\n"
HOST = "host: localhost\r\n"
REST = f"authorization: Bearer {ALPHA}\r\ncontent-type: application/json\r\n"
CHUNKED = "transfer-encoding: chunked\r\n"
MALFORMED, AMBIGUOUS, CHUNK = "http_malformed_head", "http_ambiguous_length", "http_bad_chunk"
BAD_HOST, UPGRADE, EXPECT = "http_bad_host", "http_upgrade_refused", "http_bad_expect"


@dataclass(frozen=True)
class Row:
    """One request that is refused."""

    name: str
    clause: str
    bytes: bytes
    status: int
    reason: str


def head(extra: str = "", body: str = "{}", line: str = LINE, host: str = HOST) -> bytes:
    """A request with something odd in its head."""
    return (line + host + REST + extra + "\r\n" + body).encode("latin-1")


def chunks(body: str) -> bytes:
    """A request with an odd chunked body."""
    return head(CHUNKED, body)


def lengths() -> list[Row]:
    """One body length, said once."""
    two = "content-length: 2\r\n"
    found = [
        Row("transfer_encoding_with_content_length", "9112 6.1", head(CHUNKED + two), 400, AMBIGUOUS),
        Row("content_length_with_transfer_encoding", "9112 6.1", head(two + CHUNKED), 400, AMBIGUOUS),
        Row("content_length_twice_differing", "9112 6.3", head(two + "content-length: 3\r\n"), 400, AMBIGUOUS),
        Row("content_length_twice_equal", "9112 6.3", head(two + two), 400, AMBIGUOUS),
        Row("post_without_length", "9110 8.6", head(body=""), 411, "http_length_required"),
        Row("transfer_encoding_twice", "9112 6.1", head(CHUNKED + CHUNKED), 400, AMBIGUOUS),
        Row(
            "transfer_encoding_on_http_10",
            "9112 6.1",
            head(CHUNKED, line=f"POST {PATH} HTTP/1.0\r\n"),
            400,
            AMBIGUOUS,
        ),
        Row("length_declared_hop_by_hop", "9110 7.6.1", head(two + "connection: content-length\r\n"), 400, MALFORMED),
    ]
    for value in ("2, 2", "2, 3", "+2", "-2", "0x2", "2 2", "", "2.0", "1e1", "٢", "99999999999999999999"):
        row = f"content-length: {value}\r\n".encode()
        odd = (LINE + HOST + REST).encode() + row + b"\r\n{}"
        found.append(Row(f"content_length_{value!r}", "9110 8.6", odd, 400, AMBIGUOUS))
    for coding in (
        "gzip",
        "identity",
        "chunked, chunked",
        "gzip, chunked",
        "chunked, gzip",
        "xchunked",
        "chunked;q=1",
        "",
    ):
        row_bytes = head(f"transfer-encoding: {coding}\r\n")
        found.append(Row(f"transfer_encoding_{coding!r}", "9112 6.1", row_bytes, 400, AMBIGUOUS))
    return found


def lines() -> list[Row]:
    """Lines that end in CRLF, are not folded, and hold no odd bytes."""
    two = "content-length: 2\r\n"
    odd = {
        "bare_cr_in_a_value": ("9112 2.2", "x: a\rb\r\n"),
        "bare_cr_as_a_line_end": ("9112 2.2", "x: a\r"),
        "bare_lf_as_a_line_end": ("9112 2.2", "x: a\n"),
        "obs_fold_with_a_space": ("9112 5.2", "x: a\r\n b\r\n"),
        "obs_fold_with_a_tab": ("9112 5.2", "x: a\r\n\tb\r\n"),
        "space_before_the_colon": ("9112 5.1", "x : a\r\n"),
        "tab_before_the_colon": ("9112 5.1", "x\t: a\r\n"),
        "space_before_the_colon_of_a_length": ("9112 5.1", "content-length : 2\r\n"),
        "nul_in_a_value": ("9110 5.5", "x: a\0b\r\n"),
        "nul_in_a_name": ("9110 5.1", "x\0: a\r\n"),
        "control_character_in_a_value": ("9110 5.5", "x: a\x01b\r\n"),
        "delete_in_a_value": ("9110 5.5", "x: a\x7fb\r\n"),
        "no_colon": ("9112 5", "x\r\n"),
        "empty_name": ("9112 5", ": a\r\n"),
        "name_that_is_no_token": ("9110 5.1", "x(y): a\r\n"),
        "name_that_is_not_ascii": ("9110 5.1", "xé: a\r\n"),
    }
    found = [Row(name, clause, head(extra + two), 400, MALFORMED) for name, (clause, extra) in odd.items()]
    starts = {
        "bare_lf_after_the_request_line": f"POST {PATH} HTTP/1.1\n",
        "white_space_before_the_first_field": f"POST {PATH} HTTP/1.1\r\n ",
        "white_space_before_the_request_line": f" POST {PATH} HTTP/1.1\r\n",
        "two_spaces_in_the_request_line": f"POST  {PATH} HTTP/1.1\r\n",
        "tab_in_the_request_line": f"POST\t{PATH} HTTP/1.1\r\n",
        "space_in_the_target": "POST /v1/chat /completions HTTP/1.1\r\n",
        "nul_in_the_target": f"POST {PATH}\0 HTTP/1.1\r\n",
        "fragment_in_the_target": f"POST {PATH}#x HTTP/1.1\r\n",
        "broken_percent_coding_in_the_target": f"POST {PATH}%4 HTTP/1.1\r\n",
        "method_that_is_no_token": f"PO(ST {PATH} HTTP/1.1\r\n",
        "lower_case_version": f"POST {PATH} http/1.1\r\n",
        "no_version": f"POST {PATH}\r\n",
        "three_empty_lines_before_the_request": f"\r\n\r\n\r\nPOST {PATH} HTTP/1.1\r\n",
    }
    found += [Row(name, "9112 3", head(two, line=line), 400, MALFORMED) for name, line in starts.items()]
    for version in ("2.0", "1.2", "0.9", "3.0"):
        line = f"POST {PATH} HTTP/{version}\r\n"
        found.append(Row(f"version_{version}", "9110 2.5", head(two, line=line), 505, "http_bad_version"))
    return found


def intents() -> list[Row]:
    """What is asked for that is not offered here."""
    two = "content-length: 2\r\n"
    upgrade = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"
    hosts = {
        "missing": "",
        "twice": HOST + HOST,
        "twice_differing": HOST + "host: other\r\n",
        "empty": "host:\r\n",
        "with_userinfo": "host: a@localhost\r\n",
        "with_a_space": "host: local host\r\n",
        "with_a_list": "host: localhost, other\r\n",
        "with_a_path": "host: localhost/x\r\n",
        "with_a_bad_port": "host: localhost:99999\r\n",
        "with_a_broken_ipv6": "host: [::1\r\n",
    }
    found = [Row(f"host_{name}", "9112 3.2", head(two, host=host), 400, BAD_HOST) for name, host in hosts.items()]
    found += [
        Row(
            "host_and_target_disagree",
            "9112 3.2.2",
            head(two, line=f"POST https://other{PATH} HTTP/1.1\r\n"),
            400,
            BAD_HOST,
        ),
        Row("upgrade_websocket", "9110 7.8", head(two + "connection: upgrade\r\nupgrade: websocket\r\n"), 400, UPGRADE),
        Row("connection_upgrade_alone", "9110 7.8", head(two + "connection: upgrade\r\n"), 400, UPGRADE),
        Row("upgrade_h2c", "7540 3.2", head(upgrade, "", line="GET /v1/models HTTP/1.1\r\n"), 400, UPGRADE),
        Row("http2_prior_knowledge", "9113 3.3", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, UPGRADE),
        Row("connect", "9110 9.3.6", head("", "", line="CONNECT localhost:443 HTTP/1.1\r\n"), 400, UPGRADE),
        Row("expect_something_else", "9110 10.1.1", head(two + "expect: 200-ok\r\n"), 417, EXPECT),
        Row("expect_twice", "9110 10.1.1", head(two + "expect: 100-continue\r\nexpect: 100-continue\r\n"), 417, EXPECT),
        Row("expect_a_list", "9110 10.1.1", head(two + "expect: 100-continue, x\r\n"), 417, EXPECT),
    ]
    return found


def bodies() -> list[Row]:
    """Chunked bodies that are not what they say."""
    odd = {
        "size_that_is_no_number": "xyz\r\n{}\r\n0\r\n\r\n",
        "size_with_a_sign": "+2\r\n{}\r\n0\r\n\r\n",
        "size_with_0x": "0x2\r\n{}\r\n0\r\n\r\n",
        "size_with_a_space": "2 \r\n{}\r\n0\r\n\r\n",
        "size_missing": "\r\n{}\r\n0\r\n\r\n",
        "size_of_17_digits": "00000000000000002\r\n{}\r\n0\r\n\r\n",
        "size_line_with_bare_lf": "2\n{}\r\n0\r\n\r\n",
        "data_longer_than_its_size": "2\r\n{} \r\n0\r\n\r\n",
        "data_with_bare_lf_behind": "2\r\n{}\n0\r\n\r\n",
        "extension_with_bare_lf": "2;a=b\n{}\r\n0\r\n\r\n",
        "extension_with_a_quoted_cr": '2;a="\r\n"\r\n{}\r\n0\r\n\r\n',
        "extensions_without_end": "2;" + "a" * 5000 + "\r\n{}\r\n0\r\n\r\n",
        "trailer_that_frames": "2\r\n{}\r\n0\r\ncontent-length: 2\r\n\r\n",
        "trailer_that_authenticates": "2\r\n{}\r\n0\r\nauthorization: x\r\n\r\n",
        "trailer_without_a_colon": "2\r\n{}\r\n0\r\nx\r\n\r\n",
        "trailer_with_bare_lf": "2\r\n{}\r\n0\r\nx: y\n\r\n",
        "trailers_without_end": "2\r\n{}\r\n0\r\nx: " + "y" * 5000 + "\r\n\r\n",
    }
    found = [Row(f"chunk_{name}", "9112 7.1", chunks(body), 400, CHUNK) for name, body in odd.items()]
    too_large = chunks("ffffffffffffffff\r\n")
    found.append(Row("chunk_size_of_64_bits", "9112 7.1", too_large, 413, "http_body_too_large"))
    declared = head("content-length: 99999999\r\n", "")
    found.append(Row("content_length_above_the_limit", "9110 8.6", declared, 413, "http_body_too_large"))
    return found


ROWS = [*lengths(), *lines(), *intents(), *bodies()]
