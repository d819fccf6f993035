//! The strict line scan before httparse: CRLF and nothing else ends a line, no line is folded, no byte is NUL.
//!
//! It remembers how far it got, so that a head that comes byte by byte costs linear time. What it refuses, it
//! refuses at the end of the line at fault, so that the answer does not depend on how the bytes were cut.

use crate::limits::{HeadLimits, HEADERS_CEILING};
use dpu_types::{Reason, Refusal};

/// Where the head lies in the buffer.
pub(crate) struct Extent {
    /// After an empty line that some old clients send first (RFC 9112, 2.2); 0 or 2.
    pub start: usize,
    /// After the empty line that ends the head.
    pub end: usize,
}

#[derive(Default)]
pub(crate) struct Scan {
    start: usize,
    line_start: usize,
    examined: usize,
    lines: usize,
}

impl Scan {
    /// Goes on where it stopped. `buf` starts where it started last time, and may have grown.
    pub(crate) fn advance(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Option<Extent>, Refusal> {
        let window = &buf[..buf.len().min(limits.head_bytes_max)];
        while let Some(offset) = memchr::memchr(b'\n', &window[self.examined..]) {
            let line = &window[self.line_start..self.examined + offset];
            self.examined += offset + 1;
            self.line_start = self.examined;
            let line = strict_line(line)?;
            if !line.is_empty() {
                self.count_line(limits)?;
            } else if self.lines > 0 {
                return Ok(Some(Extent { start: self.start, end: self.examined }));
            } else if self.start > 0 {
                return Err(malformed("more than one empty line before the request"));
            } else {
                self.start = self.examined;
            }
        }
        self.examined = window.len();
        if buf.len() >= limits.head_bytes_max {
            return Err(Reason::HttpHeadTooLarge.into());
        }
        Ok(None)
    }

    fn count_line(&mut self, limits: &HeadLimits) -> Result<(), Refusal> {
        let headers = self.lines; // the first line is the request line
        self.lines += 1;
        if headers > limits.headers_max.min(HEADERS_CEILING) {
            return Err(Reason::HttpTooManyHeaders.into());
        }
        Ok(())
    }
}

/// The line without its CR, if it is one line and starts where it seems to.
fn strict_line(line: &[u8]) -> Result<&[u8], Refusal> {
    let line = line.strip_suffix(b"\r").ok_or_else(|| malformed("a line ends in LF without CR"))?;
    if memchr::memchr2(b'\r', 0, line).is_some() {
        return Err(malformed("CR or NUL inside a line"));
    }
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(malformed("a line starts with white space"));
    }
    Ok(line)
}

/// 400 with a sentence.
pub(crate) fn malformed(detail: &str) -> Refusal {
    Refusal::from(Reason::HttpMalformedHead).because(detail)
}
