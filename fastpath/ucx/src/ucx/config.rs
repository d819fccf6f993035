//! Settings of the UCX transport, with their defaults.

use crate::transport::TransportKind;

/// Settings of a `UcxTransport`. Each bound has a figure in `TransportCounters`.
#[derive(Clone, Copy, Debug)]
pub struct UcxConfig {
    /// Which of UCX's transports may be used. The environment's UCX_TLS and UCX_NET_DEVICES win over it.
    pub kind: TransportKind,
    /// Bytes handed to UCX and not complete, per peer. 32 MiB.
    pub peer_bytes_in_flight_max: usize,
    /// Bytes of large frames on their way in, per peer; a peer that announces more is dropped. 32 MiB.
    pub peer_bytes_receiving_max: usize,
    /// Peers at the same time; more are rejected. 512.
    pub peers_max: usize,
    /// Closed peers that UCX has not let go; beyond, the oldest lane is destroyed. 16.
    pub closing_lanes_max: usize,
    /// Send buffers kept for the next frame. 64, of at most 64 KiB each.
    pub pool_buffers_max: usize,
}

impl Default for UcxConfig {
    fn default() -> Self {
        Self {
            kind: TransportKind::Auto,
            peer_bytes_in_flight_max: 32 << 20,
            peer_bytes_receiving_max: 32 << 20,
            peers_max: 512,
            closing_lanes_max: 16,
            pool_buffers_max: 64,
        }
    }
}
