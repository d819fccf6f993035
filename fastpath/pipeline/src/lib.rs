//! The request path: sockets, threads and clocks around the stages TLS, HTTP, policy and RDMA.
//!
//! One pinned thread a core, each with its own runtime, connections and RDMA endpoints; nothing on the way of a
//! request is shared between cores but counters and the limits of tenants.

#![forbid(unsafe_code)]

mod alarm;
mod answer;
mod begin;
mod body_clock;
mod caller;
pub mod canonical;
mod choices;
mod clock;
mod connection;
mod core;
mod core_thread;
pub mod counters;
mod credit;
mod ends;
mod exchange;
mod fast_path;
mod files;
mod h1;
mod h2;
mod handshakes;
mod health;
mod histogram;
pub mod host;
mod journal;
mod limit_hits;
mod meter;
pub mod metrics;
mod placement;
mod programmed;
mod queue;
mod rdma;
mod record;
mod room;
mod slot;
pub mod status;
mod steering;
mod waiting;
mod warm;
mod wire;
mod worker;

pub use fast_path::{Applied, Config, FastPath};
pub use programmed::Limits;
pub use record::Outcome;
