//! Tokens against the policy: what is taken, what each flaw is called, and what is remembered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair, ECDSA_P256_SHA256_FIXED_SIGNING, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256,
};
use dpu_policy::{KeyFiles, LimitState, Policy, TokenCache, TokenCounts};
use dpu_types::{plan, Reason};

const ISSUER: &str = "https://issuer.test";
const NOW_S: u64 = 1_800_000_000;

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for part in bytes.chunks(3) {
        let bits = part.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        let digits = (0..=part.len()).map(|at| DIGITS[(bits >> (18 - 6 * at) & 63) as usize] as char);
        out.extend(digits);
    }
    out
}

/// The issuer's keys.
struct Keys {
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    rsa: RsaKeyPair,
}

impl Keys {
    fn new() -> Self {
        let rsa = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self {
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
            rsa,
        }
    }

    fn jwks(&self) -> String {
        let point = self.ec.public_key().as_ref();
        let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
        let ed = base64url(self.ed.public_key().as_ref());
        // RSAPublicKey of 2048 bits: SEQUENCE { INTEGER n (257 bytes with its sign), INTEGER 65537 }.
        let n = base64url(&self.rsa.public_key().as_ref()[9..265]);
        let e = "AQAB";
        format!(
            r#"{{"keys":[
              {{"kty":"EC","crv":"P-256","kid":"ec","use":"sig","alg":"ES256","x":"{x}","y":"{y}"}},
              {{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"{ed}"}},
              {{"kty":"RSA","kid":"rsa","key_ops":["verify"],"n":"{n}","e":"{e}"}},
              {{"kty":"RSA","kid":"wrap","use":"enc","n":"{n}","e":"{e}"}},
              {{"kty":"EC","crv":"P-521","kid":"big","x":"AA","y":"AA"}}]}}"#
        )
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let rsa = |padding: &'static dyn aws_lc_rs::signature::RsaEncoding| {
            let mut out = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(padding, &random, message, &mut out).unwrap();
            out
        };
        match algorithm {
            "ES256" => self.ec.sign(&random, message).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(message).as_ref().to_vec(),
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "PS256" => rsa(&RSA_PSS_SHA256),
            _ => Vec::new(),
        }
    }

    fn token(&self, algorithm: &str, kid: &str, claims: &str) -> String {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT","kid":"{kid}"}}"#);
        self.token_with(&header, algorithm, claims)
    }

    fn token_with(&self, header: &str, algorithm: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
        format!("{signed}.{}", base64url(&self.sign(algorithm, signed.as_bytes())))
    }
}

fn entry(tenant: &str, algorithms: &[&str]) -> plan::Jwt {
    plan::Jwt {
        issuer: ISSUER.into(),
        audience: "dpu".into(),
        jwks_file: "keys.json".into(),
        claims: [("tenant".into(), tenant.into())].into(),
        algorithms: algorithms.iter().map(|name| (*name).into()).collect(),
        leeway_ms: 30_000,
    }
}

const ALL: &[&str] = &["ES256", "EdDSA", "RS256", "PS256"];

fn policy(jwks: &str, entries: Vec<plan::Jwt>) -> Result<Policy, Vec<plan::Problem>> {
    let named =
        |(index, jwt)| plan::Tenant { name: format!("t{index}"), jwt: vec![jwt], ..plan::Tenant::default() };
    let plan = plan::Plan {
        token_cache_entries_max: 4,
        tenants: entries.into_iter().enumerate().map(named).collect(),
        ..plan::Plan::default()
    };
    let files = KeyFiles::from([("keys.json".to_owned(), jwks.as_bytes().to_vec())]);
    Policy::build_with(&plan, &LimitState::new(), &files)
}

fn ask(policy: &Policy, token: &str, now_s: u64, cache: &mut TokenCache) -> Result<String, Reason> {
    let value = format!("Bearer {token}");
    let tenant = policy.authenticate(Some(value.as_bytes()), now_s, cache);
    tenant.map(|tenant| policy.tenant_name(tenant).to_string()).map_err(|refusal| refusal.reason)
}

