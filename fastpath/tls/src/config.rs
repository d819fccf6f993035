//! One listener's `rustls::ServerConfig`: TLS 1.3 only, h2 before http/1.1, stateless tickets, no early data.

use crate::certificates;
use crate::resolver::BySni;
use rustls::crypto::{aws_lc_rs, CryptoProvider};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::ServerConfig;
use std::sync::Arc;

/// A certificate as the plan's files hold it.
#[derive(Clone)]
pub struct CertificateInput {
    /// SNI names: exact, or `*.example.com` for one more label. The first certificate of a listener also serves
    /// clients that send no name, and may have none here.
    pub server_names: Vec<String>,
    /// The chain, leaf first.
    pub chain_pem: Vec<u8>,
    /// The leaf's private key: PKCS#8, SEC1 or PKCS#1.
    pub key_pem: Vec<u8>,
}

/// Why a listener's certificates cannot be used. The operator's fault; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsProblem {
    /// Which one: `certificates[1].private_key_file`, under the listener.
    pub entry: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

impl std::fmt::Display for TlsProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.entry, self.what, self.fix)
    }
}

impl std::error::Error for TlsProblem {}

/// For `ConnectionCommon::set_buffer_limit`: bytes of plaintext and of records, each, that rustls may hold for a
/// peer that does not read. Four records: enough to keep the socket busy, small beside the rest of a connection.
pub const BUFFERED_BYTES_MAX: usize = 64 * 1024;

/// Tickets after each full or resumed handshake. One: it is renewed with each connection, so a client with one
/// connection at a time never runs out, and each one costs every handshake 3 to 5 of its 88 microseconds
/// (`examples/handshake_cost.rs`), whether it is used or not.
const TICKETS_SENT: usize = 1;

/// The keys that session tickets are sealed with. Keep one per listener over reloads, or every reload costs the
/// clients a full handshake; never share one between listeners, since a ticket must not open another one's door.
#[derive(Clone, Debug)]
pub struct Tickets(Arc<dyn ProducesTickets>);

impl Tickets {
    /// New random keys; they rotate by themselves every 6 hours, and a ticket lives for 12 at most.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new() -> Result<Self, TlsProblem> {
        aws_lc_rs::Ticketer::new().map(Self).map_err(|error| TlsProblem {
            entry: "certificates".into(),
            what: format!("no ticket keys: {error}"),
            fix: "the machine has no source of randomness; see its kernel log".into(),
        })
    }
}

/// A listener's configuration with ticket keys of its own.
///
/// # Errors
/// The first certificate that cannot be used.
pub fn server_config(certs: &[CertificateInput]) -> Result<Arc<ServerConfig>, TlsProblem> {
    server_config_with(certs, &Tickets::new()?)
}

/// A listener's configuration that keeps accepting the tickets of an earlier one.
///
/// # Errors
/// The first certificate that cannot be used.
pub fn server_config_with(
    certs: &[CertificateInput],
    tickets: &Tickets,
) -> Result<Arc<ServerConfig>, TlsProblem> {
    let provider = Arc::new(provider());
    let resolver = BySni::new(certificates::load(certs, &provider)?)?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| TlsProblem {
            entry: "certificates".into(),
            what: error.to_string(),
            fix: "this is a fault of the build: TLS 1.3 is not in it".into(),
        })?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // The server's order: AES-128-GCM costs both sides least on every core with AES instructions.
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = tickets.0.clone();
    config.send_tls13_tickets = TICKETS_SENT;
    config.max_early_data_size = 0;
    config.cert_compressors.clear();
    config.cert_decompressors.clear();
    Ok(Arc::new(config))
}

/// aws-lc-rs with TLS 1.3 suites only. Suites and groups stand in the order in which the server takes them: the
/// cheapest first; the post-quantum hybrid serves clients that insist on it by offering nothing else.
fn provider() -> CryptoProvider {
    use aws_lc_rs::cipher_suite as suite;
    use aws_lc_rs::kx_group as group;
    CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![group::X25519, group::SECP256R1, group::SECP384R1, group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    }
}
