//! Strings: finding their end, their escapes, and the order of keys.

use super::JsonError;
use dpu_types::Reason;
use std::cmp::Ordering;

/// What has to be done with the raw text between the quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing: it is the value, and its own canonical form.
    Plain,
    /// It has escapes, all of them as RFC 8785 writes them: it is its own canonical form, but not the value.
    Canonical,
    /// It has escapes that RFC 8785 writes otherwise.
    Escaped,
    /// A key that was unescaped while parsing: not in the body, but in the tree's side list.
    Side,
}

/// Reads the string whose first byte after the quote is at `at`: where its closing quote is, and its form.
///
/// # Errors
/// `json_syntax` or `json_surrogate`.
pub(super) fn scan(bytes: &[u8], mut at: usize) -> Result<(usize, Form), JsonError> {
    let mut form = Form::Plain;
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok((at, form)),
            Some(b'\\') => {
                let (next, canonical) = escape(bytes, at)?;
                form = if canonical && form != Form::Escaped { Form::Canonical } else { Form::Escaped };
                at = next;
            }
            // A control character, or the end of the body.
            _ => return Err(JsonError::syntax(at)),
        }
    }
}

/// The first byte from `at` that is a quote, a backslash or a control character, else the end.
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    // The compiler makes vector code of this loop; that is what it is for.
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<32>()) {
        if chunk.iter().fold(0, |any, byte| any | u8::from(special(*byte))) != 0 {
            break;
        }
        at += 32;
    }
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let marks = special_marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !special(*byte)) {
        at += 1;
    }
    at
}

const fn special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The top bit of the lowest special byte; bits above it may lie (borrows), and nobody looks at them.
const fn special_marks(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let quotes = word ^ (ONES * b'"' as u64);
    let slashes = word ^ (ONES * b'\\' as u64);
    let below = word.wrapping_sub(ONES * 0x20) & !word;
    (below | (quotes.wrapping_sub(ONES) & !quotes) | (slashes.wrapping_sub(ONES) & !slashes)) & TOPS
}

/// The escape at `at`: where it ends, and whether RFC 8785 would write it so.
fn escape(bytes: &[u8], at: usize) -> Result<(usize, bool), JsonError> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't') => Ok((at + 2, true)),
        Some(b'/') => Ok((at + 2, false)),
        Some(b'u') => unicode_escape(bytes, at),
        _ => Err(JsonError::syntax(at)),
    }
}

fn unicode_escape(bytes: &[u8], at: usize) -> Result<(usize, bool), JsonError> {
    let unit = hex4(bytes, at + 2).ok_or(JsonError::syntax(at))?;
    let lone = JsonError { reason: Reason::JsonSurrogate, at };
    match unit {
        0xd800..=0xdbff => {
            if bytes.get(at + 6..at + 8) != Some(b"\\u") {
                return Err(lone);
            }
            let low = hex4(bytes, at + 8).ok_or(JsonError::syntax(at + 6))?;
            if matches!(low, 0xdc00..=0xdfff) {
                Ok((at + 12, false))
            } else {
                Err(lone)
            }
        }
        0xdc00..=0xdfff => Err(lone),
        _ => Ok((at + 6, is_canonical_control(unit, bytes.get(at + 5)))),
    }
}

/// RFC 8785 section 3.2.2.2: \u00xx in lower case, only for control characters without a letter of their own.
const fn is_canonical_control(unit: u16, last_digit: Option<&u8>) -> bool {
    let short = matches!(unit, 0x08 | 0x09 | 0x0a | 0x0c | 0x0d);
    let upper = matches!(last_digit, Some(b'A'..=b'F'));
    unit < 0x20 && !short && !upper
}

fn hex4(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0_u16, |unit, digit| {
        let value = char::from(*digit).to_digit(16)?;
        // Four digits of four bits.
        Some(unit << 4 | value as u16)
    })
}

/// Appends the value of a raw text that `scan` accepted.
pub(super) fn unescape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let (value, used) = escaped_char(escape.as_bytes());
        out.push(value);
        rest = escape.get(used..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// The character after a backslash, and the bytes that it takes there.
fn escaped_char(bytes: &[u8]) -> (char, usize) {
    match bytes.first() {
        Some(b'b') => ('\u{8}', 1),
        Some(b'f') => ('\u{c}', 1),
        Some(b'n') => ('\n', 1),
        Some(b'r') => ('\r', 1),
        Some(b't') => ('\t', 1),
        Some(b'u') => unicode_char(bytes),
        Some(other) => (char::from(*other), 1),
        None => (char::REPLACEMENT_CHARACTER, 0),
    }
}

fn unicode_char(bytes: &[u8]) -> (char, usize) {
    let high = u32::from(hex4(bytes, 1).unwrap_or_default());
    if !matches!(high, 0xd800..=0xdbff) {
        return (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 5);
    }
    let low = u32::from(hex4(bytes, 7).unwrap_or_default());
    let code = 0x1_0000 + ((high - 0xd800) << 10) + (low & 0x3ff);
    (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 11)
}

/// The order of two keys by their UTF-16 code units (RFC 8785 section 3.2.3), found on their UTF-8.
///
/// UTF-8 sorts by code point. UTF-16 differs in one thing: code points from U+10000 (first byte F0 to F4) sort as
/// surrogates, before U+E000 to U+FFFF (first byte EE or EF). Where two texts first differ in a later byte of a
/// character, the characters are equally long and the order is the same.
pub(super) fn utf16_order(a: &[u8], b: &[u8]) -> Ordering {
    let Some((x, y)) = a.iter().zip(b).find(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    let order = x.cmp(y);
    if *x >= 0xee && *y >= 0xee && (*x >= 0xf0) != (*y >= 0xf0) {
        order.reverse()
    } else {
        order
    }
}
