//! The proofs of the handshake: both sides hold one key, and show it with HMAC-SHA-256 over both nonces.

use aws_lc_rs::{digest, hmac};

/// A frame of the handshake is smaller; nobody keeps a larger one for a peer that may be anybody.
pub const STRANGER_FRAME_BYTES_MAX: usize = 16 * 1024;

/// Random bytes that make a proof fresh.
pub type Nonce = [u8; 32];

const WORKER_LABEL: &[u8] = b"dpu-worker v1";
const FASTPATH_LABEL: &[u8] = b"dpu-fastpath v1";

/// The shared key, ready for use. The labels differ, so that neither side's proof can be sent back to it.
pub struct SharedKey(hmac::Key);

impl SharedKey {
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// What the worker sends in WELCOME phase 0.
    pub fn worker_proof(&self, fastpath: &Nonce, worker: &Nonce) -> [u8; 32] {
        self.sign(WORKER_LABEL, fastpath, worker)
    }

    /// What the fast path sends in HELLO phase 1.
    pub fn fastpath_proof(&self, worker: &Nonce, fastpath: &Nonce) -> [u8; 32] {
        self.sign(FASTPATH_LABEL, worker, fastpath)
    }

    /// Constant time.
    pub fn is_worker_proof(&self, fastpath: &Nonce, worker: &Nonce, proof: &[u8; 32]) -> bool {
        hmac::verify(&self.0, &text(WORKER_LABEL, fastpath, worker), proof).is_ok()
    }

    /// Constant time.
    pub fn is_fastpath_proof(&self, worker: &Nonce, fastpath: &Nonce, proof: &[u8; 32]) -> bool {
        hmac::verify(&self.0, &text(FASTPATH_LABEL, worker, fastpath), proof).is_ok()
    }

    fn sign(&self, label: &[u8], theirs: &Nonce, ours: &Nonce) -> [u8; 32] {
        let tag = hmac::sign(&self.0, &text(label, theirs, ours));
        let mut proof = [0; 32];
        // HMAC-SHA-256 gives 32 bytes.
        proof.copy_from_slice(tag.as_ref());
        proof
    }
}

fn text(label: &[u8], theirs: &Nonce, ours: &Nonce) -> Vec<u8> {
    [label, theirs, ours].concat()
}

/// Whether these bytes have this SHA-256: the receipt of a body.
pub fn receipt_matches(body: &[u8], receipt: &[u8; 32]) -> bool {
    digest::digest(&digest::SHA256, body).as_ref() == receipt
}
