//! `prompt` of completions and `input` of embeddings: text, or token ids.

use super::kind::Kind;
use super::refuse::{within, wrong_type, wrong_value};
use crate::json::{Items, Value};
use dpu_types::Refusal;

/// As OpenAI allows.
const INPUTS_MAX: usize = 2_048;
const TOKEN_ID: Kind = Kind::Integer(0, i32::MAX as i64);
const EXPECTED: &str = "a string, an array of token ids, or an array of one of these";

/// One prompt. Several are several answers, which nothing behind us gives yet.
pub(super) fn check_prompt(value: Value<'_>) -> Result<(), Refusal> {
    check_up_to(value, 1)
}

/// Up to `INPUTS_MAX` inputs.
pub(super) fn check_inputs(value: Value<'_>) -> Result<(), Refusal> {
    check_up_to(value, INPUTS_MAX)
}

fn check_up_to(value: Value<'_>, count_max: usize) -> Result<(), Refusal> {
    if value.is_text() {
        return Ok(());
    }
    let items = value.items().ok_or_else(|| wrong_type("", EXPECTED))?;
    match items.clone().next() {
        None => Err(wrong_value("", "the array is empty")),
        Some(first) if first.number().is_some() => check_tokens(items),
        Some(_) => check_list(items, count_max),
    }
}

fn check_list(items: Items<'_>, count_max: usize) -> Result<(), Refusal> {
    for (i, item) in items.enumerate() {
        if i >= count_max {
            return Err(wrong_value("", format!("allowed are at most {count_max}")));
        }
        if item.is_text() {
            continue;
        }
        let tokens = item.items().ok_or_else(|| within(i, wrong_type("", EXPECTED)))?;
        check_tokens(tokens).map_err(|refusal| within(i, refusal))?;
    }
    Ok(())
}

fn check_tokens(items: Items<'_>) -> Result<(), Refusal> {
    let mut items = items.enumerate();
    items.try_for_each(|(i, token)| TOKEN_ID.check("", token).map_err(|refusal| within(i, refusal)))
}
