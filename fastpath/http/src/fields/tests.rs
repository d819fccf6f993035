//! Trace context, the one field that is repaired (by leaving it out) and not refused.

use super::{traceparent, Single};

const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_valid_traceparent_is_kept() {
    assert_eq!(traceparent(Single::One(VALID.as_bytes())).as_deref(), Some(VALID));
}

#[test]
fn a_later_version_is_read_as_ours() {
    let later = format!("cc{}-more", &VALID[2..]);
    assert_eq!(traceparent(Single::One(later.as_bytes())).as_deref(), Some(VALID));
}

#[test]
fn a_broken_traceparent_is_left_out() {
    let zero_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
    let zero_span = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16));
    for value in [
        "",
        &VALID[..54],
        &VALID.to_uppercase(),
        &VALID.replace('-', "_"),
        &format!("{VALID}-more"),
        &format!("cc{}more", &VALID[2..]),
        &format!("ff{}", &VALID[2..]),
        &zero_trace,
        &zero_span,
    ] {
        assert_eq!(traceparent(Single::One(value.as_bytes())), None, "{value}");
    }
    assert_eq!(traceparent(Single::Many), None);
}
