//! Every framing clause of RFC 9110 and 9112 that is refused and closed: raw bytes -> reason, whole and byte by byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{outcome, LIMITS};
use dpu_types::Reason::{self, *};

fn assert_refused(table: &[(&str, &[u8], Reason)]) {
    for (clause, raw, reason) in table {
        let (heads, refusal) = outcome(raw);
        assert!(heads.is_empty(), "{clause}: {heads:?}");
        assert_eq!(refusal.map(|refusal| refusal.reason), Some(*reason), "{clause}");
    }
}

/// A POST with `lines` (each with its CRLF) between Host and the end.
fn post(lines: &[u8]) -> Vec<u8> {
    let start: &[u8] = b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n";
    [start, lines, b"\r\n"].concat()
}

#[test]
fn lines_that_are_not_strict_are_refused() {
    assert_refused(&[
        ("bare LF after the request line", b"GET /v1/models HTTP/1.1\nHost: h\r\n\r\n", HttpMalformedHead),
        ("bare LF after a field", b"GET /v1/models HTTP/1.1\r\nHost: h\n\r\n", HttpMalformedHead),
        ("bare LF as the end", b"GET /v1/models HTTP/1.1\r\nHost: h\r\n\n", HttpMalformedHead),
        ("bare CR in a value", b"GET /v1/models HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", HttpMalformedHead),
        ("CR CR LF", b"GET /v1/models HTTP/1.1\r\nHost: h\r\r\n\r\n", HttpMalformedHead),
        ("bare CR in the request line", b"GET /v1/models\rx HTTP/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("NUL in a value", b"GET /v1/models HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n", HttpMalformedHead),
        ("NUL in a name", b"GET /v1/models HTTP/1.1\r\nHost: h\r\nA\0: b\r\n\r\n", HttpMalformedHead),
        ("NUL in the target", b"GET /v1/models\0 HTTP/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("other control byte", b"GET /v1/models HTTP/1.1\r\nHost: h\r\nA: b\x01c\r\n\r\n", HttpMalformedHead),
        ("DEL in a value", b"GET /v1/models HTTP/1.1\r\nHost: h\r\nA: b\x7fc\r\n\r\n", HttpMalformedHead),
        (
            "obs-fold with space",
            b"GET /v1/models HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n",
            HttpMalformedHead,
        ),
        (
            "obs-fold with tab",
            b"GET /v1/models HTTP/1.1\r\nHost: h\r\nA: b\r\n\tc\r\n\r\n",
            HttpMalformedHead,
        ),
        (
            "white space before the first field",
            b"GET /v1/models HTTP/1.1\r\n Host: h\r\n\r\n",
            HttpMalformedHead,
        ),
        ("white space before the request", b" GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        (
            "three empty lines before the request",
            b"\r\n\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n",
            HttpMalformedHead,
        ),
        ("space before colon", b"GET /v1/models HTTP/1.1\r\nHost : h\r\n\r\n", HttpMalformedHead),
        ("tab before colon", b"GET /v1/models HTTP/1.1\r\nHost\t: h\r\n\r\n", HttpMalformedHead),
        ("space inside a name", b"GET /v1/models HTTP/1.1\r\nHost: h\r\nA B: c\r\n\r\n", HttpMalformedHead),
        ("empty name", b"GET /v1/models HTTP/1.1\r\nHost: h\r\n: c\r\n\r\n", HttpMalformedHead),
        ("no colon", b"GET /v1/models HTTP/1.1\r\nHost: h\r\nabc\r\n\r\n", HttpMalformedHead),
        (
            "non-ASCII name",
            "GET /v1/models HTTP/1.1\r\nHost: h\r\né: c\r\n\r\n".as_bytes(),
            HttpMalformedHead,
        ),
    ]);
}

#[test]
fn request_lines_without_a_valid_form_are_refused() {
    assert_refused(&[
        ("no version", b"GET /v1/models\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("two spaces", b"GET  /v1/models HTTP/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("two spaces before the version", b"GET /v1/models  HTTP/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("tab for space", b"GET\t/v1/models HTTP/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("space after the version", b"GET /v1/models HTTP/1.1 \r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("lower-case version", b"GET /v1/models http/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("long version", b"GET /v1/models HTTP/1.10\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("odd method", b"GE(T /v1/models HTTP/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("no target", b"GET HTTP/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("relative target", b"GET v1/models HTTP/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("fragment", b"GET /v1/models#x HTTP/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("backslash", b"GET /v1\\models HTTP/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("non-ASCII target", "GET /v1/é HTTP/1.1\r\nHost: h\r\n\r\n".as_bytes(), HttpMalformedHead),
        ("half a percent code", b"GET /v1/models/%4 HTTP/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("asterisk for GET", b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("another scheme", b"GET ftp://h/v1/models HTTP/1.1\r\nHost: h\r\n\r\n", HttpMalformedHead),
        ("HTTP/2.0 by name", b"GET /v1/models HTTP/2.0\r\nHost: h\r\n\r\n", HttpBadVersion),
        ("HTTP/1.2", b"GET /v1/models HTTP/1.2\r\nHost: h\r\n\r\n", HttpBadVersion),
        ("HTTP/0.9 by name", b"GET /v1/models HTTP/0.9\r\nHost: h\r\n\r\n", HttpBadVersion),
        ("a TLS record", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", HttpMalformedHead),
    ]);
}

#[test]
fn other_protocols_inside_http1_are_refused() {
    assert_refused(&[
        ("h2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HttpUpgradeRefused),
        ("CONNECT", b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", HttpUpgradeRefused),
        (
            "h2c",
            b"GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
              HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
            HttpUpgradeRefused,
        ),
        ("Upgrade", b"GET /v1/models HTTP/1.1\r\nHost: h\r\nupgrade: websocket\r\n\r\n", HttpUpgradeRefused),
        (
            "HTTP2-Settings",
            b"GET /v1/models HTTP/1.1\r\nHost: h\r\nHTTP2-Settings: AA\r\n\r\n",
            HttpUpgradeRefused,
        ),
        (
            "Connection: upgrade",
            b"GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: x, UPGRADE\r\n\r\n",
            HttpUpgradeRefused,
        ),
    ]);
}

#[test]
fn connection_options_that_would_hide_fields_are_refused() {
    assert_refused(&[
        ("not a token", &post(b"Content-Length: 0\r\nConnection: a b\r\n"), HttpMalformedHead),
        (
            "names Content-Length",
            &post(b"Content-Length: 0\r\nConnection: content-length\r\n"),
            HttpMalformedHead,
        ),
        ("names Host", &post(b"Content-Length: 0\r\nConnection: close, Host\r\n"), HttpMalformedHead),
        (
            "names Authorization",
            &post(b"Content-Length: 0\r\nConnection: Authorization\r\n"),
            HttpMalformedHead,
        ),
    ]);
}

#[test]
fn hosts_that_are_not_one_valid_host_are_refused() {
    assert_refused(&[
        ("missing", b"GET /v1/models HTTP/1.1\r\n\r\n", HttpBadHost),
        ("empty", b"GET /v1/models HTTP/1.1\r\nHost:\r\n\r\n", HttpBadHost),
        ("twice the same", b"GET /v1/models HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", HttpBadHost),
        ("twice on HTTP/1.0", b"GET /v1/models HTTP/1.0\r\nHost: h\r\nHost: i\r\n\r\n", HttpBadHost),
        ("a list", b"GET /v1/models HTTP/1.1\r\nHost: h, i\r\n\r\n", HttpBadHost),
        ("userinfo", b"GET /v1/models HTTP/1.1\r\nHost: u@h\r\n\r\n", HttpBadHost),
        ("a path", b"GET /v1/models HTTP/1.1\r\nHost: h/x\r\n\r\n", HttpBadHost),
        ("a port that is none", b"GET /v1/models HTTP/1.1\r\nHost: h:99999\r\n\r\n", HttpBadHost),
        ("target says another", b"GET https://i/v1/models HTTP/1.1\r\nHost: h\r\n\r\n", HttpBadHost),
        ("target says another port", b"GET https://h:1/v1/models HTTP/1.1\r\nHost: h\r\n\r\n", HttpBadHost),
        ("target without host", b"GET https:///v1/models HTTP/1.1\r\nHost: h\r\n\r\n", HttpBadHost),
        ("userinfo in the target", b"GET https://u@h/v1/models HTTP/1.1\r\nHost: h\r\n\r\n", HttpBadHost),
    ]);
}

#[test]
fn lengths_that_are_not_one_length_are_refused() {
    for (clause, lines) in [
        ("CL with TE", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
        ("TE with CL", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
        ("two CL that differ", "Content-Length: 3\r\nContent-Length: 4\r\n"),
        ("two CL alike", "Content-Length: 3\r\ncontent-length: 3\r\n"),
        ("CL list alike", "Content-Length: 3, 3\r\n"),
        ("CL with sign", "Content-Length: +3\r\n"),
        ("negative CL", "Content-Length: -3\r\n"),
        ("hexadecimal CL", "Content-Length: 0x3\r\n"),
        ("CL not a number", "Content-Length: three\r\n"),
        ("CL with space", "Content-Length: 3 3\r\n"),
        ("CL with underscore", "Content-Length: 1_0\r\n"),
        ("CL with point", "Content-Length: 3.0\r\n"),
        ("empty CL", "Content-Length: \r\n"),
        ("CL of 2^64", "Content-Length: 18446744073709551616\r\n"),
        ("CL beyond", "Content-Length: 99999999999999999999999\r\n"),
        ("TE identity", "Transfer-Encoding: identity\r\n"),
        ("TE gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n"),
        ("TE chunked, identity", "Transfer-Encoding: chunked, identity\r\n"),
        ("TE chunked twice", "Transfer-Encoding: chunked, chunked\r\n"),
        ("TE on two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("TE with parameter", "Transfer-Encoding: chunked;q=1\r\n"),
        ("TE in quotes", "Transfer-Encoding: \"chunked\"\r\n"),
        ("TE xchunked", "Transfer-Encoding: xchunked\r\n"),
        ("TE with an empty element", "Transfer-Encoding: chunked,\r\n"),
        ("empty TE", "Transfer-Encoding:\r\n"),
    ] {
        assert_refused(&[(clause, &post(lines.as_bytes()), HttpAmbiguousLength)]);
    }
    let http10 = b"POST /v1/completions HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_refused(&[
        ("TE on HTTP/1.0", http10, HttpAmbiguousLength),
        ("TE with a control byte", &post(b"Transfer-Encoding: \x0bchunked\r\n"), HttpMalformedHead),
        ("space before the colon of TE", &post(b"Transfer-Encoding : chunked\r\n"), HttpMalformedHead),
    ]);
}

#[test]
fn odd_expectations_are_refused() {
    assert_refused(&[
        ("another", &post(b"Content-Length: 3\r\nExpect: 200-ok\r\n"), HttpBadExpect),
        ("a list", &post(b"Content-Length: 3\r\nExpect: 100-continue, x\r\n"), HttpBadExpect),
        (
            "twice",
            &post(b"Content-Length: 3\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n"),
            HttpBadExpect,
        ),
        ("empty", &post(b"Content-Length: 3\r\nExpect:\r\n"), HttpBadExpect),
    ]);
}

/// A head of exactly so many bytes.
fn head_of(bytes: usize) -> Vec<u8> {
    let mut raw = b"GET /v1/models HTTP/1.1\r\nHost: h\r\nA: ".to_vec();
    raw.resize(bytes - 4, b'x');
    raw.extend_from_slice(b"\r\n\r\n");
    raw
}

#[test]
fn a_head_of_the_limit_passes_and_one_byte_more_is_431() {
    assert_eq!(outcome(&head_of(LIMITS.head_bytes_max)).0.len(), 1);
    let above = head_of(LIMITS.head_bytes_max + 1);
    assert_refused(&[
        ("one byte more", &above, HttpHeadTooLarge),
        ("without an end", &above[..LIMITS.head_bytes_max], HttpHeadTooLarge),
        ("one endless line", &vec![b'A'; 5000], HttpHeadTooLarge),
    ]);
}

#[test]
fn as_many_fields_as_the_limit_pass_and_one_more_is_431() {
    let with = |fields: usize| {
        let more = "a: b\r\n".repeat(fields - 1);
        format!("GET /v1/models HTTP/1.1\r\nHost: h\r\n{more}\r\n").into_bytes()
    };
    assert_eq!(outcome(&with(LIMITS.headers_max)).0.len(), 1);
    assert_refused(&[("one more", &with(LIMITS.headers_max + 1), HttpTooManyHeaders)]);
}
