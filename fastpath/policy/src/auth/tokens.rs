//! JSON Web Tokens (RFC 7519) by the rules of RFC 8725: the algorithm, the keys and the claims are the plan's to say.
//!
//! Not the `jsonwebtoken` crate: it reads the wall clock itself (here time comes in), takes an object's duplicate
//! keys, and brings serde_json along. aws-lc checks the signatures, as it would there.

use super::base64url;
use super::jwks::{Algorithm, KeySet};
use crate::json::{JsonLimits, Object, Tree};
use crate::TenantIndex;
use dpu_types::{plan, Reason, Refusal};
use std::collections::HashMap;

/// Longest token that is looked at.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 * 1024;
const LIMITS: JsonLimits = JsonLimits { depth_max: 16, body_bytes_max: TOKEN_BYTES_MAX };

/// One tenant's tokens of one issuer.
#[derive(Debug)]
struct Rule {
    tenant: TenantIndex,
    audience: String,
    claims: Vec<(String, String)>,
    algorithms: Vec<Algorithm>,
    leeway_s: u64,
}

#[derive(Debug)]
struct Issuer {
    file: String,
    keys: KeySet,
    rules: Vec<Rule>,
}

/// Every issuer of the plan.
#[derive(Debug, Default)]
pub(crate) struct Issuers(HashMap<String, Issuer>);

/// A token that was verified: whose it is, and in which seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub tenant: TenantIndex,
    pub from_s: u64,
    pub until_s: u64,
}

impl Verified {
    /// # Errors
    /// `auth_token_expired` or `auth_token_early`.
    pub(crate) fn at(self, now_s: u64) -> Result<TenantIndex, Refusal> {
        match now_s {
            now_s if now_s >= self.until_s => Err(Reason::AuthTokenExpired.into()),
            now_s if now_s < self.from_s => Err(Reason::AuthTokenEarly.into()),
            _ => Ok(self.tenant),
        }
    }
}

impl Issuers {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a tenant's entry; `file` is what its JWKS file holds.
    ///
    /// # Errors
    /// The field at fault and what is wrong with it, for people.
    pub(crate) fn insert(
        &mut self,
        entry: &plan::Jwt,
        tenant: TenantIndex,
        file: Option<&[u8]>,
    ) -> Result<(), (&'static str, String)> {
        if entry.issuer.is_empty() || entry.audience.is_empty() {
            return Err(("issuer", "issuer and audience have to be named".into()));
        }
        let named = |name: &String| {
            Algorithm::named(name).ok_or_else(|| ("algorithms", format!("'{name}' is not one that is taken")))
        };
        let algorithms = entry.algorithms.iter().map(named).collect::<Result<Vec<_>, _>>()?;
        if algorithms.is_empty() {
            return Err(("algorithms", "there is none".into()));
        }
        let rule = Rule {
            tenant,
            audience: entry.audience.clone(),
            claims: entry.claims.clone().into_iter().collect(),
            algorithms,
            leeway_s: u64::from(entry.leeway_ms).div_ceil(1000),
        };
        if let Some(issuer) = self.0.get_mut(&entry.issuer) {
            if issuer.file != entry.jwks_file {
                return Err(("jwks_file", "the issuer has another file elsewhere".into()));
            }
            issuer.rules.push(rule);
            return Ok(());
        }
        let file = file.ok_or_else(|| ("jwks_file", "was not read".to_owned()))?;
        let keys = KeySet::parse(file).map_err(|what| ("jwks_file", what))?;
        let issuer = Issuer { file: entry.jwks_file.clone(), keys, rules: vec![rule] };
        self.0.insert(entry.issuer.clone(), issuer);
        Ok(())
    }

    /// Checks a token: one signature, and none before its issuer, key and algorithm are known ones.
    ///
    /// # Errors
    /// `auth_invalid` until the signature holds, then what is wrong with the claims.
    pub(crate) fn verify(&self, token: &[u8]) -> Result<Verified, Refusal> {
        let parts = Parts::of(token).ok_or_else(|| invalid("it is not a signed JWT"))?;
        let header =
            Tree::parse(&parts.header, LIMITS).map_err(|_| invalid("its header is not valid JSON"))?;
        let header = header.root().object().ok_or_else(|| invalid("its header is not an object"))?;
        let claims =
            Tree::parse(&parts.claims, LIMITS).map_err(|_| invalid("its claims are not valid JSON"))?;
        let claims = claims.root().object().ok_or_else(|| invalid("its claims are not an object"))?;
        let issuer = text(claims, "iss").and_then(|name| self.0.get(&*name));
        let issuer = issuer.ok_or_else(|| invalid("its issuer is not known here"))?;
        let algorithm = issuer.check_signature(header, &parts)?;
        issuer.judge(claims, algorithm)
    }
}

