//! Inputs to begin with: one of each kind, good and bad, so that the first mutation is already past the first line.

use std::path::PathBuf;

const GOOD_HEADS: &[&str] = &[
    "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n",
    "POST /v1/completions HTTP/1.1\r\nhost: H.example:443\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET /v1/models/a%2fb HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET https://h/v1/models HTTP/1.1\r\nHost: h\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /v1/models HTTP/1.0\r\n\r\n",
    "\r\nHEAD /v1/models HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /v1/embeddings HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nAuthorization: Bearer sk-x\r\nContent-Length: 0\r\n\r\n",
    "POST /v1/completions HTTP/1.1\r\nHost: h\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=b\r\nx-conversation-id: c\r\nContent-Length: 1\r\n\r\n",
];
const BAD_HEADS: &[&str] = &[
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\nContent-Length: +1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n folded\r\n\r\n",
    "GET / HTTP/1.1\nHost: h\n\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "CONNECT h:80 HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];
const BODIES: &[&str] = &[
    "\x023\r\nabc\r\n0\r\n\r\n",
    "\x02a;x=\"y\\\"\"\r\n0123456789\r\n0\r\nX: y\r\n\r\nnext",
    "\x02ffffffffffffffff\r\n",
    "\x020\r\nContent-Length: 1\r\n\r\n",
    "\x01hello and more than twenty bytes of it",
    "\x00next",
    "\x02 1\r\na\r\n",
];
const H2_HEADS: &[&str] = &[
    "POST\nh.example\n/v1/chat/completions\ncontent-type: application/json\ncontent-length: 7\nauthorization: Bearer sk-x",
    "GET\nH:443\n/v1/models\nhost: h\ncookie: a=b\ncookie: c=d\nte: trailers",
    "OPTIONS\nh\n*\n",
    "POST\n\n/v1/completions\nhost: h\nexpect: 100-continue\ncontent-length: 1\ncontent-length: 1",
    "GET\nh\n/v1/models\nconnection: close\ntransfer-encoding: chunked\nupgrade: h2c\nkeep-alive: 1",
];
const JSON: &[&str] = &[
    "{}",
    "[]",
    "null",
    "true",
    "\"\"",
    "0",
    "-0",
    "1e21",
    "1e-400",
    "0.1",
    "9007199254740992",
    "9007199254740993.0",
    "-1.7976931348623157e308",
    "4.9E-324",
    "333333333.33333329",
    "1E400",
    "1e20",
    "10000000000000001e-1",
    r#"{"b":1,"a":[1,2,{"c":null}]}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"a":1,"\u0061":2}"#,
    r#"["\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/"]"#,
    r#""\ud83d\ude02""#,
    r#""\ud800""#,
    r#""\ude00\ud83d""#,
    "{\"\u{20ac}\":1,\"\\r\":2,\"\u{fb33}\":3,\"1\":4,\"\u{1f600}\":5,\"\u{80}\":6,\"\u{f6}\":7}",
    "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
    " [1 , 2 ]\r\n\t",
    "\u{feff}{}",
    "[NaN]",
    "[1,]",
    "{\"a\" 1}",
];
const REQUESTS: &[&str] = &[
    r#"0{"model":"chat","messages":[{"role":"user","content":"Hi"}]}"#,
    r#"0{"model":"other","stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":9,"max_tokens":300,"messages":[{"role":"system","content":[{"type":"text","text":"a"}]},{"role":"user","content":"b"}],"user":"u","metadata":{"a":"b"},"prompt_cache_key":"k","top_k":3,"request_id":"r","temperature":0.5,"n":1}"#,
    r#"0{"model":"chat","messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"y"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"tool_choice":{"type":"function","function":{"name":"f"}},"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{},"strict":true}},"logprobs":true,"top_logprobs":3,"logit_bias":{"5":-1.5},"stop":["a","b"],"seed":7}"#,
    r#"1{"model":"chat","prompt":"Hi","echo":true,"best_of":1,"suffix":null,"logprobs":2,"stop":"x"}"#,
    r#"1{"model":"chat","prompt":[1,2,3],"max_tokens":1}"#,
    r#"2{"model":"chat","input":["a","b"],"encoding_format":"base64","dimensions":8,"user":null}"#,
    r#"2{"model":"chat","input":[[1,2],[3]]}"#,
];
const TRACES: &[&str] = &[
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\ncongo=t61rcWkgMzE,rojo=00f0",
    "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-what",
    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
];

