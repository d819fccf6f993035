//! TLS without sockets: a listener's certificates and CAs become a `rustls::ServerConfig`, a finished handshake a peer.
//!
//! Nothing here does I/O or knows a runtime; `pipeline` drives the connections.

#![forbid(unsafe_code)]

mod certificates;
mod clients;
pub mod config;
mod der;
pub mod failure;
pub mod peer;
mod resolver;

pub use clients::{Asked, ClientTrust, ClientsInput};
pub use config::{
    CertificateInfo, CertificateInput, ListenerTls, MinVersion, TlsInput, TlsProblem, BUFFERED_BYTES_MAX,
};
pub use failure::{classify, classify_io};
pub use peer::{peer_identity, Alpn, Client, PeerIdentity};
