//! `response_format`: text, any JSON object, or JSON of a schema.

use super::kind::Kind;
use super::refuse::{missing, under, unknown, wrong_type};
use super::tools::check_size;
use crate::json::Value;
use dpu_types::Refusal;

const SCHEMA: &str = "json_schema";

pub(super) fn check(value: Value<'_>) -> Result<(), Refusal> {
    let format = value.object().ok_or_else(|| wrong_type("", "an object"))?;
    check_size(value)?;
    let kind = format.get("type").ok_or_else(|| missing("type"))?;
    Kind::OneOf(&["text", "json_object", SCHEMA]).check("type", kind)?;
    let wants_schema = kind.text().as_deref() == Some(SCHEMA);
    if let Some((name, _)) =
        format.entries().find(|(name, _)| *name != "type" && !(wants_schema && *name == SCHEMA))
    {
        return Err(unknown(name));
    }
    if wants_schema {
        let schema = format.get(SCHEMA).ok_or_else(|| missing(SCHEMA))?;
        check_schema(schema).map_err(|refusal| under(SCHEMA, refusal))?;
    }
    Ok(())
}

fn check_schema(value: Value<'_>) -> Result<(), Refusal> {
    let schema = value.object().ok_or_else(|| wrong_type("", "an object"))?;
    schema.get("name").ok_or_else(|| missing("name"))?;
    for (name, value) in schema.entries() {
        match name {
            "name" => Kind::TextOf(1, 64).check(name, value)?,
            "description" if !value.is_null() => Kind::Text.check(name, value)?,
            "schema" => Kind::Object.check(name, value)?,
            "strict" if !value.is_null() => Kind::Bool.check(name, value)?,
            "description" | "strict" => {}
            _ => return Err(unknown(name)),
        }
    }
    Ok(())
}