fn owned(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Request heads.
#[must_use]
pub fn heads() -> Vec<Vec<u8>> {
    [owned(GOOD_HEADS), owned(BAD_HEADS)].concat()
}

/// Bodies behind the byte that says how they are framed.
#[must_use]
pub fn bodies() -> Vec<Vec<u8>> {
    owned(BODIES)
}

/// Heads of HTTP/2, by lines.
#[must_use]
pub fn h2_heads() -> Vec<Vec<u8>> {
    owned(H2_HEADS)
}

/// One frame of each kind, known and unknown (RFC 9113, 4.1), and some together.
#[must_use]
pub fn h2_frames() -> Vec<Vec<u8>> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let size = u8::try_from(payload.len()).unwrap_or(u8::MAX);
        [&[0, 0, size, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let mut found: Vec<Vec<u8>> = (0..12).map(|kind| frame(kind, 4, 1, &[0, 0, 0, 8])).collect();
    found.push(
        [frame(1, 0, 1, b"\x82"), frame(9, 4, 1, b"\x86"), frame(0, 1, 1, b"a"), frame(3, 0, 1, &[0; 4])]
            .concat(),
    );
    // The CONTINUATION that is one too many also ends the head: it counted as a head once, when it came whole.
    found
        .push([frame(1, 0, 1, b"\x82"), frame(9, 0, 1, b"\x86").repeat(3), frame(9, 4, 1, b"\x84")].concat());
    found.push(frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]));
    found.push([frame(6, 0, 0, &[0; 8]), frame(4, 1, 0, b"")].concat().repeat(4));
    found
}

/// Documents, good and bad.
#[must_use]
pub fn json() -> Vec<Vec<u8>> {
    [owned(JSON), requests().iter().map(|request| request[1..].to_vec()).collect()].concat()
}

/// Bodies of requests behind the byte that chooses the endpoint.
#[must_use]
pub fn requests() -> Vec<Vec<u8>> {
    owned(REQUESTS)
}

/// The golden worker frames of `tests/data/frames`.
#[must_use]
pub fn frames() -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/frames");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "hex"));
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read_to_string(path).ok()).map(|text| from_hex(&text)).collect()
}

/// Hex digits and spaces; what follows a # is for people.
fn from_hex(text: &str) -> Vec<u8> {
    let code = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    code.flat_map(str::split_whitespace).filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

/// Trace contexts.
#[must_use]
pub fn traces() -> Vec<Vec<u8>> {
    owned(TRACES)
}

/// Tokens, signed and not, and claims to be signed.
#[must_use]
pub fn tokens() -> Vec<Vec<u8>> {
    use crate::token::{signed, CLAIMS};
    let none = signed(br#"{"alg":"none"}"#, CLAIMS.as_bytes());
    let unsigned = none.rfind('.').and_then(|at| none.get(..=at)).unwrap_or_default().to_owned();
    let mut found = vec![
        signed(br#"{"alg":"EdDSA"}"#, CLAIMS.as_bytes()),
        signed(br#"{"alg":"HS256","kid":"k"}"#, CLAIMS.as_bytes()),
        none,
        unsigned,
        format!("S{CLAIMS}"),
    ];
    let others = [
        (r#""aud":"dpu""#, r#""aud":["x","dpu"]"#),
        ("1700000100", "1600000000"),
        ("1699999999", "1.7e9"),
        (r#""exp""#, r#""x""#),
        (r#""team":"a""#, r#""team":{"a":"a"}"#),
    ];
    found.extend(others.iter().map(|(from, to)| format!("S{}", CLAIMS.replace(from, to))));
    found.into_iter().map(String::into_bytes).collect()
}
