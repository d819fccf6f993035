//! Heads of answers for HTTP/1.x and HTTP/2, and chunked framing of what follows them.
//!
//! A field value that could end its line (CR, LF, NUL, other control bytes) is never written: the field is left
//! out. Names are `&'static str` in lower case, the product's own.

use crate::json;
use dpu_types::RequestId;

/// Fields beside the standing ones. Bounded; nothing is allocated.
#[derive(Clone)]
pub struct Extra {
    names: [&'static str; EXTRA_FIELDS_MAX],
    ends: [u16; EXTRA_FIELDS_MAX],
    count: usize,
    values: [u8; EXTRA_BYTES_MAX],
}

/// Fields that one [`Extra`] takes: the product has 11 of them today.
pub const EXTRA_FIELDS_MAX: usize = 16;

/// Bytes of all values of one [`Extra`].
pub const EXTRA_BYTES_MAX: usize = 384;

impl Default for Extra {
    fn default() -> Self {
        Self::new()
    }
}

impl Extra {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            names: [""; EXTRA_FIELDS_MAX],
            ends: [0; EXTRA_FIELDS_MAX],
            count: 0,
            values: [0; EXTRA_BYTES_MAX],
        }
    }

    /// Adds a field. False, and nothing added, if the value is not visible ASCII and spaces or there is no room.
    pub fn push(&mut self, name: &'static str, value: &str) -> bool {
        let start = self.used();
        let end = start + value.len();
        let fits = self.count < EXTRA_FIELDS_MAX && end <= EXTRA_BYTES_MAX;
        if !fits || !is_safe_value(value.as_bytes()) {
            return false;
        }
        self.values[start..end].copy_from_slice(value.as_bytes());
        self.names[self.count] = name;
        self.ends[self.count] = end as u16; // at most EXTRA_BYTES_MAX
        self.count += 1;
        true
    }

    /// Adds a field whose value is a number.
    pub fn push_number(&mut self, name: &'static str, value: u64) -> bool {
        self.push(name, itoa::Buffer::new().format(value))
    }

    /// `x-request-id`: 32 hex digits.
    pub fn request_id(&mut self, id: &RequestId) -> bool {
        let hex = crate::answer::hex(id);
        std::str::from_utf8(&hex).is_ok_and(|text| self.push("x-request-id", text))
    }

    /// `retry-after` in whole seconds rounded up (RFC 9110, 10.2.3), and `retry-after-ms`, which the OpenAI SDKs
    /// prefer.
    pub fn retry_after_ms(&mut self, ms: u64) {
        self.push_number("retry-after", ms.div_ceil(1000));
        self.push_number("retry-after-ms", ms);
    }

    /// `x-ratelimit-{limit,remaining,reset}-requests`; the reset as OpenAI writes it ("250ms", "1.5s").
    pub fn rate_requests(&mut self, limit: u32, remaining: u32, reset_ms: u64) {
        self.push_number("x-ratelimit-limit-requests", u64::from(limit));
        self.push_number("x-ratelimit-remaining-requests", u64::from(remaining));
        self.push_duration("x-ratelimit-reset-requests", reset_ms);
    }

    /// `x-ratelimit-{limit,remaining,reset}-tokens`, of the tightest limit.
    pub fn rate_tokens(&mut self, limit: u64, remaining: u64, reset_ms: u64) {
        self.push_number("x-ratelimit-limit-tokens", limit);
        self.push_number("x-ratelimit-remaining-tokens", remaining);
        self.push_duration("x-ratelimit-reset-tokens", reset_ms);
    }

    fn push_duration(&mut self, name: &'static str, ms: u64) {
        let mut text = [0; DURATION_BYTES_MAX];
        let size = duration(&mut text, ms);
        if let Ok(text) = std::str::from_utf8(&text[..size]) {
            self.push(name, text);
        }
    }

    /// `allow` of a 405 (RFC 9110, 15.5.6 wants it there).
    pub fn allow(&mut self, methods: &'static str) -> bool {
        self.push("allow", methods)
    }

    /// What was added, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        (0..self.count).map(|index| {
            let start = if index == 0 { 0 } else { usize::from(self.ends[index - 1]) };
            (self.names[index], &self.values[start..usize::from(self.ends[index])])
        })
    }

    fn used(&self) -> usize {
        self.count.checked_sub(1).map_or(0, |last| usize::from(self.ends[last]))
    }
}

/// Enough for `u64::MAX` milliseconds.
const DURATION_BYTES_MAX: usize = 32;

/// "0ms", "999ms", "1s", "1.25s", "6m0s", "1h0m0s": what OpenAI's reset headers look like. Returns the bytes written.
fn duration(text: &mut [u8; DURATION_BYTES_MAX], ms: u64) -> usize {
    let mut size = 0;
    let mut put = |part: &[u8]| {
        text[size..size + part.len()].copy_from_slice(part);
        size += part.len();
    };
    if ms < 1000 {
        put(itoa::Buffer::new().format(ms).as_bytes());
        put(b"ms");
        return size;
    }
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    if hours > 0 {
        put(itoa::Buffer::new().format(hours).as_bytes());
        put(b"h");
    }
    if hours > 0 || minutes > 0 {
        put(itoa::Buffer::new().format(minutes).as_bytes());
        put(b"m");
    }
    put(itoa::Buffer::new().format(ms / 1000 % 60).as_bytes());
    let part = ms % 1000;
    if part > 0 {
        let digits =
            [b'.', b'0' + (part / 100) as u8, b'0' + (part / 10 % 10) as u8, b'0' + (part % 10) as u8];
        let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
        put(&digits[..4 - zeros]);
    }
    put(b"s");
    size
}

