//! `top_logprobs` says how many of what `logprobs` asks for.

use super::refuse::wrong_value;
use crate::json::{Object, Value};
use dpu_types::Refusal;

/// # Errors
/// `field_value` where there is one without the other.
pub(super) fn check(object: Object<'_>) -> Result<(), Refusal> {
    let top = object.get("top_logprobs").filter(|top| !top.is_null());
    if top.is_some() && object.get("logprobs").and_then(Value::boolean) != Some(true) {
        return Err(wrong_value("top_logprobs", "only allowed when 'logprobs' is true"));
    }
    Ok(())
}
