//! The strict line scan before httparse: CRLF and nothing else ends a line, no line is folded, no byte is NUL.
//!
//! It remembers how far it got, so that a head that comes byte by byte costs linear time. What it refuses, it
//! refuses at the end of the line at fault, so that the answer does not depend on how the bytes were cut.

use crate::limits::{HeadLimits, HEADERS_CEILING};
use dpu_types::{Reason, Refusal};

/// Where the head lies in the buffer.
pub(crate) struct Extent {
    /// After empty lines that some old clients send behind a body (RFC 9112, 2.2); 0, 2 or 4.
    pub start: usize,
    /// After the empty line that ends the head.
    pub end: usize,
}

/// Two empty lines before a request: "at least one" should be ignored, and each could be one more.
const EMPTY_BYTES_MAX: usize = 4;

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
        if self.examined == 0 {
            if let Some(end) = at_once(window, limits) {
                return Ok(Some(Extent { start: 0, end }));
            }
        }
        while let Some(offset) = memchr::memchr(b'\n', &window[self.examined..]) {
            let line = &window[self.line_start..self.examined + offset];
            self.examined += offset + 1;
            self.line_start = self.examined;
            let line = strict_line(line)?;
            if !line.is_empty() {
                self.count_line(limits)?;
            } else if self.lines > 0 {
                return Ok(Some(Extent { start: self.start, end: self.examined }));
            } else if self.start == EMPTY_BYTES_MAX {
                return Err(malformed("more than two empty lines before the request"));
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

    /// Whether more than empty lines is there.
    pub(crate) const fn has_begun(&self, buf: &[u8]) -> bool {
        buf.len() > self.start
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

/// The end of a head that is all there and strict, as most are, found without a stop at each line. None says nothing:
/// the walk over the lines decides then.
fn at_once(window: &[u8], limits: &HeadLimits) -> Option<usize> {
    let end = memchr::memmem::find(window, b"\r\n\r\n")? + 4;
    let head = &window[..end];
    // Every line ends in LF: the request line, the fields, and the empty one.
    let fields = memchr::memchr_iter(b'\n', head).count().checked_sub(2)?;
    let plain_start = !matches!(head.first(), Some(b'\r' | b'\n' | b' ' | b'\t'));
    let few = fields <= limits.headers_max.min(HEADERS_CEILING);
    (plain_start && few && pairs_are_strict(head)).then_some(end)
}

/// Whether CR and LF stand only side by side, no line starts with white space, and no byte is NUL. Without branches,
/// so that the compiler takes 16 or 32 pairs at a time.
fn pairs_are_strict(head: &[u8]) -> bool {
    let pairs = head.iter().zip(head.get(1..).unwrap_or_default());
    let fault = pairs.fold(0_u8, |fault, (&byte, &next)| {
        let split = u8::from(byte == b'\r') ^ u8::from(next == b'\n');
        let folded = u8::from(byte == b'\n') & (u8::from(next == b' ') | u8::from(next == b'\t'));
        fault | split | folded | u8::from(byte == 0)
    });
    fault == 0
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
