//! Canonical.
/// String.
pub fn write_string(out: &mut Vec<u8>, text: &str) { out.extend_from_slice(text.as_bytes()); }
