//! Heads with sound framing: what they mean, and what of them is refused without closing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{outcome, LIMITS};
use dpu_http::{BodyFraming, Head};
use dpu_types::{Endpoint, Reason};

fn one(raw: &str) -> Head {
    let (mut heads, refusal) = outcome(raw.as_bytes());
    assert_eq!(refusal, None, "{raw}");
    assert_eq!(heads.len(), 1, "{raw}");
    heads.remove(0)
}

#[test]
fn a_chat_request_gives_all_that_policy_needs() {
    let head = one("POST /v1/chat/completions?beta=1 HTTP/1.1\r\nHOST: Api.Example.com:8443\r\n\
        Content-Type: application/json\r\nContent-Length: 12\r\nAuthorization: Bearer sk-x\r\n\
        X-Conversation-Id: c1\r\nX-Dpu-Arm: canary\r\n\
        Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nAccept: */*\r\n\r\n");
    let request = head.request.unwrap();
    assert_eq!(request.endpoint, Endpoint::ChatCompletions);
    assert_eq!(request.host, "api.example.com");
    assert_eq!(request.authorization.as_deref(), Some(&b"Bearer sk-x"[..]));
    assert_eq!(request.conversation_id.as_deref(), Some(&b"c1"[..]));
    assert_eq!(request.arm_override.as_deref(), Some(&b"canary"[..]));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(request.traceparent.map(|caller| caller.text()).as_deref(), Some(trace));
    assert_eq!(head.body, BodyFraming::Length(12));
    assert!(head.keep_alive && !head.expect_continue && !head.http10 && !head.bodiless);
}

#[test]
fn methods_and_paths_lead_to_endpoints() {
    for (path, endpoint, path_id) in [
        ("/v1/models", Endpoint::Models, ""),
        ("/v1/models?limit=2&x=%20", Endpoint::Models, ""),
        ("/v1/models/chat", Endpoint::Model, "chat"),
        ("/v1/models/org%2Fname", Endpoint::Model, "org/name"),
        ("/v1/models/org/name", Endpoint::Model, "org/name"),
        ("https://h/v1/models", Endpoint::Models, ""),
        ("HTTPS://H:443/v1/models?x", Endpoint::Models, ""),
    ] {
        let request = one(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).request.unwrap();
        assert_eq!((request.endpoint, request.path_id.as_str()), (endpoint, path_id), "{path}");
    }
}

