//! Verified tokens by their SHA-256, one cache a core: a request with a known token costs its hash.

use super::tokens::Verified;
use std::collections::HashMap;

/// What a cache has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// Tokens that were known.
    pub hits: u64,
    /// Tokens whose signature was checked, whatever came of it.
    pub misses: u64,
    /// Known tokens that had to make room.
    pub evicted: u64,
}

/// Tokens verified by one policy. Only good tokens enter, so a stranger cannot fill it; two halves, of which the
/// older one is dropped whole, bound it without a clock or a list, and what is used moves to the younger one.
#[derive(Debug, Default)]
pub struct TokenCache {
    policy: u64,
    young: HashMap<[u8; 32], Verified>,
    old: HashMap<[u8; 32], Verified>,
    counts: TokenCounts,
}

impl TokenCache {
    /// What it has done.
    #[must_use]
    pub const fn counts(&self) -> TokenCounts {
        self.counts
    }

    /// Tokens that it holds.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// What `policy` has found out about a token. Another policy's findings are dropped here: it may have other keys.
    pub(super) fn find(&mut self, policy: u64, digest: &[u8; 32], max: usize) -> Option<Verified> {
        if self.policy != policy {
            self.young.clear();
            self.old.clear();
            self.policy = policy;
        }
        let found = self.young.get(digest).copied().or_else(|| {
            let found = self.old.remove(digest)?;
            self.put(*digest, found, max);
            Some(found)
        });
        match found {
            Some(_) => self.counts.hits += 1,
            None => self.counts.misses += 1,
        }
        found
    }

    /// Remembers a verified token.
    pub(super) fn put(&mut self, digest: [u8; 32], found: Verified, max: usize) {
        let half = (max / 2).max(1);
        if self.young.len() >= half {
            self.counts.evicted += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
        }
        if max > 0 {
            self.young.insert(digest, found);
        }
    }

    /// Drops one that has expired.
    pub(super) fn drop_expired(&mut self, digest: &[u8; 32]) {
        self.young.remove(digest);
    }
}
