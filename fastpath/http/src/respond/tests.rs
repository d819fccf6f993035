#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Answers read back with httparse, and every way to smuggle a line into one.

use super::*;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn head(status: u16, extra: &Extra) -> ResponseHead<'_> {
    ResponseHead { status, content_type: JSON, date: DATE, extra }
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_whole_answer_has_its_length_and_its_fields() {
    let mut extra = Extra::new();
    extra.request_id(&RequestId([0xab; 16]));
    extra.rate_requests(60, 59, 1000);
    let answer = text(|out| h1_full(out, &head(200, &extra), b"{}", true, false));
    let expected = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: {DATE}\r\nx-request-id: {}\r\n\
         x-ratelimit-limit-requests: 60\r\nx-ratelimit-remaining-requests: 59\r\nx-ratelimit-reset-requests: 1s\r\n\
         content-length: 2\r\n\r\n{{}}",
        "ab".repeat(16)
    );
    assert_eq!(answer, expected);
}

#[test]
fn httparse_reads_every_answer_back() {
    let extra = Extra::new();
    for status in [200, 400, 401, 404, 405, 408, 411, 413, 415, 417, 429, 431, 499, 500, 502, 503, 504, 505] {
        let answer = text(|out| h1_full(out, &head(status, &extra), b"x", false, false));
        let mut fields = [httparse::EMPTY_HEADER; 8];
        let mut parsed = httparse::Response::new(&mut fields);
        let end = parsed.parse(answer.as_bytes()).unwrap().unwrap();
        assert_eq!((parsed.code, &answer[end..]), (Some(status), "x"));
        assert!(answer.contains("\r\nconnection: close\r\n"));
    }
    let odd = text(|out| h1_full(out, &head(7, &extra), b"", true, false));
    assert!(odd.starts_with("HTTP/1.1 500 Internal Server Error\r\n"));
}

#[test]
fn a_stream_is_chunked_and_for_http10_ends_with_the_connection() {
    let extra = Extra::new();
    let chunked = text(|out| h1_stream_head(out, &head(200, &extra), true, false));
    assert!(chunked.ends_with("cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"));
    assert!(!chunked.contains("connection:"));
    let old = text(|out| h1_stream_head(out, &head(200, &extra), true, true));
    assert!(old.contains("connection: close\r\n") && !old.contains("transfer-encoding"));
}

#[test]
fn http10_is_told_that_the_connection_lives_on() {
    let answer = text(|out| h1_full(out, &head(200, &Extra::new()), b"", true, true));
    assert!(answer.contains("\r\nconnection: keep-alive\r\n"));
}

#[test]
fn an_answer_to_head_has_neither_body_nor_length() {
    let answer = text(|out| h1_bodiless(out, &head(405, &Extra::new()), true, false));
    assert!(answer.ends_with("GMT\r\n\r\n") && !answer.contains("content-length"));
}

#[test]
fn values_that_could_end_a_line_are_left_out() {
    for value in ["a\r\nset-cookie: x", "a\nb", "a\rb", "a\0b", "\x7f", "é"] {
        let mut extra = Extra::new();
        assert!(!extra.push("x", value));
        assert_eq!(extra.iter().count(), 0, "{value:?}");
    }
    let extra = Extra::new();
    let bad = ResponseHead { date: "x\r\ny: z", ..head(200, &extra) };
    assert!(!text(|out| h1_full(out, &bad, b"", true, false)).contains("date"));
}

#[test]
fn extra_fields_are_bounded() {
    let mut extra = Extra::new();
    assert!(!extra.push("x", &"a".repeat(EXTRA_BYTES_MAX + 1)));
    assert!(extra.push("x", &"a".repeat(EXTRA_BYTES_MAX)));
    assert!(!extra.push("y", "b"));
    let mut many = Extra::new();
    assert!((0..EXTRA_FIELDS_MAX).all(|_| many.push("x", "")));
    assert!(!many.push("x", ""));
}

#[test]
fn retry_after_is_rounded_up_to_whole_seconds() {
    for (ms, seconds) in [(0, "0"), (1, "1"), (1000, "1"), (1001, "2"), (u64::MAX, "18446744073709552")] {
        let mut extra = Extra::new();
        extra.retry_after_ms(ms);
        let fields: Vec<_> = extra.iter().collect();
        let exact = ms.to_string();
        assert_eq!(fields, [("retry-after", seconds.as_bytes()), ("retry-after-ms", exact.as_bytes())]);
    }
}

#[test]
fn resets_are_written_as_openai_writes_them() {
    for (ms, expected) in [
        (0, "0ms"),
        (999, "999ms"),
        (1000, "1s"),
        (1500, "1.5s"),
        (1050, "1.05s"),
        (59_999, "59.999s"),
        (60_001, "1m0.001s"),
        (360_000, "6m0s"),
        (3_600_000, "1h0m0s"),
        (u64::MAX, "5124095576030h25m51.615s"),
    ] {
        let mut buffer = [0; DURATION_BYTES_MAX];
        let size = duration(&mut buffer, ms);
        assert_eq!(std::str::from_utf8(&buffer[..size]).unwrap(), expected);
    }
}

#[test]
fn chunks_are_read_back_by_our_own_decoder() {
    for size in [1, 15, 16, 0xffff, 0x10000, 200_000] {
        let data = vec![b'x'; size];
        let mut wire = Vec::new();
        chunk(&mut wire, b"");
        chunk(&mut wire, &data);
        last_chunk(&mut wire);
        let mut decoder = crate::BodyDecoder::new(crate::BodyFraming::Chunked, size).unwrap();
        let mut out = Vec::new();
        let fed = decoder.feed(&wire, &mut out).unwrap();
        assert_eq!((fed.consumed, fed.done, out), (wire.len(), true, data));
    }
}

#[test]
fn an_http2_answer_has_the_same_fields() {
    let mut extra = Extra::new();
    extra.allow("POST");
    let whole = h2_response(&head(405, &extra), Some(17));
    assert_eq!((whole.status().as_u16(), &whole.headers()["content-length"]), (405, &"17".parse().unwrap()));
    assert_eq!(whole.headers()["allow"], "POST");
    assert_eq!(whole.headers()["date"], DATE);
    let stream = h2_response(&head(200, &extra), None);
    assert!(!stream.headers().contains_key("content-length"));
    assert_eq!(stream.headers()["cache-control"], "no-cache");
}
