//! Settings of the worker's side, with their defaults.

use super::types::OwnedModel;
use dpu_types::gen::worker_frame::REORDER_FRAMES_MAX;

/// Settings of a `Server`. Every bound has a counter in `SessionCounters` for when it is hit.
#[derive(Clone)]
pub struct ServerConfig {
    /// Name of this worker.
    pub worker_id: String,
    /// llama, echo or openai.
    pub engine: String,
    /// Requests that run at the same time.
    pub slots: u32,
    /// The key shared with the fast paths.
    pub key: Vec<u8>,
    /// What the engine serves; at most 64.
    pub models: Vec<OwnedModel>,
    /// A fast path that said nothing for so long is asked. 250.
    pub ping_interval_ms: u64,
    /// A fast path that said nothing for so long is lost. 1000.
    pub peer_timeout_ms: u64,
    /// From accept to the end of the handshake. 2000.
    pub handshake_timeout_ms: u64,
    /// Connections at the same time, with those that have not proved themselves. 256.
    pub peers_max: usize,
    /// Requests without an end, over all fast paths; more are answered FAIL workers_busy. 4096.
    pub streams_max: usize,
    /// Ends (RESULT, END, FAIL, CANCELLED) that may wait for a full transport, in bytes per fast path. 16 MiB;
    /// beyond it the connection is closed.
    pub backlog_bytes_max: usize,
    /// Bytes that may wait for the next poll, or for a full transport, per fast path; a fragment is taken while it is
    /// less. 1 MiB.
    pub queue_bytes_max: usize,
    /// CANCELs for ids not yet known, over all fast paths; the oldest goes. 1024.
    pub early_cancels_max: usize,
    /// How long such a CANCEL is remembered. 10000.
    pub early_cancel_ms: u64,
    /// LOAD is sent when it changed, at most this often. 100.
    pub load_interval_ms: u64,
    /// How far ahead of its turn a frame may come. 64, from the frame table.
    pub reorder_frames_max: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            worker_id: "worker".to_owned(),
            engine: "echo".to_owned(),
            slots: 1,
            key: Vec::new(),
            models: Vec::new(),
            ping_interval_ms: 250,
            peer_timeout_ms: 1000,
            handshake_timeout_ms: 2000,
            peers_max: 256,
            streams_max: 4096,
            backlog_bytes_max: 16 << 20,
            queue_bytes_max: 1 << 20,
            early_cancels_max: 1024,
            early_cancel_ms: 10_000,
            load_interval_ms: 100,
            reorder_frames_max: REORDER_FRAMES_MAX,
        }
    }
}
