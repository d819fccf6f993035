//! Worker frames over UCX: transports (UCX, stub, chaos) and the sessions of both sides on top.
//!
//! `session::Client` is the fast path's side, `session::Server` the worker's. Both are driven from one thread, take
//! the time as an argument and never block: poll until nothing happens, `arm`, sleep on `event_fd` until
//! `next_timer`.
#![deny(unsafe_code)]

pub mod chaos;
mod ffi;
pub mod session;
pub mod stub;
pub mod transport;
pub mod ucx;

pub use chaos::{ChaosConfig, ChaosTransport};
pub use ffi::{version as ucx_version, ENVIRONMENT as UCX_ENVIRONMENT};
pub use session::{
    tokens_frame_bytes, Client, ClientConfig, Event, OwnedModel, OwnedRequest, PeerState, Server,
    ServerConfig, ServerEvent, SessionCounters, StreamGone, StreamKey, Summary, WorkerPhase, WorkerState,
};
pub use stub::{StubHub, StubTransport};
pub use transport::{PeerId, Transport, TransportCounters, TransportError, TransportEvent, TransportKind};
pub use ucx::{UcxConfig, UcxTransport};
