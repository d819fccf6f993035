//! However bytes are cut, the answer is the same; and no bytes make the parsers panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{chunked, heads, pieces};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Pieces that heads are made of, good and bad, so that random sequences get past the first line.
const HEAD_PARTS: &[&str] = &[
    "GET /v1/models HTTP/1.1\r\n",
    "POST /v1/completions HTTP/1.1\r\n",
    "GET /v1/models/a%20b HTTP/1.0\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "PRI * HTTP/2.0\r\n",
    "Host: h\r\n",
    "Host: i:80\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 7\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Type: application/json\r\n",
    "Connection: close\r\n",
    "Expect: 100-continue\r\n",
    "A: b\n",
    "A : b\r\n",
    " folded\r\n",
    "A: \r\r\n",
    "\0",
    "x",
    "\r",
    "\n",
    "\r\n",
    "\r\n\r\n",
];

const BODY_PARTS: &[&str] = &[
    "0\r\n",
    "1\r\na\r\n",
    "3\r\nabc\r\n",
    "a;x=y\r\n0123456789\r\n",
    "fff\r\n",
    "\r\n",
    "X: y\r\n",
    "Host: h\r\n",
    "\r",
    "\n",
    "0",
    ";",
    "\"",
    "g",
    "\0",
];

fn joined(parts: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    vec(select(parts), 0..30).prop_map(|parts| parts.concat().into_bytes())
}

/// Mostly valid heads: start, fields in any number, end.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let head = (select(&HEAD_PARTS[..4]), vec(select(&HEAD_PARTS[5..15]), 0..8))
        .prop_map(|(line, fields)| format!("{line}Host: h\r\n{}\r\n", fields.concat()));
    vec(head, 1..4).prop_map(|heads| heads.concat().into_bytes())
}

fn any_head() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![plausible(), joined(HEAD_PARTS), vec(any::<u8>(), 0..1500)]
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![joined(BODY_PARTS), vec(any::<u8>(), 0..300)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn heads_do_not_depend_on_the_cut(raw in any_head(), cuts in vec(any::<usize>(), 0..12)) {
        let whole = heads(&[&raw]);
        prop_assert_eq!(&whole, &heads(&pieces(&raw, &cuts)));
        prop_assert_eq!(&whole, &heads(&common::bytewise(&raw)));
    }

    #[test]
    fn chunked_bodies_do_not_depend_on_the_cut(raw in any_body(), cuts in vec(any::<usize>(), 0..12)) {
        let whole = chunked(&[&raw]);
        prop_assert_eq!(&whole, &chunked(&pieces(&raw, &cuts)));
        prop_assert_eq!(&whole, &chunked(&common::bytewise(&raw)));
    }
}
