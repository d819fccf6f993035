//! Who is on the other side of a finished handshake.

use rustls::pki_types::CertificateDer;
use rustls::ServerConnection;

/// What ALPN chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// HTTP/2.
    H2,
    /// HTTP/1.x, also for clients that do not use ALPN.
    Http11,
}

/// What HTTP and policy may know of a connection's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Name that the client asked for, lower case; None where it sent none.
    pub sni: Option<String>,
    /// Protocol to speak.
    pub alpn: Alpn,
    /// The client's leaf certificate in DER, verified; None on listeners that do not ask for one.
    pub client_certificate: Option<CertificateDer<'static>>,
}

/// Reads it off a connection whose handshake is complete.
#[must_use]
pub fn peer_identity(connection: &ServerConnection) -> PeerIdentity {
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    PeerIdentity {
        sni: connection.server_name().map(str::to_owned),
        alpn: if connection.alpn_protocol() == Some(b"h2") { Alpn::H2 } else { Alpn::Http11 },
        client_certificate: leaf.map(|leaf| leaf.clone().into_owned()),
    }
}
