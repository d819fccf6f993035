//! Who asks. API keys here: only SHA-256 digests are held, and a key is accepted by comparing digests in constant time.
//! Tokens and client certificates are in the modules below.

mod cache;
mod certificates;
mod jwks;
mod tokens;

use aws_lc_rs::{constant_time, digest};
use cache::TokenCache as Cache;
use certificates::Certificates;
use dpu_types::{plan, ClientCertificate, OwnKeyMap, Reason, Refusal};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use tokens::{Issuers, TOKEN_BYTES_MAX};

pub use cache::{TokenCache, TokenCounts};
pub use jwks::FILE_BYTES_MAX;

/// Longest key that is looked at; longer ones are unknown without being hashed.
const KEY_BYTES_MAX: usize = 512;

/// A tenant of one [`crate::Policy`]; worth nothing to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TenantIndex(pub(crate) usize);

/// Digests of all keys, by their first eight bytes.
///
/// The map is asked with the digest of the caller's key, so its timing can tell a caller at most whether some stored
/// digest shares the first 64 bits with a digest that they made. They cannot choose digests, only try keys: learning
/// even one such prefix costs about 2^64 hashes, and what follows the prefix is compared in constant time. A table
/// built by us from the plan cannot be flooded by callers either.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    by_prefix: OwnKeyMap<u64, Vec<([u8; 32], TenantIndex)>>,
}

impl Keys {
    /// Adds a key; false where another entry has the same digest.
    pub(crate) fn insert(&mut self, digest: [u8; 32], tenant: TenantIndex) -> bool {
        let candidates = self.by_prefix.entry(prefix(&digest)).or_default();
        let fresh = candidates.iter().all(|(other, _)| *other != digest);
        if fresh {
            candidates.push((digest, tenant));
        }
        fresh
    }

    fn tenant_of(&self, digest: &[u8; 32]) -> Option<TenantIndex> {
        let candidates = self.by_prefix.get(&prefix(digest))?;
        let mut found = None;
        for (stored, tenant) in candidates {
            if constant_time::verify_slices_are_equal(stored, digest).is_ok() {
                found = Some(*tenant);
            }
        }
        found
    }
}

/// Every credential of one plan.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// Tells this plan's findings from another one's in a cache that outlives plans.
    id: u64,
    keys: Keys,
    certificates: Certificates,
    issuers: Issuers,
    cache_max: usize,
}

/// What JWKS files hold, by the name that the plan gives them.
pub type KeyFiles = HashMap<String, Vec<u8>>;

impl Credentials {
    /// # Errors
    /// Everything that is wrong with the plan's credentials.
    pub(crate) fn build(plan: &plan::Plan, files: &KeyFiles) -> Result<Self, Vec<plan::Problem>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut this = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            keys: Keys::default(),
            certificates: Certificates::default(),
            issuers: Issuers::default(),
            cache_max: plan.token_cache_entries_max as usize,
        };
        let mut problems = Vec::new();
        for (t, tenant) in plan.tenants.iter().enumerate() {
            for digest in tenant.key_sha256.iter().filter_map(|key| <[u8; 32]>::try_from(key.as_slice()).ok())
            {
                // Checked by `check`: no digest is there twice.
                this.keys.insert(digest, TenantIndex(t));
            }
            for (c, entry) in tenant.client_certificates.iter().enumerate() {
                let inserted = this.certificates.insert(entry, TenantIndex(t));
                problems.extend(inserted.err().map(|what| {
                    let entry = format!("tenants[{t}].client_certificates[{c}]");
                    let fix = "name one property of one tenant's certificate".to_owned();
                    plan::Problem { entry, what, fix }
                }));
            }
            for (j, entry) in tenant.jwt.iter().enumerate() {
                let file = files.get(&entry.jwks_file).map(Vec::as_slice);
                let inserted = this.issuers.insert(entry, TenantIndex(t), file);
                problems.extend(inserted.err().map(|(field, what)| {
                    let entry = format!("tenants[{t}].jwt[{j}].{field}");
                    let fix =
                        "give the issuer's public keys as a JWK set; for development: make certs".to_owned();
                    plan::Problem { entry, what, fix }
                }));
            }
        }
        if problems.is_empty() {
            Ok(this)
        } else {
            Err(problems)
        }
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// The tenant whose API key or token the value of `authorization` carries.
    ///
    /// # Errors
    /// `auth_missing` without a bearer credential, `auth_invalid` where nobody has it, or what is wrong with the token.
    pub(crate) fn authenticate(
        &self,
        authorization: Option<&[u8]>,
        now_unix_s: u64,
        cache: &mut Cache,
    ) -> Result<TenantIndex, Refusal> {
        let given = authorization.and_then(bearer).ok_or(Reason::AuthMissing)?;
        // A JWT has its dots, and comes from somebody; an API key may have dots too, and is looked up first.
        let may_be_token = !self.issuers.is_empty() && given.contains(&b'.');
        if given.len() > if may_be_token { TOKEN_BYTES_MAX } else { KEY_BYTES_MAX } {
            return Err(Reason::AuthInvalid.into());
        }
        let digest = sha256(given);
        match self.keys.tenant_of(&digest) {
            Some(tenant) => Ok(tenant),
            None if may_be_token => self.by_token(given, digest, now_unix_s, cache),
            None => Err(Reason::AuthInvalid.into()),
        }
    }

    fn by_token(
        &self,
        token: &[u8],
        digest: [u8; 32],
        now_s: u64,
        cache: &mut Cache,
    ) -> Result<TenantIndex, Refusal> {
        if let Some(known) = cache.find(self.id, &digest, self.cache_max) {
            return known.at(now_s).inspect_err(|_| cache.drop_expired(&digest));
        }
        let found = self.issuers.verify(token)?;
        let tenant = found.at(now_s)?;
        cache.put(digest, found, self.cache_max);
        Ok(tenant)
    }

    /// The tenant that a verified client certificate belongs to.
    ///
    /// # Errors
    /// `auth_invalid` where it belongs to nobody, or to two.
    pub(crate) fn of_certificate(&self, certificate: &ClientCertificate) -> Result<TenantIndex, Refusal> {
        self.certificates.tenant_of(certificate)
    }
}

/// RFC 4648, 5, without padding and in its one canonical form. None where it is not.
fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    // What is left over are zero bits, and never a whole character.
    (held < 6 && bits == 0).then_some(out)
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

fn prefix(digest: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The key in "Bearer KEY" (RFC 6750 section 2.1; the scheme is case-insensitive, RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    let key = rest.trim_ascii();
    (!key.is_empty() && !key.contains(&b' ')).then_some(key)
}

#[cfg(test)]
mod tests;
