//! Numbers: the grammar of RFC 8259 section 6, kept to what a double holds and what its reader will see again.

use super::JsonError;
use dpu_types::Reason;
use std::cmp::Ordering;

/// 2^53: up to here each integer is a double of its own.
pub(super) const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;
/// From here on RFC 8785 writes an exponent, so that nobody takes the number for an integer.
const EXPONENT_FROM: f64 = 1e21;
/// Any so many digits fit into 64 bits and are below 2^53.
const DIGITS_EXACT: usize = 15;

/// The number that starts at `at`, and where it ends.
///
/// A number that overflows is refused, one that underflows is zero. Integers beyond 2^53 are refused, also where they
/// are written with an exponent (1e20) or a fraction (9007199254740993.0): their canonical form would be a row of
/// digits that is refused here, or another integer.
///
/// # Errors
/// `json_syntax` or `json_number`, at the number's first byte.
pub(super) fn read(text: &str, at: usize) -> Result<(f64, usize), JsonError> {
    let bytes = text.as_bytes();
    let negative = bytes.get(at) == Some(&b'-');
    let first = at + usize::from(negative);
    let (digits, value) = whole_digits(bytes, first);
    let end = first + digits;
    if digits == 0 || (digits > 1 && bytes.get(first) == Some(&b'0')) {
        return Err(JsonError::syntax(at));
    }
    if digits <= DIGITS_EXACT && !matches!(bytes.get(end), Some(b'.' | b'e' | b'E')) {
        // At most 15 digits: exact.
        let value = value as f64;
        return Ok((if negative { -value } else { value }, end));
    }
    let (end, integer) = fraction_and_exponent(bytes, end).ok_or(JsonError::syntax(at))?;
    let refused = JsonError { reason: Reason::JsonNumber, at };
    // The grammar was checked, which is narrower than Rust's.
    let value: f64 = text.get(at..end).and_then(|digits| digits.parse().ok()).ok_or(refused)?;
    let beyond = value.abs() > INTEGER_MAX && (integer || value.abs() < EXPONENT_FROM);
    if !value.is_finite() || beyond || (value.abs() == INTEGER_MAX && exceeds_integer_max(&bytes[first..end]))
    {
        return Err(refused);
    }
    Ok((value, end))
}

/// Whether a number that rounds to 2^53 is more than that: the digits decide, not the double.
///
/// All such numbers have 16 digits before the point, so that comparing their digits compares them.
fn exceeds_integer_max(number: &[u8]) -> bool {
    let mantissa = number.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or_default();
    let digits = mantissa.iter().copied().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0');
    let max = b"9007199254740992";
    // Behind the end of either stand zeros.
    let padded = digits.chain(std::iter::repeat_n(b'0', max.len())).enumerate();
    for (at, digit) in padded {
        match digit.cmp(max.get(at).unwrap_or(&b'0')) {
            Ordering::Equal => {}
            other => return other == Ordering::Greater,
        }
    }
    false
}

/// Count and value of the digits from `at`; the value is meaningless beyond 19 of them.
fn whole_digits(bytes: &[u8], at: usize) -> (usize, u64) {
    let mut value = 0_u64;
    let mut count = 0;
    while let Some(digit @ b'0'..=b'9') = bytes.get(at + count) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        count += 1;
    }
    (count, value)
}

/// Where the number ends whose whole digits end at `end`, and whether it is written as an integer.
fn fraction_and_exponent(bytes: &[u8], mut end: usize) -> Option<(usize, bool)> {
    let mut integer = true;
    if bytes.get(end) == Some(&b'.') {
        end = some_digits(bytes, end + 1)?;
        integer = false;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let signed = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
        end = some_digits(bytes, end + 1 + usize::from(signed))?;
        integer = false;
    }
    Some((end, integer))
}

fn some_digits(bytes: &[u8], at: usize) -> Option<usize> {
    let (count, _) = whole_digits(bytes, at);
    (count > 0).then_some(at + count)
}
