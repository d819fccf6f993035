//! Settings of the fast path's side, with their defaults.

use dpu_types::gen::worker_frame::REORDER_FRAMES_MAX;

/// Settings of a `Client`. Every bound has a counter in `SessionCounters` for when it is hit.
#[derive(Clone)]
pub struct ClientConfig {
    /// Name of this fast path and its core, for people. At most 4096 bytes.
    pub fastpath_id: String,
    /// The key shared with the workers.
    pub key: Vec<u8>,
    /// A second key that workers may have while keys are rolled over. Empty for none.
    pub previous_key: Vec<u8>,
    /// A worker that said nothing for so long is asked. 250.
    pub ping_interval_ms: u64,
    /// A worker that said nothing for so long is lost. 1000: with the retry it stays under the promised 2 s.
    pub peer_timeout_ms: u64,
    /// From connect to the end of the handshake. 2000.
    pub connect_timeout_ms: u64,
    /// First back-off after a loss; doubles with each failure, with jitter of up to a half. 50.
    pub reconnect_min_ms: u64,
    /// Longest back-off. 2000.
    pub reconnect_max_ms: u64,
    /// Requests without an end, over all workers. 65536.
    pub requests_in_flight_max: usize,
    /// Bytes of frames that may wait for the next poll, or for a full transport, per worker. A request is taken while
    /// it is less. 16 MiB.
    pub queue_bytes_max: usize,
    /// How long CANCELLED is waited for. 1000.
    pub cancel_timeout_ms: u32,
    /// How far ahead of its turn a frame may come. 64, from the frame table.
    pub reorder_frames_max: usize,
    /// Frames of the session itself (CANCEL) that may wait for a full transport, per worker. 4096.
    pub control_backlog_frames_max: usize,
    /// Connections of workers no longer listed that may still drain. 256.
    pub draining_workers_max: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            fastpath_id: "dpu-fastpath".to_owned(),
            key: Vec::new(),
            previous_key: Vec::new(),
            ping_interval_ms: 250,
            peer_timeout_ms: 1000,
            connect_timeout_ms: 2000,
            reconnect_min_ms: 50,
            reconnect_max_ms: 2000,
            requests_in_flight_max: 65_536,
            queue_bytes_max: 16 << 20,
            cancel_timeout_ms: 1000,
            reorder_frames_max: REORDER_FRAMES_MAX,
            control_backlog_frames_max: 4096,
            draining_workers_max: 256,
        }
    }
}
