//! `logit_bias`: token id -> bias.

use super::kind::Kind;
use super::refuse::{wrong_type, wrong_value};
use crate::json::Value;
use dpu_types::Refusal;

/// Engines walk the list for each token they make.
const ENTRIES_MAX: u32 = 1_024;
/// Digits of a token id; vocabularies have below a million.
const DIGITS_MAX: usize = 9;

pub(super) fn check(value: Value<'_>) -> Result<(), Refusal> {
    let object = value.object().ok_or_else(|| wrong_type("", "an object"))?;
    if object.count() > ENTRIES_MAX {
        return Err(wrong_value("", format!("allowed are at most {ENTRIES_MAX} tokens")));
    }
    for (token, bias) in object.entries() {
        if token.is_empty() || token.len() > DIGITS_MAX || !token.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong_value("", "keys must be token ids in decimal"));
        }
        Kind::Number(-100.0, 100.0).check(token, bias)?;
    }
    Ok(())
}
