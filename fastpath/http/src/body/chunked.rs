//! The chunked coding, one byte at a time around the data and in one piece inside it.

use super::Fed;
use crate::fields::is_token;
use crate::limits::{CHUNK_EXTENSION_BYTES_MAX, CHUNK_SIZE_DIGITS_MAX, TRAILER_BYTES_MAX};
use dpu_types::{Reason, Refusal};

pub(super) struct Chunked {
    at: At,
    /// Bytes that the body may still have.
    room: u64,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailer_line: Vec<u8>,
}

/// Where in the grammar of RFC 9112, 7.1 the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size { value: u64, digits: usize },
    Extension { value: u64, quoted: Quoted },
    SizeLf { value: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
    Done,
}

/// A quoted string inside a chunk extension: a CR there would be a line end to some readers and text to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoted {
    No,
    Yes,
    AfterBackslash,
}

impl Chunked {
    pub(super) fn new(body_bytes_max: usize) -> Self {
        Self {
            at: At::Size { value: 0, digits: 0 },
            room: body_bytes_max as u64,
            extension_bytes: 0,
            trailer_bytes: 0,
            trailer_line: Vec::new(),
        }
    }

    pub(super) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Fed, Refusal> {
        let mut consumed = 0;
        while self.at != At::Done {
            let Some(&byte) = input.get(consumed) else { return Ok(Fed { consumed, done: false }) };
            if let At::Data { left } = self.at {
                let rest = &input[consumed..];
                let size = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                out.extend_from_slice(&rest[..size]);
                consumed += size;
                let left = left - size as u64;
                self.at = if left == 0 { At::DataCr } else { At::Data { left } };
                continue;
            }
            self.at = self.step(byte)?;
            consumed += 1;
        }
        Ok(Fed { consumed, done: true })
    }

    fn step(&mut self, byte: u8) -> Result<At, Refusal> {
        match self.at {
            At::Size { value, digits } => size_digit(value, digits, byte),
            At::Extension { value, quoted } => self.extension(value, quoted, byte),
            At::SizeLf { value } => {
                expect(byte, b'\n')?;
                self.sized(value)
            }
            At::DataCr => expect(byte, b'\r').map(|()| At::DataLf),
            At::DataLf => expect(byte, b'\n').map(|()| At::Size { value: 0, digits: 0 }),
            At::Trailer => self.trailer(byte),
            At::TrailerLf => {
                expect(byte, b'\n')?;
                self.trailer_line_done()
            }
            // `feed` takes data in one piece and stops when it is done.
            at @ (At::Data { .. } | At::Done) => Ok(at),
        }
    }

    /// A size line is complete.
    fn sized(&mut self, value: u64) -> Result<At, Refusal> {
        if value == 0 {
            return Ok(At::Trailer);
        }
        self.room = self.room.checked_sub(value).ok_or(Refusal::from(Reason::HttpBodyTooLarge))?;
        Ok(At::Data { left: value })
    }

    fn extension(&mut self, value: u64, quoted: Quoted, byte: u8) -> Result<At, Refusal> {
        if byte == b'\r' && quoted == Quoted::No {
            return Ok(At::SizeLf { value });
        }
        self.extension_bytes += 1;
        if self.extension_bytes > CHUNK_EXTENSION_BYTES_MAX {
            return Err(bad("chunk extensions are too long"));
        }
        if byte != b'\t' && (byte < b' ' || byte == 0x7f) {
            return Err(bad("a control character in a chunk extension"));
        }
        let quoted = match (quoted, byte) {
            (Quoted::No, b'"') | (Quoted::AfterBackslash, _) => Quoted::Yes,
            (Quoted::Yes, b'"') => Quoted::No,
            (Quoted::Yes, b'\\') => Quoted::AfterBackslash,
            (state, _) => state,
        };
        Ok(At::Extension { value, quoted })
    }

    fn trailer(&mut self, byte: u8) -> Result<At, Refusal> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(bad("the trailer section is too long"));
        }
        if byte == b'\r' {
            return Ok(At::TrailerLf);
        }
        if byte != b'\t' && (byte < b' ' || byte == 0x7f) {
            return Err(bad("a control character in a trailer field"));
        }
        self.trailer_line.push(byte);
        Ok(At::Trailer)
    }

    fn trailer_line_done(&mut self) -> Result<At, Refusal> {
        self.trailer_bytes += 1;
        if self.trailer_line.is_empty() {
            return Ok(At::Done);
        }
        let name = self.trailer_line.split(|byte| *byte == b':').next().unwrap_or_default();
        let has_colon = name.len() < self.trailer_line.len();
        if !has_colon || !is_token(name) {
            return Err(bad("a trailer field is not valid"));
        }
        if is_forbidden_trailer(name) {
            return Err(bad("a trailer field that belongs into the head"));
        }
        self.trailer_line.clear();
        Ok(At::Trailer)
    }
}

fn size_digit(value: u64, digits: usize, byte: u8) -> Result<At, Refusal> {
    // Only hex digits: no sign, no "0x", no white space, none of the leniency that request smuggling lives on.
    if let Some(digit) = char::from(byte).to_digit(16) {
        if digits == CHUNK_SIZE_DIGITS_MAX {
            return Err(bad("a chunk size has too many digits"));
        }
        // 16 digits of 4 bits cannot overflow 64 bits.
        return Ok(At::Size { value: value << 4 | u64::from(digit), digits: digits + 1 });
    }
    match byte {
        b'\r' if digits > 0 => Ok(At::SizeLf { value }),
        b';' if digits > 0 => Ok(At::Extension { value, quoted: Quoted::No }),
        _ => Err(bad("a chunk size is not a hexadecimal number")),
    }
}

/// Fields that frame, route or authenticate, which RFC 9110, 6.5.1 forbids in trailers.
fn is_forbidden_trailer(name: &[u8]) -> bool {
    const FORBIDDEN: [&[u8]; 16] = [
        b"transfer-encoding",
        b"content-length",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"host",
        b"connection",
        b"keep-alive",
        b"upgrade",
        b"te",
        b"trailer",
        b"expect",
        b"authorization",
        b"proxy-authorization",
        b"cookie",
        b"max-forwards",
    ];
    FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

fn expect(byte: u8, wanted: u8) -> Result<(), Refusal> {
    if byte == wanted {
        return Ok(());
    }
    Err(bad("a line of the chunked coding does not end in CR LF"))
}

fn bad(detail: &str) -> Refusal {
    Refusal::from(Reason::HttpBadChunk).because(detail)
}
