//! JSON Web Tokens: none is taken but one that was signed as it is.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use dpu_policy::{KeyFiles, LimitState, Policy, TokenCache};
use dpu_types::plan;
use std::cell::OnceCell;

const SECRET: [u8; 32] = [7; 32];
const NOW_S: u64 = 1_700_000_000;
const HEADER: &str = r#"{"alg":"EdDSA","kid":"k","typ":"JWT"}"#;
/// Claims that are taken.
pub const CLAIMS: &str =
    r#"{"iss":"https://issuer","aud":"dpu","exp":1700000100,"nbf":1699999999,"team":"a"}"#;

thread_local! {
    static POLICY: OnceCell<Policy> = const { OnceCell::new() };
}

/// A first byte of `S`: the rest are claims, which are signed here; else all of it is a token.
pub fn token(bytes: &[u8]) {
    let _ = accepted(bytes);
}

/// The same; whether it was accepted.
#[must_use]
pub fn accepted(bytes: &[u8]) -> bool {
    let token = match bytes.strip_prefix(b"S") {
        Some(claims) => signed(HEADER.as_bytes(), claims).into_bytes(),
        None => bytes.to_vec(),
    };
    if !is_taken(&token) {
        return false;
    }
    // No byte of it can be another one: base64url has one form, and the signature is over the rest.
    for at in 0..token.len() {
        let mut other = token.clone();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        assert!(!is_taken(&other), "byte {at} does not matter");
    }
    true
}

fn is_taken(token: &[u8]) -> bool {
    let value = [b"Bearer ".as_slice(), token].concat();
    POLICY.with(|cell| {
        let policy = cell.get_or_init(policy);
        let mut cache = TokenCache::default();
        let first = policy.authenticate(Some(&value), NOW_S, &mut cache);
        assert_eq!(first, policy.authenticate(Some(&value), NOW_S, &mut cache), "the cache changes nothing");
        first.is_ok()
    })
}

/// A token with these parts and a good signature.
#[must_use]
pub fn signed(header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", base64url(header), base64url(claims));
    let signature = key().sign(message.as_bytes());
    format!("{message}.{}", base64url(signature.as_ref()))
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&SECRET).expect("32 bytes are a key")
}

fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let group = |group: &[u8]| {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        let letter = move |place: usize| char::from(LETTERS[(bits >> (18 - 6 * place)) as usize & 63]);
        (0..=group.len()).map(letter).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

/// One tenant whose tokens come from one issuer with one key.
fn policy() -> Policy {
    let jwks = format!(
        r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","alg":"EdDSA","x":"{}"}}]}}"#,
        base64url(key().public_key().as_ref())
    );
    let jwt = plan::Jwt {
        issuer: "https://issuer".into(),
        audience: "dpu".into(),
        jwks_file: "jwks".into(),
        claims: [("team".into(), "a".into())].into(),
        algorithms: vec!["EdDSA".into(), "ES256".into()],
        ..plan::Jwt::default()
    };
    let tenant = plan::Tenant { name: "alpha".into(), jwt: vec![jwt], ..plan::Tenant::default() };
    let plan = plan::Plan { tenants: vec![tenant], ..plan::Plan::default() };
    let files: KeyFiles = [("jwks".into(), jwks.into_bytes())].into();
    Policy::build_with(&plan, &LimitState::default(), &files).expect("the plan is sound")
}
