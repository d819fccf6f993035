//! Settings of a worker.

use dpu_ucx::{OwnedModel, ServerConfig};
use std::net::SocketAddr;

/// What a worker is told at its start.
#[derive(Clone)]
pub struct HostConfig {
    /// Its id in WELCOME, logs and metrics.
    pub name: String,
    /// Where fast paths connect to; port 0 takes any.
    pub listen: SocketAddr,
    /// The key shared with the fast paths.
    pub key: Vec<u8>,
    /// "echo" is answered here; requests for every other engine become jobs.
    pub engine: String,
    /// Requests that run at the same time.
    pub slots: usize,
    /// Requests that wait for a slot; more are answered FAIL workers_busy. A fast path that sees a queue chooses
    /// another worker, so a short one is enough: 256.
    pub queue_max: usize,
    /// What the engine serves.
    pub models: Vec<OwnedModel>,
}

impl HostConfig {
    /// Fragments of one job that may wait for the transport before `Job::tokens` blocks.
    pub const UNSENT_MAX: usize = 64;

    pub(super) fn server(&self) -> ServerConfig {
        ServerConfig {
            worker_id: self.name.clone(),
            engine: self.engine.clone(),
            slots: u32::try_from(self.slots).unwrap_or(u32::MAX),
            key: self.key.clone(),
            models: self.models.clone(),
            // The books refuse first, so that every refusal is counted in one place.
            streams_max: self.slots.saturating_add(self.queue_max).saturating_add(1),
            ..ServerConfig::default()
        }
    }
}
