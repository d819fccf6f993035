//! HTTP/2: what a head means, frames as they pass, and the trace context of both protocols.

use crate::cuts::agree;
use dpu_http::{FrameLimits, FrameWatch, HeadLimits};
use dpu_types::Trace;

const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 1024, headers_max: 20 };
const FRAME_LIMITS: FrameLimits =
    FrameLimits { resets_max: 3, errors_max: 3, continuations_max: 3, control_max: 5, small_data_max: 5 };

/// Method, authority and path, then `name: value` lines: what the h2 crate would hand over.
pub fn head(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (method, authority, path) = (next(), next(), next());
    let uri = http::Uri::builder().scheme("https");
    let uri = if authority.is_empty() { uri } else { uri.authority(authority) };
    let Ok(uri) = uri.path_and_query(path).build() else { return };
    let mut request = http::Request::builder().method(method).uri(uri);
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(at + 1..).unwrap_or_default();
        request = request.header(&line[..at], value.strip_prefix(b" ").unwrap_or(value));
    }
    let Ok(request) = request.body(()) else { return };
    let (parts, ()) = request.into_parts();
    let read = dpu_http::h2::request_head(&parts, &LIMITS);
    assert_eq!(read, dpu_http::h2::request_head(&parts, &LIMITS));
    if let Ok(Ok(request)) = read.map(|head| head.request) {
        assert!(!request.host.is_empty() && !request.host.bytes().any(|byte| byte.is_ascii_uppercase()));
    }
}

/// What a client sends after its preface, and the same as what is sent to it.
pub fn frames(bytes: &[u8]) {
    agree(bytes, |pieces| {
        let mut watch = FrameWatch::new(FRAME_LIMITS);
        watch.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        pieces.iter().for_each(|piece| watch.received(piece));
        let seen = (watch.verdict(), watch.head_is_open(), watch.partial_data(1));
        (seen, watch.take_refused())
    });
    agree(bytes, |pieces| {
        let mut watch = FrameWatch::new(FRAME_LIMITS);
        pieces.iter().for_each(|piece| watch.sent(piece));
        (watch.verdict(), watch.take_refused())
    });
}

/// `traceparent`, and behind a line end `tracestate`.
pub fn trace(bytes: &[u8]) {
    let (parent, state) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &bytes[..0]),
    };
    let Some(trace) = Trace::parse(parent) else { return };
    assert!(trace.is_some() && trace.trace_id != [0; 16]);
    assert_eq!(Trace::parse(trace.text().as_bytes()), Some(trace.clone()), "written and read again");
    if let Some(state) = trace.with_state(&[state]).state {
        assert!(state.len() <= dpu_types::trace::TRACESTATE_BYTES_MAX);
    }
}
