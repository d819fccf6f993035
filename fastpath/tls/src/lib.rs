//! TLS 1.3 without sockets: a listener's certificates become a `rustls::ServerConfig`, a finished handshake a peer.
//!
//! Nothing here does I/O or knows a runtime; `pipeline` drives the connections.

#![forbid(unsafe_code)]

mod certificates;
pub mod config;
pub mod failure;
pub mod peer;
mod resolver;

pub use config::{
    server_config, server_config_with, CertificateInput, Tickets, TlsProblem, BUFFERED_BYTES_MAX,
};
pub use failure::{classify, classify_io};
pub use peer::{peer_identity, Alpn, PeerIdentity};
