//! `content` of a message: text, or a list of text parts.

use super::kind::Kind;
use super::messages::check_all;
use super::refuse::{missing, within, wrong_type, wrong_value};
use crate::json::Value;
use dpu_types::Refusal;

const TYPE: &str = "type";
const TEXT_PART: &[(&str, Kind)] = &[("text", Kind::Text), (TYPE, Kind::Text)];
const REFUSAL_PART: &[(&str, Kind)] = &[("refusal", Kind::Text), (TYPE, Kind::Text)];

pub(super) fn check(value: Value<'_>) -> Result<(), Refusal> {
    if value.is_text() {
        return Ok(());
    }
    let items = value.items().ok_or_else(|| wrong_type("", "a string or an array of text parts"))?;
    if items.clone().next().is_none() {
        return Err(wrong_value("", "the array is empty"));
    }
    let mut parts = items.enumerate();
    parts.try_for_each(|(i, part)| check_part(part).map_err(|refusal| within(i, refusal)))
}

fn check_part(part: Value<'_>) -> Result<(), Refusal> {
    let object = part.object().ok_or_else(|| wrong_type("", "an object"))?;
    let kind = object.get(TYPE).ok_or_else(|| missing(TYPE))?;
    match kind.text().ok_or_else(|| wrong_type(TYPE, "a string"))?.as_ref() {
        "text" => check_all(part, TEXT_PART),
        "refusal" => check_all(part, REFUSAL_PART),
        _ => Err(wrong_value(TYPE, "only parts of type 'text' are served here")),
    }
}
