//! Who is on the other side of a finished handshake.

use crate::clients::sha256;
use crate::der;
use dpu_types::ClientCertificate;
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use webpki::EndEntityCert;

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
    /// TLS 1.2; 1.3 otherwise.
    pub is_tls12: bool,
    /// Whether a ticket took the place of certificates and signatures.
    pub resumed: bool,
    /// The client's certificate; None where it gave none.
    pub client: Option<Client>,
}

/// A client that a listener's CAs have verified, in this handshake or in the one that its ticket is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// What tenants are found by.
    pub certificate: ClientCertificate,
    /// Valid from, seconds since 1970.
    pub not_before_s: u64,
    /// Valid until, seconds since 1970.
    pub not_after_s: u64,
    /// [`crate::ClientTrust::id`] of the listener that verified it.
    pub trust: [u8; 32],
    pub(crate) issuer: Vec<u8>,
    pub(crate) serial: Vec<u8>,
}

/// Reads it off a connection whose handshake is complete. `trust` is the listener's.
#[must_use]
pub fn peer_identity(connection: &ServerConnection, trust: &[u8; 32]) -> PeerIdentity {
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    PeerIdentity {
        sni: connection.server_name().map(str::to_owned),
        alpn: if connection.alpn_protocol() == Some(b"h2") { Alpn::H2 } else { Alpn::Http11 },
        is_tls12: connection.protocol_version() == Some(ProtocolVersion::TLSv1_2),
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        client: leaf.and_then(|leaf| client(leaf, trust)),
    }
}

/// None where it cannot be read, which a verified certificate always can: whoever has no client has proved nothing.
fn client(leaf: &rustls::pki_types::CertificateDer<'_>, trust: &[u8; 32]) -> Option<Client> {
    let read = EndEntityCert::try_from(leaf).ok()?;
    let (not_before_s, not_after_s) = der::validity(leaf)?;
    let certificate = ClientCertificate {
        san_dns: read.valid_dns_names().map(str::to_ascii_lowercase).collect(),
        san_uri: read.valid_uri_names().map(str::to_owned).collect(),
        subject_cn: der::common_name(read.subject()),
        certificate_sha256: sha256(leaf),
        spki_sha256: sha256(&read.subject_public_key_info()),
    };
    let (issuer, serial) = (read.issuer().to_vec(), read.serial().to_vec());
    Some(Client { certificate, not_before_s, not_after_s, trust: *trust, issuer, serial })
}
