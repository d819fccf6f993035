//! Chunked and counted bodies: raw bytes -> data or reason, whole and byte by byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{bytewise, chunked, BODY_BYTES_MAX};
use dpu_http::{BodyDecoder, BodyFraming, Fed, LengthCheck};
use dpu_types::{Reason, Refusal};

fn both(raw: &[u8]) -> Result<(Vec<u8>, Option<usize>), Reason> {
    let whole = chunked(&[raw]);
    assert_eq!(whole, chunked(&bytewise(raw)), "{:?}", String::from_utf8_lossy(raw));
    whole
}

#[test]
fn valid_chunks_are_decoded_and_what_follows_is_left() {
    for (raw, data) in [
        ("0\r\n\r\n", ""),
        ("3\r\nabc\r\n0\r\n\r\n", "abc"),
        ("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n", "abcdefg"),
        ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("0000000000000003\r\nabc\r\n000\r\n\r\n", "abc"),
        ("3;a=b;c=\"d;\\\"e\"\r\nabc\r\n0;x\r\n\r\n", "abc"),
        ("3\r\n\r\n\n\r\n0\r\n\r\n", "\r\n\n"),
        ("3\r\nabc\r\n0\r\nX-Checksum: 1\r\nY:\r\n\r\n", "abc"),
    ] {
        let with_next = format!("{raw}GET /");
        assert_eq!(both(with_next.as_bytes()), Ok((data.into(), Some(raw.len()))), "{raw:?}");
        assert_eq!(both(&raw.as_bytes()[..raw.len() - 1]), Ok((data.into(), None)), "{raw:?}");
    }
}

#[test]
fn chunks_that_are_not_strict_are_refused() {
    for raw in [
        "\r\n",
        ";x\r\n",
        "g\r\n",
        "0x3\r\nabc\r\n",
        "+3\r\nabc\r\n",
        "-1\r\n",
        " 3\r\nabc\r\n",
        "3 \r\nabc\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "3\rabc",
        "00000000000000003\r\nabc\r\n",
        "10000000000000000\r\n",
        "3;a\nb\r\nabc\r\n",
        "3;a\0\r\nabc\r\n",
        "3;\"a\r\nb\"\r\nabc\r\n",
        "3;\"\\\r\nabc",
        "0\r\n\n",
        "0\r\nX: y\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nnocolon\r\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\nContent-Length: 3\r\n\r\n",
        "0\r\ntransfer-encoding: chunked\r\n\r\n",
        "0\r\nHost: h\r\n\r\n",
        "0\r\nAuthorization: Bearer x\r\n\r\n",
        "0\r\nX: y\r\n folded\r\n\r\n",
        "0\r\nX: y\rz\r\n\r\n",
    ] {
        assert_eq!(both(raw.as_bytes()), Err(Reason::HttpBadChunk), "{raw:?}");
    }
}

#[test]
fn extensions_and_trailers_are_bounded_over_the_whole_body() {
    let extension = format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(5);
    assert_eq!(both(extension.as_bytes()), Err(Reason::HttpBadChunk));
    let trailers = format!("0\r\n{}", "x: y\r\n".repeat(1000));
    assert_eq!(both(trailers.as_bytes()), Err(Reason::HttpBadChunk));
}

#[test]
fn a_chunked_body_of_the_limit_passes_and_one_byte_more_is_413() {
    let half = BODY_BYTES_MAX / 2;
    let chunk = |size: usize| format!("{size:x}\r\n{}\r\n", "x".repeat(size));
    let limit = [chunk(half), chunk(half), "0\r\n\r\n".into()].concat();
    assert_eq!(both(limit.as_bytes()).unwrap().0.len(), BODY_BYTES_MAX);
    assert_eq!(
        both([chunk(half), chunk(half), "1\r\n".into()].concat().as_bytes()),
        Err(Reason::HttpBodyTooLarge)
    );
    assert_eq!(both(b"ffffffffffffffff\r\n"), Err(Reason::HttpBodyTooLarge));
}

#[test]
fn a_counted_body_ends_where_it_said() {
    let mut decoder = BodyDecoder::new(BodyFraming::Length(5), 5).unwrap();
    let mut out = Vec::new();
    assert_eq!(decoder.feed(b"ab", &mut out), Ok(Fed { consumed: 2, done: false }));
    assert_eq!(decoder.feed(b"cdeGET", &mut out), Ok(Fed { consumed: 3, done: true }));
    assert_eq!(out, b"abcde");
}

#[test]
fn a_body_that_says_it_is_too_long_is_413_before_it_is_read() {
    for length in [6, u64::MAX] {
        let refusal = BodyDecoder::new(BodyFraming::Length(length), 5).err().unwrap();
        assert_eq!(refusal.reason, Reason::HttpBodyTooLarge);
    }
}

#[test]
fn no_body_is_done_at_once() {
    for framing in [BodyFraming::None, BodyFraming::Length(0)] {
        let fed = BodyDecoder::new(framing, 0).unwrap().feed(b"GET", &mut Vec::new());
        assert_eq!(fed, Ok(Fed { consumed: 0, done: true }));
    }
}

#[test]
fn an_http2_body_that_lies_about_its_length_is_refused() {
    let reason = |declared: Option<u64>, parts: &[usize]| -> Option<Reason> {
        let check = || -> Result<(), Refusal> {
            let mut check = LengthCheck::new(declared, 10)?;
            parts.iter().try_for_each(|part| check.add(*part))?;
            check.end()
        };
        check().err().map(|refusal| refusal.reason)
    };
    assert_eq!(reason(Some(5), &[2, 3]), None);
    assert_eq!(reason(None, &[10]), None);
    assert_eq!(reason(Some(5), &[2, 4]), Some(Reason::HttpAmbiguousLength));
    assert_eq!(reason(Some(5), &[4]), Some(Reason::HttpAmbiguousLength));
    assert_eq!(reason(Some(11), &[]), Some(Reason::HttpBodyTooLarge));
    assert_eq!(reason(None, &[10, 1]), Some(Reason::HttpBodyTooLarge));
}
