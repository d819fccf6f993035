//! `stream` and `stream_options`: who wants events, and usage in them. The engine is told the first only.

use super::kind::Kind;
use super::refuse::{unknown, wrong_type, wrong_value};
use crate::json::{Object, Value};
use dpu_types::Refusal;

const OPTIONS: &str = "stream_options";

/// How the answer is wanted.
#[derive(Clone, Copy)]
pub(super) struct Stream {
    pub(super) wanted: bool,
    pub(super) include_usage: bool,
}

/// # Errors
/// Where there are options without a stream.
pub(super) fn of(object: Object<'_>) -> Result<Stream, Refusal> {
    // Values of another type are refused by their rules.
    let wanted = object.get("stream").and_then(Value::boolean).unwrap_or(false);
    let Some(options) = object.get(OPTIONS).filter(|options| !options.is_null()) else {
        return Ok(Stream { wanted, include_usage: false });
    };
    if !wanted {
        return Err(wrong_value(OPTIONS, "only allowed when 'stream' is true"));
    }
    let usage = options.object().and_then(|options| options.get("include_usage")).and_then(Value::boolean);
    Ok(Stream { wanted, include_usage: usage.unwrap_or(false) })
}

/// The rule of `stream_options`.
pub(super) fn check_options(value: Value<'_>) -> Result<(), Refusal> {
    let options = value.object().ok_or_else(|| wrong_type("", "an object"))?;
    for (name, value) in options.entries() {
        match name {
            "include_usage" | "include_obfuscation" => Kind::Bool.check(name, value)?,
            _ => return Err(unknown(name)),
        }
    }
    Ok(())
}
