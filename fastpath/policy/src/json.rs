//! Strict JSON: one pass over a body into a compact tree, and its canonical form.

pub mod canonical;

use dpu_types::{Reason, Refusal};

/// How large a body may be. Both come from the listener's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLimits {
    /// Containers within containers; the outermost counts as 1.
    pub depth_max: usize,
    /// Bytes of the whole body.
    pub body_bytes_max: usize,
}

/// Why bytes are not a body that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// One of `json_*`, or `http_body_too_large`.
    pub reason: Reason,
    /// Where, in bytes from the start of the body.
    pub at: usize,
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        Self::from(error.reason).because(format!("at byte {}", error.at))
    }
}

/// A parsed body.
#[derive(Debug)]
pub struct Tree;

/// A value in it.
pub struct Value;

impl Tree {
    /// Parses.
    pub fn parse(_body: &[u8], _limits: JsonLimits) -> Result<Self, JsonError> {
        Err(JsonError { reason: Reason::JsonSyntax, at: 0 })
    }
}
