//! What policy hands to RDMA: one decided request.

use crate::{RequestId, Trace};
use bytes::Bytes;
use std::sync::Arc;

/// A sanitised request, its worker chosen (design section 3, border policy -> RDMA).
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Minted here.
    pub request_id: RequestId,
    /// Index of the worker in the plan of `epoch`.
    pub worker: usize,
    /// The arm's name.
    pub arm: Arc<str>,
    /// The engine's name of the model.
    pub model: Arc<str>,
    /// The plan that decided.
    pub epoch: u64,
    /// Milliseconds from now until we give up.
    pub deadline_ms: u32,
    /// 0 is lowest.
    pub priority: u8,
    /// Completion tokens at most; 0 leaves it to the engine.
    pub token_budget: u32,
    /// First half of SHA-256 of the tenant's name.
    pub tenant_hash: [u8; 16],
    /// SHA-256 of `body`.
    pub receipt_sha256: [u8; 32],
    /// Edits that normalisation made.
    pub receipt_edits: u32,
    /// Flags of the REQUEST frame: stream, embeddings, completions.
    pub flags: u16,
    /// The span that the worker's work belongs to.
    pub trace: Trace,
    /// RFC 8785 canonical JSON.
    pub body: Bytes,
}
