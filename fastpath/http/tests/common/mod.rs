//! Feeding the same bytes whole, byte by byte and in any other cut.
#![allow(dead_code)] // each test binary uses its part

use dpu_http::{BodyDecoder, BodyFraming, Head, HeadLimits, HeadParser};
use dpu_types::{Reason, Refusal};

pub const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 1024, headers_max: 20 };
pub const BODY_BYTES_MAX: usize = 4096;

/// Pieces of `raw`, cut behind the given offsets.
pub fn pieces<'r>(raw: &'r [u8], cuts: &[usize]) -> Vec<&'r [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (raw.len() + 1)).collect();
    cuts.extend([0, raw.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &raw[pair[0]..pair[1]]).collect()
}

pub fn bytewise(raw: &[u8]) -> Vec<&[u8]> {
    raw.chunks(1).collect()
}

/// Every head in the pieces, taken as pipelined requests without bodies, and what ended them.
pub fn heads(pieces: &[&[u8]]) -> (Vec<Head>, Option<Refusal>) {
    let (mut parser, mut buf, mut heads) = (HeadParser::new(), Vec::new(), Vec::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match parser.parse(&buf, &LIMITS) {
                Ok(Some(head)) => {
                    buf.drain(..head.consumed);
                    heads.push(head);
                }
                Ok(None) => break,
                Err(refused) => return (heads, Some(refused.refusal)),
            }
            if buf.is_empty() {
                break;
            }
        }
    }
    (heads, None)
}

/// The outcome of a raw head, after checking that byte by byte gives the same.
pub fn outcome(raw: &[u8]) -> (Vec<Head>, Option<Refusal>) {
    let whole = heads(&[raw]);
    assert_eq!(whole, heads(&bytewise(raw)), "whole and byte by byte: {:?}", String::from_utf8_lossy(raw));
    whole
}

/// What came of a chunked body: reason, or the data and how many bytes of the input it took.
pub fn chunked(pieces: &[&[u8]]) -> Result<(Vec<u8>, Option<usize>), Reason> {
    let mut decoder =
        BodyDecoder::new(BodyFraming::Chunked, BODY_BYTES_MAX).map_err(|refusal| refusal.reason)?;
    let (mut out, mut consumed) = (Vec::new(), 0);
    for piece in pieces {
        let fed = decoder.feed(piece, &mut out).map_err(|refusal| refusal.reason)?;
        consumed += fed.consumed;
        if fed.done {
            return Ok((out, Some(consumed)));
        }
        assert_eq!(fed.consumed, piece.len(), "a decoder that wants more has taken all");
    }
    Ok((out, None))
}
