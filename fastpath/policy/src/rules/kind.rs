//! What a field may hold.

use super::refuse::{wrong_type, wrong_value};
use crate::json::Value;
use dpu_types::Refusal;

/// The type and the bounds of a field.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Anything: the field is dropped unread.
    Any,
    /// `true` or `false`.
    Bool,
    /// A string.
    Text,
    /// A string of so many bytes, both ends included.
    TextOf(usize, usize),
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A whole number, both ends included.
    Integer(i64, i64),
    /// A number, both ends included.
    Number(f64, f64),
    /// An object, whatever is in it.
    Object,
    /// An array, whatever is in it.
    Array,
    /// A structure with a rule of its own; params of its refusals start below the field.
    Check(fn(Value<'_>) -> Result<(), Refusal>),
}

impl Kind {
    /// # Errors
    /// `field_type` or `field_value` (or what a structure's rule says) at `name`.
    pub(super) fn check(self, name: &str, value: Value<'_>) -> Result<(), Refusal> {
        match self {
            Self::Any => Ok(()),
            Self::Bool => typed(value.boolean().is_some(), name, "true or false"),
            Self::Text => typed(value.is_text(), name, "a string"),
            Self::TextOf(min, max) => check_text(name, value, min, max),
            Self::OneOf(words) => check_word(name, value, words),
            Self::Integer(min, max) => check_integer(name, value, min, max),
            Self::Number(min, max) => check_number(name, value, min, max),
            Self::Object => typed(value.object().is_some(), name, "an object"),
            Self::Array => typed(value.items().is_some(), name, "an array"),
            Self::Check(check) => check(value).map_err(|refusal| super::refuse::under(name, refusal)),
        }
    }
}

fn typed(fits: bool, name: &str, expected: &str) -> Result<(), Refusal> {
    if fits {
        Ok(())
    } else {
        Err(wrong_type(name, expected))
    }
}

fn check_text(name: &str, value: Value<'_>, min: usize, max: usize) -> Result<(), Refusal> {
    let text = value.text().ok_or_else(|| wrong_type(name, "a string"))?;
    if !(min..=max).contains(&text.len()) {
        return Err(wrong_value(name, format!("allowed are {min} to {max} bytes")));
    }
    Ok(())
}

fn check_word(name: &str, value: Value<'_>, words: &[&str]) -> Result<(), Refusal> {
    let text = value.text().ok_or_else(|| wrong_type(name, "a string"))?;
    if words.contains(&&*text) {
        return Ok(());
    }
    Err(wrong_value(name, format!("allowed are {}", words.join(", "))))
}

fn check_integer(name: &str, value: Value<'_>, min: i64, max: i64) -> Result<(), Refusal> {
    let number = value.integer().ok_or_else(|| wrong_type(name, "a whole number"))?;
    if (min..=max).contains(&number) {
        return Ok(());
    }
    Err(wrong_value(name, format!("allowed are {min} to {max}")))
}

fn check_number(name: &str, value: Value<'_>, min: f64, max: f64) -> Result<(), Refusal> {
    let number = value.number().ok_or_else(|| wrong_type(name, "a number"))?;
    if (min..=max).contains(&number) {
        return Ok(());
    }
    Err(wrong_value(name, format!("allowed are {min} to {max}")))
}