impl Issuer {
    fn check_signature(&self, header: Object<'_>, parts: &Parts<'_>) -> Result<Algorithm, Refusal> {
        if header.get("crit").is_some() {
            // RFC 7515, 4.1.11: what we do not understand and must is not ours to ignore.
            return Err(invalid("its header has critical extensions"));
        }
        let algorithm = text(header, "alg").and_then(|name| Algorithm::named(&name));
        let taken = algorithm.filter(|a| self.rules.iter().any(|rule| rule.algorithms.contains(a)));
        let algorithm = taken.ok_or_else(|| invalid("its algorithm is not taken"))?;
        let id = text(header, "kid");
        let key = self.keys.find(id.as_deref(), algorithm);
        let key = key.ok_or_else(|| invalid("its key is not among those of the issuer"))?;
        if !key.verifies(algorithm, parts.signed, &parts.signature) {
            return Err(invalid("its signature is wrong"));
        }
        Ok(algorithm)
    }

    /// The one tenant that the claims name.
    fn judge(&self, claims: Object<'_>, algorithm: Algorithm) -> Result<Verified, Refusal> {
        let audience = |rule: &&Rule| rule.algorithms.contains(&algorithm) && is_for(claims, &rule.audience);
        let matching: Vec<_> = self.rules.iter().filter(audience).collect();
        if matching.is_empty() {
            return Err(Reason::AuthTokenAudience.into());
        }
        let has_all = |rule: &&Rule| {
            rule.claims
                .iter()
                .all(|(name, wanted)| text(claims, name).is_some_and(|is| is == wanted.as_str()))
        };
        let mut rules = matching.into_iter().filter(has_all);
        let rule = rules.next().ok_or(Reason::AuthTokenClaims)?;
        if rules.any(|other| other.tenant != rule.tenant) {
            return Err(invalid("it belongs to more than one tenant"));
        }
        let expires = time(claims, "exp")?.ok_or_else(|| invalid("it never expires: 'exp' is missing"))?;
        let begins = time(claims, "nbf")?.unwrap_or(0);
        Ok(Verified {
            tenant: rule.tenant,
            from_s: begins.saturating_sub(rule.leeway_s),
            until_s: expires.saturating_add(rule.leeway_s),
        })
    }
}

/// The three parts of a compact JWS (RFC 7515, 7.1).
struct Parts<'a> {
    header: Vec<u8>,
    claims: Vec<u8>,
    signature: Vec<u8>,
    /// The first two with their dot, as they came.
    signed: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(token: &'a [u8]) -> Option<Self> {
        let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
        let (first, second) = (dots.next()?, dots.next()?);
        if dots.next().is_some() {
            return None;
        }
        Some(Self {
            header: base64url(&token[..first])?,
            claims: base64url(&token[first + 1..second])?,
            signature: base64url(&token[second + 1..])?,
            signed: &token[..second],
        })
    }
}

fn text<'t>(of: Object<'t>, name: &str) -> Option<std::borrow::Cow<'t, str>> {
    of.get(name).and_then(|value| value.text())
}

/// RFC 7519, 4.1.3: one audience, or a list of them.
fn is_for(claims: Object<'_>, audience: &str) -> bool {
    let Some(value) = claims.get("aud") else { return false };
    let named = |text: Option<std::borrow::Cow<'_, str>>| text.is_some_and(|text| text == audience);
    match value.items() {
        Some(mut items) => items.any(|item| named(item.text())),
        None => named(value.text()),
    }
}

/// Seconds since 1970, rounded down; a number that is none is refused, not left out.
fn time(claims: Object<'_>, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let number = value.number().filter(|seconds| (0.0..9e15).contains(seconds));
    // Within the range the cast only cuts the fraction off.
    number
        .map(|seconds| Some(seconds as u64))
        .ok_or_else(|| invalid("a time in it is not a number of seconds"))
}

fn invalid(why: &str) -> Refusal {
    Refusal::from(Reason::AuthInvalid).because(format!("the token is not valid: {why}"))
}
