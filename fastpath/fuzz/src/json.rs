//! JSON and its canonical form (RFC 8259, RFC 7493, RFC 8785).

use dpu_policy::json::{canonical, JsonLimits, Tree};

const LIMITS: JsonLimits = JsonLimits { depth_max: 64, body_bytes_max: 1 << 16 };

/// A document: what is accepted has one form, which reads back as itself; and nothing cut short is a document.
pub fn json(bytes: &[u8]) {
    let Ok(tree) = Tree::parse(bytes, LIMITS) else { return };
    let form = canonical::to_vec(&tree);
    // Escapes are written shorter or as they were; only numbers can grow (1e20 to 21 digits), 6-fold at the worst.
    let room = JsonLimits { body_bytes_max: 8 * LIMITS.body_bytes_max, ..LIMITS };
    let again = Tree::parse(&form, room).expect("a canonical form is JSON");
    assert_eq!(canonical::to_vec(&again), form, "the form of the form is the form");
    assert!(std::str::from_utf8(&form).is_ok());
    let container = matches!(bytes.trim_ascii().first(), Some(b'{' | b'['));
    if container && bytes.len() < 200 {
        let end = bytes.trim_ascii_end().len();
        for cut in 0..end {
            assert!(Tree::parse(&bytes[..cut], LIMITS).is_err(), "cut at {cut}");
        }
    }
}
