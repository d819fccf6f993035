//! Bodies of HTTP/1.1 answers: by length, or chunked (RFC 9112 section 7.1), fed as they come.

use crate::Fault;

/// What of a body is still to come.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Length(usize),
    /// The line with the next chunk's size, as far as it is here.
    Size(Vec<u8>),
    /// Bytes of a chunk.
    Chunk(usize),
    /// The line end after a chunk: so many of its two bytes.
    ChunkEnd(u8),
    /// The empty line after the last chunk: so many bytes of it are here.
    End(u8),
    /// Nothing.
    Over,
}

impl Body {
    /// Takes bytes and hands on what is content; how many it has used. Less than all only where the body is over.
    ///
    /// # Errors
    /// Not chunks, or with trailers, which no side here sends.
    pub fn feed(&mut self, bytes: &[u8], content: &mut impl FnMut(&[u8])) -> Result<usize, Fault> {
        let mut at = 0;
        while at < bytes.len() && !self.is_over() {
            at += self.step(bytes.get(at..).unwrap_or_default(), content)?;
        }
        Ok(at)
    }

    /// Whether all of it was there.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Over | Self::Length(0))
    }

    fn step(&mut self, bytes: &[u8], content: &mut impl FnMut(&[u8])) -> Result<usize, Fault> {
        let first = bytes.first().copied().unwrap_or_default();
        match self {
            Self::Length(left) | Self::Chunk(left) => {
                let part = bytes.get(..bytes.len().min(*left)).unwrap_or_default();
                content(part);
                *left -= part.len();
                if *self == Self::Chunk(0) {
                    *self = Self::ChunkEnd(2);
                }
                return Ok(part.len());
            }
            Self::Size(line) if first == b'\n' => *self = after_size(line)?,
            Self::Size(line) if line.len() < 64 => line.push(first),
            Self::ChunkEnd(2) if first == b'\r' => *self = Self::ChunkEnd(1),
            Self::ChunkEnd(1) if first == b'\n' => *self = Self::Size(Vec::new()),
            Self::End(0) if first == b'\r' => *self = Self::End(1),
            Self::End(1) if first == b'\n' => *self = Self::Over,
            _ => return Err(format!("not a chunked body: byte {first:#04x} in {self:?}")),
        }
        Ok(1)
    }
}

fn after_size(line: &[u8]) -> Result<Body, Fault> {
    let text = std::str::from_utf8(line).unwrap_or_default().trim_end_matches('\r');
    let bytes = usize::from_str_radix(text, 16).map_err(|_| format!("not a chunk size: '{text}'"))?;
    Ok(if bytes == 0 { Body::End(0) } else { Body::Chunk(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(start: fn() -> Body, parts: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), Fault> {
        let (mut body, mut content, mut used) = (start(), Vec::new(), 0);
        for part in parts {
            used += body.feed(part, &mut |bytes| content.extend_from_slice(bytes))?;
        }
        Ok((content, used, body.is_over()))
    }

    #[test]
    fn chunks_are_the_same_however_they_are_cut_and_the_next_answer_is_left() {
        let bytes = b"5\r\nhello\r\nA\r\n 0123456 9\r\n0\r\n\r\nHTTP";
        for cut in 0..bytes.len() - 4 {
            let got = read(|| Body::Size(Vec::new()), &[&bytes[..cut], &bytes[cut..]]);
            assert_eq!(got, Ok((b"hello 0123456 9".to_vec(), bytes.len() - 4, true)), "cut at {cut}");
        }
        assert_eq!(read(|| Body::Length(3), &[b"ab", b"cd"]), Ok((b"abc".to_vec(), 3, true)));
        assert_eq!(read(|| Body::Length(3), &[b"ab"]), Ok((b"ab".to_vec(), 2, false)));
    }

    #[test]
    fn what_is_no_chunk_is_told() {
        for bytes in [&b"x\r\n"[..], b"1\r\nab\r\n", b"0\r\nTrailer: 1\r\n\r\n", b"\r\n"] {
            assert!(read(|| Body::Size(Vec::new()), &[bytes]).is_err(), "{bytes:?}");
        }
    }
}
