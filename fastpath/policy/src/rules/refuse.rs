//! The refusals of rules. Params are JSON paths; a rule inside says its own part, and its parent puts the path before.

use dpu_types::{Reason, Refusal};

/// Characters of a name of the caller's that an answer repeats.
const NAME_CHARS_MAX: usize = 64;

/// The field has another type.
pub(super) fn wrong_type(param: &str, expected: &str) -> Refusal {
    Refusal::from(Reason::FieldType).at(param).because(format!("expected {expected}"))
}

/// The field has the right type and a value that is not allowed.
pub(super) fn wrong_value(param: &str, why: impl Into<String>) -> Refusal {
    Refusal::from(Reason::FieldValue).at(param).because(why)
}

/// The field has to be there.
pub(super) fn missing(param: &str) -> Refusal {
    Refusal::from(Reason::FieldMissing).at(param)
}

/// A field that no rule names, in OpenAI's words.
pub(super) fn unknown(name: &str) -> Refusal {
    let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
    let detail = format!("Unrecognized request argument supplied: {shown}");
    Refusal::from(Reason::FieldUnknown).at(shown).because(detail)
}

/// The same refusal one level further out: "role" under "messages[0]" is "messages[0].role".
pub(super) fn under(parent: impl std::fmt::Display, mut refusal: Refusal) -> Refusal {
    let param = match refusal.param.as_deref() {
        None | Some("") => parent.to_string(),
        Some(child) if child.starts_with('[') => format!("{parent}{child}"),
        Some(child) => format!("{parent}.{child}"),
    };
    refusal.param = Some(param);
    refusal
}

/// The same refusal inside element `index` of a list.
pub(super) fn within(index: usize, refusal: Refusal) -> Refusal {
    under(format_args!("[{index}]"), refusal)
}
