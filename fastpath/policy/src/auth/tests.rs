#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Facts about API keys.

use super::*;

fn keys() -> Keys {
    let mut keys = Keys::default();
    assert!(keys.insert(sha256(b"sk-alpha"), TenantIndex(0)));
    assert!(keys.insert(sha256(b"sk-beta"), TenantIndex(1)));
    keys
}

#[test]
fn each_authorization_value_gives_its_tenant_or_reason() {
    let long = [b"Bearer ".as_slice(), &[b'k'; KEY_BYTES_MAX + 1]].concat();
    type Row<'a> = (Option<&'a [u8]>, Result<usize, Reason>);
    let table: [Row<'_>; 13] = [
        (None, Err(Reason::AuthMissing)),
        (Some(b""), Err(Reason::AuthMissing)),
        (Some(b"Bearer"), Err(Reason::AuthMissing)),
        (Some(b"Bearer "), Err(Reason::AuthMissing)),
        (Some(b"Basic c2stYWxwaGE="), Err(Reason::AuthMissing)),
        (Some(b"sk-alpha"), Err(Reason::AuthMissing)),
        (Some(b"Bearer sk-alpha sk-beta"), Err(Reason::AuthMissing)),
        (Some(b"Bearer sk-gamma"), Err(Reason::AuthInvalid)),
        (Some(b"Bearer sk-alph"), Err(Reason::AuthInvalid)),
        (Some(&long), Err(Reason::AuthInvalid)),
        (Some(b"Bearer sk-alpha"), Ok(0)),
        (Some(b"bEARER   sk-beta"), Ok(1)),
        (Some(b"Bearer sk-beta "), Ok(1)),
    ];
    for (value, expected) in table {
        let got = keys().authenticate(value).map(|tenant| tenant.0).map_err(|refusal| refusal.reason);
        assert_eq!(got, expected, "{value:?}");
    }
}

#[test]
fn a_digest_is_taken_once() {
    assert!(!keys().insert(sha256(b"sk-alpha"), TenantIndex(7)));
}

#[test]
fn a_digest_that_shares_the_first_eight_bytes_is_not_the_key() {
    let mut near = sha256(b"sk-alpha");
    near[31] ^= 1;
    let mut keys = Keys::default();
    assert!(keys.insert(near, TenantIndex(3)));
    assert!(keys.tenant_of(&sha256(b"sk-alpha")).is_none());
    assert!(keys.insert(sha256(b"sk-alpha"), TenantIndex(4)));
    assert_eq!(keys.tenant_of(&sha256(b"sk-alpha")), Some(TenantIndex(4)));
}
