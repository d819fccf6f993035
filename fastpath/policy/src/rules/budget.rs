//! How many tokens an answer may have: `max_tokens`, `max_completion_tokens`, the arm's default and its maximum.

use super::refuse::{wrong_type, wrong_value};
use crate::decision::Edit;
use crate::json::Object;
use crate::steer::Arm;
use dpu_types::Refusal;

/// The field that the engine gets.
pub(super) const FIELD: &str = "max_tokens";
/// OpenAI's newer name, which not every engine knows.
const NEWER: &str = "max_completion_tokens";

/// Completion tokens of one choice, within the arm's bounds.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    pub(super) tokens: u32,
    pub(super) choices: u32,
    /// The newer field came alone, or beside the older one.
    newer: Option<&'static str>,
    /// The arm changed or made the number.
    arm: Option<Edit>,
}

impl Budget {
    pub(super) fn of(object: Object<'_>, arm: &Arm) -> Result<Self, Refusal> {
        let (older, newer) = (asked(object, FIELD)?, asked(object, NEWER)?);
        let newer_edit = newer.map(|_| if older.is_some() { "smaller_of_two" } else { "renamed" });
        let (tokens, arm_edit) = match older.into_iter().chain(newer).min() {
            None => (arm.max_tokens_default, Some(Edit { field: FIELD, what: "defaulted" })),
            Some(tokens) => match u32::try_from(tokens) {
                Ok(tokens) if tokens <= arm.max_tokens_max => (tokens, None),
                _ => {
                    let field = if newer.is_some() { NEWER } else { FIELD };
                    (arm.max_tokens_max, Some(Edit { field, what: "clamped" }))
                }
            },
        };
        // A value that is no number of choices is refused by its own rule.
        let choices = object.get("n").and_then(|n| u32::try_from(n.integer()?).ok()).unwrap_or(1);
        Ok(Self { tokens, choices, newer: newer_edit, arm: arm_edit })
    }

    pub(super) fn edits(&self) -> impl Iterator<Item = Edit> {
        self.newer.map(|what| Edit { field: NEWER, what }).into_iter().chain(self.arm)
    }
}

fn asked(object: Object<'_>, field: &'static str) -> Result<Option<i64>, Refusal> {
    let Some(value) = object.get(field).filter(|value| !value.is_null()) else { return Ok(None) };
    let tokens = value.integer().ok_or_else(|| wrong_type(field, "a whole number"))?;
    if tokens < 1 {
        Err(wrong_value(field, "allowed are 1 and more"))
    } else {
        Ok(Some(tokens))
    }
}
