//! API keys: only SHA-256 digests are held, and a key is accepted by comparing digests in constant time.

use aws_lc_rs::{constant_time, digest};
use dpu_types::{Reason, Refusal};
use std::collections::HashMap;

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
    by_prefix: HashMap<u64, Vec<([u8; 32], TenantIndex)>>,
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

    /// The tenant whose key the value of `authorization` carries.
    ///
    /// # Errors
    /// `auth_missing` without a bearer key, `auth_invalid` where nobody has it.
    pub(crate) fn authenticate(&self, authorization: Option<&[u8]>) -> Result<TenantIndex, Refusal> {
        let key = authorization.and_then(bearer).ok_or(Reason::AuthMissing)?;
        if key.len() > KEY_BYTES_MAX {
            return Err(Reason::AuthInvalid.into());
        }
        self.tenant_of(&sha256(key)).ok_or_else(|| Reason::AuthInvalid.into())
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
