//! Where a request goes: conversation -> bucket -> arm -> worker. The same conversation always meets the same arm.

mod choose;
pub(crate) mod settings;

use crate::json::canonical::Sink;
pub use choose::{choose, Candidate, Warmth, Why};
use dpu_types::{Reason, Refusal};
pub use settings::{queue_of, steering_of};
use std::sync::Arc;
use xxhash_rust::xxh64::Xxh64;

/// Buckets per model; an arm's weight of 0.01 % is one of them.
pub const BUCKETS: usize = 10_000;

/// The bucket of a conversation: XXH64 (seed 0) over the tenant's name, one zero byte and the conversation key,
/// modulo 10,000. In Python: `xxhash.xxh64_intdigest(tenant + b"\0" + key) % 10_000`.
///
/// The conversation key is the first of these that is there and not empty:
/// 1. the value of the header `x-conversation-id`;
/// 2. the body's `user`, in UTF-8 without its escapes;
/// 3. for chat: the RFC 8785 form of each message up to and including the first with role `user`, joined by commas;
///    for completions: the first 256 bytes of the RFC 8785 form of `prompt`, for embeddings of `input`.
///
/// Without a key in the hash anybody can compute the bucket of a conversation, and so can our tools; a caller can
/// choose their arm anyway, by trying conversation ids. XXH64 because it costs a tenth of SHA-256 over a long prompt.
#[must_use]
pub fn bucket_of(tenant: &str, conversation_key: &[u8]) -> u16 {
    let mut hash = ConversationHash::new(tenant);
    hash.put(conversation_key);
    bucket_in(hash.digest())
}

/// The bucket of a conversation's hash.
pub(crate) const fn bucket_in(conversation: u64) -> u16 {
    // A remainder by 10,000 fits into 16 bits.
    (conversation % BUCKETS as u64) as u16
}

/// The hash of an engine's model: arms that share model and workers share their prefix caches too.
pub(crate) fn engine_hash(engine_model: &str) -> u64 {
    xxhash_rust::xxh64::xxh64(engine_model.as_bytes(), 0)
}

/// The hash behind [`bucket_of`], fed with the conversation key piece by piece.
pub(crate) struct ConversationHash {
    hash: Xxh64,
    /// Bytes of the key that are still looked at.
    left: usize,
    /// Small pieces are gathered here: one update a piece would cost more than the hash.
    gathered: [u8; GATHER_BYTES],
    used: usize,
}

/// More than the keys and marks between two texts of a message.
const GATHER_BYTES: usize = 128;

impl ConversationHash {
    pub(crate) fn new(tenant: &str) -> Self {
        let mut hash = Self { hash: Xxh64::new(0), left: usize::MAX, gathered: [0; GATHER_BYTES], used: 0 };
        hash.put(tenant.as_bytes());
        hash.put(&[0]);
        hash.left = usize::MAX;
        hash
    }

    /// From here on looks at so many bytes only.
    pub(crate) fn up_to(mut self, bytes: usize) -> Self {
        self.left = bytes;
        self
    }

    pub(crate) fn digest(mut self) -> u64 {
        self.flush();
        self.hash.digest()
    }

    fn flush(&mut self) {
        self.hash.update(self.gathered.get(..self.used).unwrap_or_default());
        self.used = 0;
    }
}

impl Sink for ConversationHash {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(..self.left).unwrap_or(bytes);
        self.left -= bytes.len();
        if let Some(room) = self.gathered.get_mut(self.used..self.used + bytes.len()) {
            room.copy_from_slice(bytes);
            self.used += bytes.len();
            return;
        }
        self.flush();
        self.hash.update(bytes);
    }
}

/// One model as the plan steers it.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) name: Arc<str>,
    pub(crate) arms: Vec<Arm>,
    /// `BUCKETS` indices into `arms`, checked when the policy was built.
    pub(crate) buckets: Box<[u8]>,
}

impl Model {
    /// The arm of a bucket; None never happens for a checked plan.
    pub(crate) fn arm(&self, bucket: u16) -> Option<&Arm> {
        let index = self.buckets.get(usize::from(bucket))?;
        self.arms.get(usize::from(*index))
    }

    /// The arm that a tester asks for, whatever its weight.
    ///
    /// # Errors
    /// `arm_unknown`, with the names that there are.
    pub(crate) fn arm_named(&self, name: &[u8]) -> Result<&Arm, Refusal> {
        self.arms.iter().find(|arm| arm.name.as_bytes() == name).ok_or_else(|| {
            let names: Vec<&str> = self.arms.iter().map(|arm| &*arm.name).collect();
            Refusal::from(Reason::ArmUnknown).because(format!("{} has: {}", self.name, names.join(", ")))
        })
    }
}

/// One arm of a model.
#[derive(Debug)]
pub(crate) struct Arm {
    pub(crate) name: Arc<str>,
    pub(crate) engine_model: Arc<str>,
    /// Hash of `engine_model`.
    pub(crate) engine_hash: u64,
    /// `engine_model` as a JSON string, ready to be written.
    pub(crate) engine_model_json: Box<[u8]>,
    pub(crate) max_tokens_default: u32,
    pub(crate) max_tokens_max: u32,
    pub(crate) workers: Arc<[usize]>,
}

#[cfg(test)]
mod tests;
