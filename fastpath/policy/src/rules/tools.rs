//! `tools` and `tool_choice`: functions that the model may call.

use super::kind::Kind;
use super::refuse::{missing, under, unknown, within, wrong_type, wrong_value};
use crate::json::{Object, Value};
use dpu_types::Refusal;

/// As OpenAI allows.
const TOOLS_MAX: usize = 128;
/// As OpenAI allows.
const NAME_BYTES_MAX: usize = 64;
/// Values and keys of all tools together: engines turn schemas into grammars, which costs far more than reading them.
pub(super) const SCHEMA_NODES_MAX: u32 = 16_384;

pub(super) fn check(value: Value<'_>) -> Result<(), Refusal> {
    let items = value.items().ok_or_else(|| wrong_type("", "an array"))?;
    check_size(value)?;
    for (i, tool) in items.enumerate() {
        if i >= TOOLS_MAX {
            return Err(wrong_value("", format!("allowed are at most {TOOLS_MAX}")));
        }
        check_tool(tool).map_err(|refusal| within(i, refusal))?;
    }
    Ok(())
}

/// # Errors
/// `field_value` where a schema has more than `SCHEMA_NODES_MAX` values and keys.
pub(super) fn check_size(value: Value<'_>) -> Result<(), Refusal> {
    if value.nodes() > SCHEMA_NODES_MAX {
        return Err(wrong_value("", format!("allowed are at most {SCHEMA_NODES_MAX} values and keys")));
    }
    Ok(())
}

fn check_tool(tool: Value<'_>) -> Result<(), Refusal> {
    let tool = tool.object().ok_or_else(|| wrong_type("", "an object"))?;
    check_type(tool)?;
    let function = tool.get("function").ok_or_else(|| missing("function"))?;
    check_function(function).map_err(|refusal| under("function", refusal))?;
    only_type_and_function(tool)
}

fn check_type(object: Object<'_>) -> Result<(), Refusal> {
    let kind = object.get("type").ok_or_else(|| missing("type"))?;
    Kind::OneOf(&["function"]).check("type", kind)
}

fn only_type_and_function(object: Object<'_>) -> Result<(), Refusal> {
    let stranger = object.entries().find(|(name, _)| !matches!(*name, "type" | "function"));
    stranger.map_or(Ok(()), |(name, _)| Err(unknown(name)))
}

fn check_function(function: Value<'_>) -> Result<(), Refusal> {
    let function = function.object().ok_or_else(|| wrong_type("", "an object"))?;
    check_name(function)?;
    for (name, value) in function.entries().filter(|(_, value)| !value.is_null()) {
        match name {
            "name" => {}
            "description" => Kind::Text.check(name, value)?,
            "parameters" => Kind::Object.check(name, value)?,
            "strict" => Kind::Bool.check(name, value)?,
            _ => return Err(unknown(name)),
        }
    }
    Ok(())
}

/// Answers carry the name: letters, digits, '_' and '-', as OpenAI allows.
fn check_name(object: Object<'_>) -> Result<(), Refusal> {
    let value = object.get("name").ok_or_else(|| missing("name"))?;
    let name = value.text().ok_or_else(|| wrong_type("name", "a string"))?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
        return Err(wrong_value(
            "name",
            format!("allowed are 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9, '_', '-'"),
        ));
    }
    Ok(())
}

/// "none", "auto", "required", or one function by name.
pub(super) fn check_choice(value: Value<'_>) -> Result<(), Refusal> {
    if value.is_text() {
        return Kind::OneOf(&["none", "auto", "required"]).check("", value);
    }
    let choice = value.object().ok_or_else(|| wrong_type("", "a string or an object"))?;
    check_type(choice)?;
    let function = choice.get("function").ok_or_else(|| missing("function"))?;
    let named = function.object().ok_or_else(|| wrong_type("function", "an object"))?;
    check_name(named).map_err(|refusal| under("function", refusal))?;
    if let Some((name, _)) = named.entries().find(|(name, _)| *name != "name") {
        return Err(under("function", unknown(name)));
    }
    only_type_and_function(choice)
}