fn claims(tenant: &str) -> String {
    format!(r#"{{"iss":"{ISSUER}","aud":"dpu","tenant":"{tenant}","exp":{}}}"#, NOW_S + 60)
}

#[test]
fn each_algorithm_is_verified_and_names_the_tenant() {
    let keys = Keys::new();
    let policy = policy(&keys.jwks(), vec![entry("a", ALL), entry("b", ALL)]).unwrap();
    let cache = &mut TokenCache::default();
    for (algorithm, kid) in [("ES256", "ec"), ("EdDSA", "ed"), ("RS256", "rsa"), ("PS256", "rsa")] {
        for (claim, tenant) in [("a", "t0"), ("b", "t1")] {
            let token = keys.token(algorithm, kid, &claims(claim));
            assert_eq!(ask(&policy, &token, NOW_S, cache), Ok(tenant.into()), "{algorithm}");
        }
    }
}

#[test]
fn a_wrong_token_is_refused_by_what_is_wrong_with_it() {
    let keys = Keys::new();
    let (stranger, jwks) = (Keys::new(), keys.jwks());
    let policy = policy(&jwks, vec![entry("a", &["ES256", "RS256"]), entry("b", ALL)]).unwrap();
    let good = claims("a");
    let signed = keys.token("ES256", "ec", &good);
    let with = |claims: &str| keys.token("ES256", "ec", claims);
    let header = |header: &str| keys.token_with(header, "ES256", &good);
    let (left, signature) = signed.rsplit_once('.').unwrap();
    // Its first letter: all bits of it count.
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    use Reason::{AuthInvalid, AuthTokenAudience, AuthTokenClaims, AuthTokenEarly, AuthTokenExpired};
    let table = [
        (signed.clone(), Ok("t0".to_owned())),
        (stranger.token("ES256", "ec", &good), Err(AuthInvalid)),
        (format!("{left}."), Err(AuthInvalid)),
        (format!("{left}.{other}{}", &signature[1..]), Err(AuthInvalid)),
        (format!("{signed}="), Err(AuthInvalid)),
        (format!("{signed}.e30"), Err(AuthInvalid)),
        (keys.token("none", "ec", &good), Err(AuthInvalid)),
        (keys.token("HS256", "ec", &good), Err(AuthInvalid)),
        (keys.token("RS256", "ec", &good), Err(AuthInvalid)),
        (keys.token("ES256", "gone", &good), Err(AuthInvalid)),
        (keys.token("RS256", "wrap", &good), Err(AuthInvalid)),
        (header(r#"{"kid":"ec"}"#), Err(AuthInvalid)),
        (header(r#"{"alg":"ES256","kid":"ec","crit":["exp"]}"#), Err(AuthInvalid)),
        (header(r#"{"alg":"none","alg":"ES256","kid":"ec"}"#), Err(AuthInvalid)),
        (header(r#"["ES256"]"#), Err(AuthInvalid)),
        (header(r#"{"alg":"ES256"}"#), Ok("t0".to_owned())),
        (with(&good.replace(ISSUER, "https://other.test")), Err(AuthInvalid)),
        (with(&good.replace(r#""aud":"dpu""#, r#""aud":["x","dpu"]"#)), Ok("t0".to_owned())),
        (with(&good.replace(r#""aud":"dpu""#, r#""aud":["x"]"#)), Err(AuthTokenAudience)),
        (with(&good.replace(r#""aud":"dpu","#, "")), Err(AuthTokenAudience)),
        (with(&claims("nobody")), Err(AuthTokenClaims)),
        (with(&good.replace(r#""tenant":"a""#, r#""tenant":["a"]"#)), Err(AuthTokenClaims)),
        (with(&good.replace(r#""tenant":"a""#, r#""tenant":"a","tenant":"b""#)), Err(AuthInvalid)),
        (with(&good.replace(r#","exp":1800000060"#, "")), Err(AuthInvalid)),
        (with(&good.replace("1800000060", r#""1800000060""#)), Err(AuthInvalid)),
        (with(&good.replace("1800000060", "-1")), Err(AuthInvalid)),
        (with(&good.replace("1800000060", "1799999970")), Err(AuthTokenExpired)),
        (with(&good.replace("1800000060", "1799999971")), Ok("t0".to_owned())),
        (with(&good.replace(r#""exp""#, r#""nbf":1800000031,"exp""#)), Err(AuthTokenEarly)),
        (with(&good.replace(r#""exp""#, r#""nbf":1800000030,"exp""#)), Ok("t0".to_owned())),
        // Tenant a does not take EdDSA, b does; the claims then decide.
        (keys.token("EdDSA", "ed", &good), Err(AuthTokenClaims)),
        (format!("{}.{}", "A".repeat(9000), "e30.AA"), Err(AuthInvalid)),
    ];
    for (row, (token, expected)) in table.into_iter().enumerate() {
        assert_eq!(ask(&policy, &token, NOW_S, &mut TokenCache::default()), expected, "row {row}");
    }
}

#[test]
fn a_known_token_costs_no_signature_check_until_it_expires() {
    let keys = Keys::new();
    let policy = policy(&keys.jwks(), vec![entry("a", ALL)]).unwrap();
    let (token, mut cache) = (keys.token("ES256", "ec", &claims("a")), TokenCache::default());
    for _ in 0..3 {
        assert_eq!(ask(&policy, &token, NOW_S, &mut cache), Ok("t0".into()));
    }
    assert_eq!(cache.counts(), TokenCounts { hits: 2, misses: 1, evicted: 0 });
    assert_eq!(ask(&policy, &token, NOW_S + 89, &mut cache), Ok("t0".into()));
    assert_eq!(ask(&policy, &token, NOW_S + 90, &mut cache), Err(Reason::AuthTokenExpired));
}

#[test]
fn a_cache_is_bounded_and_forgets_with_the_policy() {
    let keys = Keys::new();
    let make = || policy(&keys.jwks(), vec![entry("a", ALL)]).unwrap();
    let (one, other, mut cache) = (make(), make(), TokenCache::default());
    for number in 0..20 {
        let claims = claims("a").replace("\"exp\"", &format!("\"jti\":\"{number}\",\"exp\""));
        ask(&one, &keys.token("EdDSA", "ed", &claims), NOW_S, &mut cache).unwrap();
        assert!(cache.entries() <= 4, "{}", cache.entries());
    }
    assert_eq!((cache.entries(), cache.counts().evicted), (4, 16));
    ask(&other, &keys.token("EdDSA", "ed", &claims("a")), NOW_S, &mut cache).unwrap();
    assert_eq!(cache.entries(), 1);
}

#[test]
fn a_stranger_cannot_fill_the_cache() {
    let (keys, stranger) = (Keys::new(), Keys::new());
    let policy = policy(&keys.jwks(), vec![entry("a", ALL)]).unwrap();
    let mut cache = TokenCache::default();
    assert!(ask(&policy, &stranger.token("ES256", "ec", &claims("a")), NOW_S, &mut cache).is_err());
    assert_eq!(cache.entries(), 0);
}

#[test]
fn key_files_that_cannot_be_used_are_refused() {
    let good = Keys::new().jwks();
    let first = good.find("\"crv\"").unwrap();
    for (what, file) in [
        ("no JSON", "hello".to_owned()),
        ("no keys", "{}".to_owned()),
        ("an empty list", r#"{"keys":[]}"#.to_owned()),
        ("a secret", r#"{"keys":[{"kty":"oct","k":"AA"}]}"#.to_owned()),
        ("a private part", format!("{}\"d\":\"AA\",{}", &good[..first], &good[first..])),
        ("two of one name", good.replace(r#""kid":"ed""#, r#""kid":"ec""#)),
        ("a short point", good.replacen("\"x\":\"", "\"x\":\"AA\",\"z\":\"", 1)),
        ("a short modulus", good.replacen("\"n\":\"", "\"n\":\"AQAB\",\"m\":\"", 1)),
        ("no base64url", good.replacen("\"y\":\"", "\"y\":\"=\",\"z\":\"", 1)),
    ] {
        let problems = policy(&file, vec![entry("a", ALL)]).unwrap_err();
        assert_eq!(problems[0].entry, "tenants[0].jwt[0].jwks_file", "{what}");
    }
    for (what, algorithms) in [("HMAC", &["HS256"][..]), ("none", &["none"]), ("nothing", &[])] {
        let problems = policy(&good, vec![entry("a", algorithms)]).unwrap_err();
        assert_eq!(problems[0].entry, "tenants[0].jwt[0].algorithms", "{what}");
    }
}
