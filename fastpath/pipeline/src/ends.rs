//! The two ends of a connection, written once for all its requests.

use std::net::SocketAddr;
use std::sync::Arc;

/// A connection's ends and its listener, as the journal writes them.
#[derive(Debug)]
pub struct Ends {
    /// "IP:port" of the far end.
    pub client: Box<str>,
    /// "IP:port" of the near end, as the socket has it.
    pub server: Box<str>,
    /// Name of the listener that took it.
    pub listener: Arc<str>,
}

impl Ends {
    /// The ends of a connection that `listener` took.
    #[must_use]
    pub fn new(client: SocketAddr, server: SocketAddr, listener: &Arc<str>) -> Self {
        Self { client: text(client), server: text(server), listener: Arc::clone(listener) }
    }
}

/// IPv6 in brackets and without a zone, IPv4-mapped as IPv4: what a packet carries, however the socket was bound.
fn text(end: SocketAddr) -> Box<str> {
    SocketAddr::new(end.ip().to_canonical(), end.port()).to_string().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::net::{Ipv6Addr, SocketAddrV6};

    #[test]
    fn an_end_is_written_as_packets_carry_it() {
        let zone = SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 443, 5, 2);
        for (end, expected) in [
            ("192.0.2.1:443".parse().unwrap(), "192.0.2.1:443"),
            ("[2001:db8::1]:443".parse().unwrap(), "[2001:db8::1]:443"),
            ("[::ffff:192.0.2.1]:443".parse().unwrap(), "192.0.2.1:443"),
            (SocketAddr::V6(zone), "[fe80::1]:443"),
        ] {
            assert_eq!(&*text(end), expected);
        }
    }
}