/// Visible ASCII, spaces and tabs (RFC 9110, 5.5 without obs-text).
fn is_safe_value(value: &[u8]) -> bool {
    value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
}

/// What an answer's head says.
#[derive(Clone, Copy)]
pub struct ResponseHead<'a> {
    /// 200, 400, ...
    pub status: u16,
    /// `application/json` or `text/event-stream`.
    pub content_type: &'static str,
    /// From [`crate::date::imf_fixdate`], made once per second.
    pub date: &'a str,
    /// Further fields.
    pub extra: &'a Extra,
}

/// JSON answers.
pub const JSON: &str = "application/json";
/// Event streams.
pub const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// The 100 that a client with `Expect: 100-continue` waits for.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Appends a whole HTTP/1.x answer: head with `content-length`, then the body.
pub fn h1_full(out: &mut Vec<u8>, head: &ResponseHead<'_>, body: &[u8], keep_alive: bool, http10: bool) {
    out.reserve(body.len() + 512);
    h1_fields(out, head, keep_alive, http10);
    out.extend_from_slice(b"content-length: ");
    json::number(out, body.len() as u64);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

/// Appends the answer to a HEAD request: never a body, so no length either (RFC 9110, 9.3.2).
pub fn h1_bodiless(out: &mut Vec<u8>, head: &ResponseHead<'_>, keep_alive: bool, http10: bool) {
    h1_fields(out, head, keep_alive, http10);
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of a stream: chunked; for HTTP/1.0 the close of the connection ends it, so close it then.
pub fn h1_stream_head(out: &mut Vec<u8>, head: &ResponseHead<'_>, keep_alive: bool, http10: bool) {
    out.reserve(512);
    h1_fields(out, head, keep_alive && !http10, http10);
    out.extend_from_slice(b"cache-control: no-cache\r\n");
    out.extend_from_slice(if http10 { b"\r\n" } else { b"transfer-encoding: chunked\r\n\r\n" });
}

fn h1_fields(out: &mut Vec<u8>, head: &ResponseHead<'_>, keep_alive: bool, http10: bool) {
    status_line(out, head.status);
    out.extend_from_slice(b"content-type: ");
    out.extend_from_slice(head.content_type.as_bytes());
    if is_safe_value(head.date.as_bytes()) {
        out.extend_from_slice(b"\r\ndate: ");
        out.extend_from_slice(head.date.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    for (name, value) in head.extra.iter() {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    match (keep_alive, http10) {
        (false, _) => out.extend_from_slice(b"connection: close\r\n"),
        (true, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (true, false) => {}
    }
}

fn status_line(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    let status = if (100..=999).contains(&status) { status } else { 500 };
    out.extend_from_slice(b"HTTP/1.1 ");
    json::number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The phrase of RFC 9110, 15; empty where there is none.
fn reason_phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()).unwrap_or("")
}

/// Appends `data` as one chunk; nothing for empty data, which would end the body.
pub fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    chunk_with(out, |out| out.extend_from_slice(data));
}

/// Appends what `write` appends, as one chunk, without a copy. The size has at least four digits, zeros in front
/// (RFC 9112, 7.1 allows them), so that it can be filled in afterwards.
pub fn chunk_with(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let start = out.len();
    out.extend_from_slice(b"0000\r\n");
    write(out);
    let size = out.len() - start - 6;
    if size == 0 {
        out.truncate(start);
        return;
    }
    if size > 0xffff {
        let long = format!("{size:x}");
        out.splice(start..start + 4, long.into_bytes());
    } else {
        for (digit, shift) in [12, 8, 4, 0].into_iter().enumerate() {
            out[start + digit] = HEX[size >> shift & 15];
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body.
pub fn last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// The head of an HTTP/2 answer; `content_length` where the body is whole.
#[must_use]
pub fn h2_response(head: &ResponseHead<'_>, content_length: Option<usize>) -> http::Response<()> {
    use http::header::{HeaderName, HeaderValue, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE};
    let mut response = http::Response::new(());
    *response.status_mut() =
        http::StatusCode::from_u16(head.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let fields = response.headers_mut();
    fields.reserve(16);
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(head.content_type));
    if let Ok(date) = HeaderValue::from_str(head.date) {
        fields.insert(DATE, date);
    }
    match content_length {
        Some(length) => fields.insert(CONTENT_LENGTH, HeaderValue::from(length)),
        None => fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    };
    for (name, value) in head.extra.iter() {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            fields.append(HeaderName::from_static(name), value);
        }
    }
    response
}

#[cfg(test)]
mod tests;
