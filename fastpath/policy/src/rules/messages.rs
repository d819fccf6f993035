//! `messages` of chat completions: who said what. The form is checked; the words are never touched.

use super::content;
use super::kind::Kind;
use super::refuse::{missing, unknown, within, wrong_type, wrong_value};
use crate::json::{Object, Value};
use dpu_types::Refusal;

/// As OpenAI allows.
const MESSAGES_MAX: usize = 2_048;
const NAME_BYTES_MAX: usize = 256;
const ROLES: &[&str] = &["user", "assistant", "system", "tool", "developer", "function"];
const FUNCTION_FIELDS: &[(&str, Kind)] =
    &[("arguments", Kind::Text), ("name", Kind::TextOf(1, NAME_BYTES_MAX))];
const CALL_FIELDS: &[(&str, Kind)] = &[
    ("function", Kind::Check(check_function)),
    ("id", Kind::TextOf(1, NAME_BYTES_MAX)),
    ("type", Kind::OneOf(&["function"])),
];

pub(super) fn check(value: Value<'_>) -> Result<(), Refusal> {
    let items = value.items().ok_or_else(|| wrong_type("", "an array"))?;
    let mut count = 0;
    for (i, message) in items.enumerate() {
        check_message(message).map_err(|refusal| within(i, refusal))?;
        count = i + 1;
    }
    match count {
        0 => Err(wrong_value("", "the array is empty")),
        1..=MESSAGES_MAX => Ok(()),
        _ => Err(wrong_value("", format!("allowed are at most {MESSAGES_MAX}"))),
    }
}

fn check_message(message: Value<'_>) -> Result<(), Refusal> {
    let message = message.object().ok_or_else(|| wrong_type("", "an object"))?;
    let role = message.get("role").ok_or_else(|| missing("role"))?;
    Kind::OneOf(ROLES).check("role", role)?;
    let assistant = role.text().as_deref() == Some("assistant");
    if !assistant && message.get("content").is_none() {
        return Err(missing("content"));
    }
    if role.text().as_deref() == Some("tool") && message.get("tool_call_id").is_none() {
        return Err(missing("tool_call_id"));
    }
    message.entries().try_for_each(|(name, value)| check_field(name, value, assistant))
}

/// Fields that only answers have are taken back with `null`, as SDKs send a whole answer back.
fn check_field(name: &str, value: Value<'_>, assistant: bool) -> Result<(), Refusal> {
    let kind = match name {
        "role" => return Ok(()),
        "content" => Kind::Check(content::check),
        "name" | "tool_call_id" => Kind::TextOf(1, NAME_BYTES_MAX),
        "tool_calls" if assistant => Kind::Check(check_calls),
        "function_call" if assistant => Kind::Check(check_function),
        "refusal" | "reasoning" | "reasoning_content" if assistant => Kind::Text,
        "annotations" if assistant => Kind::Array,
        "audio" if assistant => Kind::Object,
        _ => return Err(unknown(name)),
    };
    if value.is_null() && assistant {
        return Ok(());
    }
    kind.check(name, value)
}

fn check_calls(value: Value<'_>) -> Result<(), Refusal> {
    let mut calls = value.items().ok_or_else(|| wrong_type("", "an array"))?.enumerate();
    calls.try_for_each(|(i, call)| check_all(call, CALL_FIELDS).map_err(|refusal| within(i, refusal)))
}

fn check_function(value: Value<'_>) -> Result<(), Refusal> {
    check_all(value, FUNCTION_FIELDS)
}

/// An object of exactly these fields.
pub(super) fn check_all(value: Value<'_>, fields: &[(&str, Kind)]) -> Result<(), Refusal> {
    let object = value.object().ok_or_else(|| wrong_type("", "an object"))?;
    fields.iter().try_for_each(|(name, kind)| {
        let value = object.get(name).ok_or_else(|| missing(name))?;
        kind.check(name, value)
    })?;
    only(object, fields)
}

/// No field but these.
fn only(object: Object<'_>, fields: &[(&str, Kind)]) -> Result<(), Refusal> {
    let stranger = object.entries().find(|(name, _)| !fields.iter().any(|(field, _)| field == name));
    stranger.map_or(Ok(()), |(name, _)| Err(unknown(name)))
}