#[test]
fn unknown_paths_and_methods_are_refused_without_closing() {
    for (line, reason, allow) in [
        ("GET /", Reason::HttpNotFound, None),
        ("GET /v1/models/", Reason::HttpNotFound, None),
        ("POST /v1/chat/completions/", Reason::HttpNotFound, None),
        ("POST //v1/completions", Reason::HttpNotFound, None),
        ("POST /v1/../v1/completions", Reason::HttpNotFound, None),
        ("POST /V1/completions", Reason::HttpNotFound, None),
        ("GET https://h", Reason::HttpNotFound, None),
        ("GET /v1/chat/completions", Reason::HttpMethodRefused, Some("POST")),
        ("HEAD /v1/models", Reason::HttpMethodRefused, Some("GET")),
        ("OPTIONS /v1/models", Reason::HttpMethodRefused, Some("GET")),
        ("OPTIONS *", Reason::HttpMethodRefused, Some("GET, POST")),
        ("get /v1/models", Reason::HttpMethodRefused, Some("GET")),
        ("TRACE /v1/models", Reason::HttpMethodRefused, Some("GET")),
        ("DELETE /v1/models/chat", Reason::HttpMethodRefused, Some("GET")),
        ("GET /v1/models/%00", Reason::HttpMalformedHead, None),
        ("GET /v1/models/%ff", Reason::HttpMalformedHead, None),
        ("POST /v1/completions", Reason::HttpLengthRequired, None),
    ] {
        let head = one(&format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!((head.request.unwrap_err().reason, head.allow), (reason, allow), "{line}");
        assert!(head.keep_alive);
        assert_eq!(head.bodiless, line.starts_with("HEAD"));
    }
}

#[test]
fn media_types_other_than_plain_json_are_415() {
    for (lines, accepted) in [
        ("Content-Type: application/json\r\n", true),
        ("Content-Type: Application/JSON ; Charset=UTF-8\r\n", true),
        ("Content-Type: application/json;charset=\"utf-8\"\r\n", true),
        ("Content-Type: application/json\r\nContent-Encoding: identity\r\n", true),
        ("", false),
        ("Content-Type:\r\n", false),
        ("Content-Type: application/json\r\nContent-Type: application/json\r\n", false),
        ("Content-Type: application/json; charset=latin1\r\n", false),
        ("Content-Type: application/json-seq\r\n", false),
        ("Content-Type: text/plain\r\n", false),
        ("Content-Type: multipart/form-data; boundary=application/json\r\n", false),
        ("Content-Type: application/json\r\nContent-Encoding: gzip\r\n", false),
        ("Content-Type: application/json\r\nContent-Encoding: identity\r\nContent-Encoding: br\r\n", false),
    ] {
        let head =
            one(&format!("POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n{lines}\r\n"));
        let reason = head.request.err().map(|refusal| refusal.reason);
        assert_eq!(reason, (!accepted).then_some(Reason::HttpMediaType), "{lines}");
        assert_eq!(head.body, BodyFraming::Length(2));
    }
}

#[test]
fn credentials_that_are_there_twice_are_refused() {
    for name in ["Authorization", "X-Conversation-Id", "X-Dpu-Arm"] {
        let head = one(&format!("GET /v1/models HTTP/1.1\r\nHost: h\r\n{name}: a\r\n{name}: a\r\n\r\n"));
        assert_eq!(head.request.unwrap_err().reason, Reason::HttpMalformedHead, "{name}");
    }
}

#[test]
fn a_body_where_none_belongs_is_refused_but_framed() {
    let head = one("GET /v1/models HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(head.request.unwrap_err().reason, Reason::HttpMalformedHead);
    assert_eq!(head.body, BodyFraming::Length(5));
    assert!(one("GET /v1/models HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").request.is_ok());
}

#[test]
fn the_connection_lives_as_long_as_the_client_says() {
    for (version, lines, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: Close\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: ,close,\r\n", false),
        ("1.1", "Connection: te\r\nTE: trailers\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let head = one(&format!("GET /v1/models HTTP/{version}\r\nHost: h\r\n{lines}\r\n"));
        assert_eq!((head.keep_alive, head.http10), (keep_alive, version == "1.0"), "{version} {lines}");
    }
}

#[test]
fn http10_needs_no_host() {
    assert_eq!(one("GET /v1/models HTTP/1.0\r\n\r\n").request.unwrap().host, "");
}

#[test]
fn only_a_client_that_will_send_a_body_waits_for_100() {
    let head = "Host: h\r\nContent-Type: application/json\r\nExpect: 100-Continue\r\n";
    for (version, length, waits) in [
        ("1.1", "Content-Length: 3\r\n", true),
        ("1.1", "Transfer-Encoding: Chunked\r\n", true),
        ("1.1", "Content-Length: 0\r\n", false),
        ("1.1", "", false),
        ("1.0", "Content-Length: 3\r\n", false),
    ] {
        let raw = format!("POST /v1/completions HTTP/{version}\r\n{head}{length}\r\n");
        assert_eq!(one(&raw).expect_continue, waits, "{version} {length}");
    }
}

#[test]
fn the_largest_length_is_read_exactly() {
    let raw = "POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n";
    assert_eq!(one(raw).body, BodyFraming::Length(u64::MAX));
    let zeros = "POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 0003\r\n\r\n";
    assert_eq!(one(zeros).body, BodyFraming::Length(3));
}

#[test]
fn two_empty_lines_before_the_request_are_skipped_and_begin_nothing() {
    for empty in ["\r\n", "\r\n\r\n"] {
        let raw = format!("{empty}GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(one(&raw).consumed, raw.len());
        let mut parser = dpu_http::HeadParser::new();
        assert_eq!(parser.parse(empty.as_bytes(), &LIMITS).unwrap(), None);
        assert!(!parser.has_begun(empty.as_bytes()));
        assert!(parser.has_begun(raw.as_bytes()));
    }
}

#[test]
fn pipelined_requests_come_one_after_the_other() {
    let first = "GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n";
    let second = "POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n";
    let bad = "GET /v1/models HTTP/1.1\r\nHost: h\nx";
    let (heads, refusal) = outcome([first, second, first, bad].concat().as_bytes());
    let endpoints: Vec<_> = heads.iter().map(|head| head.request.as_ref().unwrap().endpoint).collect();
    assert_eq!(endpoints, [Endpoint::Models, Endpoint::Completions, Endpoint::Models]);
    assert_eq!(
        heads.iter().map(|head| head.consumed).collect::<Vec<_>>(),
        [first.len(), second.len(), first.len()]
    );
    assert_eq!(refusal.unwrap().reason, Reason::HttpMalformedHead);
}

#[test]
fn a_head_that_is_not_all_there_is_waited_for() {
    let raw = "GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n";
    for size in 0..raw.len() {
        assert_eq!(outcome(&raw.as_bytes()[..size]), (vec![], None), "{size}");
    }
}
