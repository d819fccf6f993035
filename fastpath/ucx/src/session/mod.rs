//! Sessions: handshake, order, liveness and request bookkeeping over any transport. No clock, no thread, no socket.
//!
//! CREDIT frames are accepted and ignored in this first form: the bound per connection is the transport's bytes in
//! flight, not a window per stream.

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
    Event, OwnedModel, OwnedRequest, PeerState, ServerEvent, StreamGone, StreamKey, Summary, WorkerPhase,
    WorkerState,
};

/// Fills a buffer with unpredictable bytes: nonces, ping tokens, jitter.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;
