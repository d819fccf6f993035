//! `stop`: one string or up to four.

use super::kind::Kind;
use super::refuse::{within, wrong_type, wrong_value};
use crate::json::Value;
use dpu_types::Refusal;

/// As OpenAI allows.
const STOPS_MAX: usize = 4;
/// Engines compare the end of the text with each stop after each token.
const STOP_BYTES_MAX: usize = 1_024;

pub(super) fn check(value: Value<'_>) -> Result<(), Refusal> {
    if value.is_text() {
        return Kind::TextOf(1, STOP_BYTES_MAX).check("", value);
    }
    let items = value.items().ok_or_else(|| wrong_type("", "a string or an array of strings"))?;
    for (i, stop) in items.enumerate() {
        if i >= STOPS_MAX {
            return Err(wrong_value("", format!("allowed are at most {STOPS_MAX} strings")));
        }
        Kind::TextOf(1, STOP_BYTES_MAX).check("", stop).map_err(|refusal| within(i, refusal))?;
    }
    Ok(())
}
