//! What the HTTP stage costs per request and per event, in nanoseconds on one core. The best of many rounds, each shorter than a
//! scheduler's time slice, so that a busy machine does not show:
//! `cargo run --release -p dpu-http --example head_cost`.

use dpu_http::sse::Stream;
use dpu_http::{date, respond, BodyDecoder, BodyFraming, Extra, HeadLimits, HeadParser, Kind, ResponseHead};
use dpu_types::RequestId;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: u32 = 2000;
const TIMES: u32 = 200;

/// What the OpenAI Python SDK sends: 18 fields.
const HEAD: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\nHost: dpu.example.com:8443\r\n\
Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nAccept: application/json\r\n\
Content-Type: application/json\r\nUser-Agent: OpenAI/Python 2.8.1\r\nX-Stainless-Lang: python\r\n\
X-Stainless-Package-Version: 2.8.1\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: arm64\r\n\
X-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.11.2\r\n\
Authorization: Bearer sk-dev-alpha-0123456789abcdef0123456789\r\nX-Stainless-Async: false\r\n\
x-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\nContent-Length: 1024\r\n\r\n";

fn main() {
    let limits = HeadLimits { head_bytes_max: 16_384, headers_max: 64 };
    let mut parser = HeadParser::new();
    measure("parse a head", || {
        black_box(parser.parse(black_box(HEAD), &limits).is_ok());
        HEAD.len()
    });
    let get = b"GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n";
    measure("parse the smallest head", || {
        black_box(parser.parse(black_box(get), &limits).is_ok());
        get.len()
    });
    bodies();
    answers();
}

fn bodies() {
    let mut wire = Vec::new();
    respond::chunk(&mut wire, &[b'x'; 1024]);
    respond::last_chunk(&mut wire);
    let mut out = Vec::with_capacity(2048);
    measure("decode a chunked body", || {
        out.clear();
        if let Ok(mut decoder) = BodyDecoder::new(BodyFraming::Chunked, 4096) {
            black_box(decoder.feed(black_box(&wire), &mut out).is_ok());
        }
        out.len()
    });
}

fn answers() {
    let date = date::imf_fixdate(784_111_777);
    let mut out = Vec::with_capacity(8192);
    measure("write an answer's head, x-request-id and x-ratelimit-* in it", || {
        out.clear();
        let mut extra = Extra::new();
        extra.request_id(black_box(&RequestId([7; 16])));
        extra.rate_requests(600, black_box(599), 100);
        let head = ResponseHead { status: 200, content_type: respond::JSON, date: &date, extra: &extra };
        respond::h1_full(&mut out, black_box(&head), b"", true, false);
        out.len()
    });
    let stream = Stream::new(Kind::Chat, &RequestId([7; 16]), 784_111_777, "gpt-4o-mini", false);
    let choices = br#"[{"index":0,"delta":{"content":" token"},"finish_reason":null}]"#;
    measure("write one event in its chunk", || {
        out.clear();
        respond::chunk_with(&mut out, |out| stream.chunk(out, black_box(choices)));
        out.len()
    });
}

fn measure(what: &str, mut work: impl FnMut() -> usize) {
    let mut bytes = 0;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        (0..TIMES).for_each(|_| bytes = work());
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(TIMES));
    }
    println!("{what}: {best:.0} ns ({bytes} bytes)");
}
