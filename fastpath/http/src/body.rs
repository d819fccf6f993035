//! Bodies: by length or chunked (RFC 9112, 7.1), bounded, the same however the bytes are cut.

mod chunked;

use crate::head::BodyFraming;
use chunked::Chunked;
use dpu_types::{Reason, Refusal};

/// What one call of [`BodyDecoder::feed`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Bytes of the input that belonged to the body; what is behind them is the next request.
    pub consumed: usize,
    /// The body is complete.
    pub done: bool,
}

/// Takes a body out of the bytes behind a head.
pub struct BodyDecoder {
    state: State,
}

enum State {
    Length { left: u64 },
    Chunked(Chunked),
}

impl BodyDecoder {
    /// For one body of at most `body_bytes_max` decoded bytes.
    ///
    /// # Errors
    /// `http_body_too_large` where the declared length is above it already.
    pub fn new(framing: BodyFraming, body_bytes_max: usize) -> Result<Self, Refusal> {
        let state = match framing {
            BodyFraming::None => State::Length { left: 0 },
            BodyFraming::Length(length) if length > body_bytes_max as u64 => {
                return Err(Reason::HttpBodyTooLarge.into());
            }
            BodyFraming::Length(left) => State::Length { left },
            BodyFraming::Chunked => State::Chunked(Chunked::new(body_bytes_max)),
        };
        Ok(Self { state })
    }

    /// Decodes from `input` onto `out`. Call it once with what there is behind the head, even with nothing: an
    /// empty body is done at once.
    ///
    /// # Errors
    /// `http_bad_chunk`, `http_body_too_large`: where the body ends is not known then, so close.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Fed, Refusal> {
        match &mut self.state {
            State::Length { left } => {
                let size = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                out.extend_from_slice(&input[..size]);
                *left -= size as u64;
                Ok(Fed { consumed: size, done: *left == 0 })
            }
            State::Chunked(chunked) => chunked.feed(input, out),
        }
    }
}

/// Compares what an HTTP/2 body brings with what its head said (RFC 9113, 8.1.1), and with the limit.
#[derive(Clone, Copy, Debug)]
pub struct LengthCheck {
    declared: Option<u64>,
    received: u64,
    bytes_max: u64,
}

impl LengthCheck {
    /// `declared`: `content-length`, if there was one.
    ///
    /// # Errors
    /// `http_body_too_large` where that is above the limit already.
    pub fn new(declared: Option<u64>, body_bytes_max: usize) -> Result<Self, Refusal> {
        let bytes_max = body_bytes_max as u64;
        if declared.is_some_and(|length| length > bytes_max) {
            return Err(Reason::HttpBodyTooLarge.into());
        }
        Ok(Self { declared, received: 0, bytes_max })
    }

    /// So many more bytes came.
    ///
    /// # Errors
    /// `http_body_too_large`; `http_ambiguous_length` when they are more than was declared.
    pub fn add(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.received = self.received.saturating_add(bytes as u64);
        if self.received > self.bytes_max {
            return Err(Reason::HttpBodyTooLarge.into());
        }
        self.compare(self.declared.is_some_and(|length| self.received > length))
    }

    /// The body ended.
    ///
    /// # Errors
    /// `http_ambiguous_length` when fewer bytes came than were declared.
    pub fn end(&self) -> Result<(), Refusal> {
        self.compare(self.declared.is_some_and(|length| self.received != length))
    }

    fn compare(&self, lie: bool) -> Result<(), Refusal> {
        if lie {
            let detail = "the body is not as long as content-length says";
            return Err(Refusal::from(Reason::HttpAmbiguousLength).because(detail));
        }
        Ok(())
    }
}
