//! HTTP/1.1: heads, and the bodies behind them.

use crate::cuts::agree;
use dpu_http::{BodyDecoder, BodyFraming, Head, HeadLimits, HeadParser};
use dpu_types::Refusal;

const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 1024, headers_max: 20 };
const BODY_BYTES_MAX: usize = 4096;

/// Heads one after another, as pipelined requests without bodies.
pub fn heads(bytes: &[u8]) {
    let (heads, _) = agree(bytes, read_heads);
    for head in heads {
        assert!(head.consumed > 0 && head.consumed <= LIMITS.head_bytes_max + 16, "{} bytes", head.consumed);
        if let Ok(request) = head.request {
            assert!(!request.host.bytes().any(|byte| byte.is_ascii_uppercase()), "{}", request.host);
        }
    }
}

fn read_heads(pieces: &[&[u8]]) -> (Vec<Head>, Option<Refusal>) {
    let (mut parser, mut buffer, mut heads) = (HeadParser::new(), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while !buffer.is_empty() {
            match parser.parse(&buffer, &LIMITS) {
                Ok(Some(head)) => {
                    buffer.drain(..head.consumed);
                    heads.push(head);
                }
                Ok(None) => break,
                Err(refused) => return (heads, Some(refused.refusal)),
            }
        }
    }
    (heads, None)
}

/// A body: the first byte says how it is framed.
pub fn body(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let framing = match first % 4 {
        0 => BodyFraming::None,
        1 => BodyFraming::Length(u64::from(*first) * 20),
        _ => BodyFraming::Chunked,
    };
    let answer = agree(rest, |pieces| read_body(framing, pieces));
    if let Ok((content, Some(used))) = answer {
        assert!(content.len() <= BODY_BYTES_MAX && used <= rest.len());
        assert!(framing == BodyFraming::Chunked || content == rest[..used]);
    }
}

/// The content, and how many bytes it took where it is whole.
fn read_body(framing: BodyFraming, pieces: &[&[u8]]) -> Result<(Vec<u8>, Option<usize>), Refusal> {
    let mut decoder = BodyDecoder::new(framing, BODY_BYTES_MAX)?;
    let (mut content, mut used) = (Vec::new(), 0);
    if decoder.feed(&[], &mut content)?.done {
        return Ok((content, Some(0)));
    }
    for piece in pieces {
        let fed = decoder.feed(piece, &mut content)?;
        used += fed.consumed;
        if fed.done {
            return Ok((content, Some(used)));
        }
        assert_eq!(fed.consumed, piece.len(), "a decoder that wants more has taken all");
    }
    Ok((content, None))
}
