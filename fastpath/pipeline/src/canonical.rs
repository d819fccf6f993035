//! The canonical form of JSON for whoever wants to compare it with another implementation's.

use dpu_policy::json::{canonical, Tree, DEPTH_HARD_MAX};
use dpu_policy::JsonLimits;

/// Bytes of a document; far above any body that a listener takes.
const BYTES_MAX: usize = 1 << 26;

/// The RFC 8785 form of a document.
///
/// # Errors
/// The name of the reason for which a request with this body is refused, and where.
pub fn json(document: &[u8]) -> Result<Vec<u8>, String> {
    let limits = JsonLimits { depth_max: DEPTH_HARD_MAX, body_bytes_max: BYTES_MAX };
    Tree::parse(document, limits).map(|tree| canonical::to_vec(&tree)).map_err(|error| error.to_string())
}
