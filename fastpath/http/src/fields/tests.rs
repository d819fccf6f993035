//! Trace context, the one field that is repaired (by leaving it out) and not refused.

use super::{trace, Single};

const VALID: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_valid_traceparent_is_kept_with_its_state() {
    let kept = trace(Single::One(VALID), &[b"rojo=1", b"congo=2"]);
    assert_eq!(kept.as_ref().map(|kept| kept.text().into_bytes()).as_deref(), Some(VALID));
    assert_eq!(kept.and_then(|kept| kept.state).as_deref(), Some("rojo=1,congo=2"));
}

#[test]
fn a_broken_or_doubled_traceparent_is_left_out_and_its_state_too() {
    assert_eq!(trace(Single::One(&VALID[..54]), &[b"rojo=1"]), None);
    assert_eq!(trace(Single::Absent, &[b"rojo=1"]), None);
    assert_eq!(trace(Single::Many, &[]), None);
}
