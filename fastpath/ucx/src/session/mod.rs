//! Sessions: handshake, order, liveness and request bookkeeping over any transport. No clock, no thread, no socket.
//!
//! Two bounds hold what waits: the transport's bytes in flight per connection, and the credit of each stream, which the
//! fast path adds to as its client reads (`Client::credit`).

mod auth;
mod client;
mod client_config;
mod counters;
mod link;
mod server;
mod server_config;
mod types;

pub use client::Client;
pub use client_config::ClientConfig;
pub use counters::SessionCounters;
pub use server::Server;
pub use server_config::ServerConfig;
pub use types::{
    tokens_frame_bytes, Event, OwnedModel, OwnedRequest, PeerState, ServerEvent, StreamGone, StreamKey,
    Summary, WorkerPhase, WorkerState,
};

/// Fills a buffer with unpredictable bytes: nonces, ping tokens, jitter.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;
