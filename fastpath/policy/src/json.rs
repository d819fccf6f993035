//! Strict JSON: one pass over a body into a compact tree, and its canonical form.
//!
//! RFC 8259 in the narrow form of I-JSON (RFC 7493), narrower still where two readers could see two things: UTF-8
//! without a byte order mark, no key twice in an object at any depth, no half surrogate pairs, no number that a double
//! cannot hold, and no integer beyond 2^53. Size, depth and time are bounded: a body of n bytes costs O(n log n) and
//! at most about 10 n bytes of memory.

pub mod canonical;
mod number;
mod parser;
mod text;
mod tree;

use dpu_types::{Reason, Refusal};

pub use tree::{Items, Object, Tree, Value, View};

/// However the limits are configured, nothing nests deeper: the writer of the canonical form recurses.
pub const DEPTH_HARD_MAX: usize = 512;

/// How large a body may be. Both come from the listener's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLimits {
    /// Containers within containers, the outermost counted as 1; at most [`DEPTH_HARD_MAX`] counts.
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

impl JsonError {
    const fn syntax(at: usize) -> Self {
        Self { reason: Reason::JsonSyntax, at }
    }
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        Self::from(error.reason).because(format!("at byte {}", error.at))
    }
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}", self.reason.info().name, self.at)
    }
}

impl std::error::Error for JsonError {}

#[cfg(test)]
mod tests;
