//! One listener's `rustls::ServerConfig`: TLS 1.3 (1.2 by option), h2 before http/1.1, stateless tickets, no early data.

use crate::certificates::{self, Loaded};
use crate::clients::{self, Asked, ClientTrust, ClientsInput};
use crate::resolver::BySni;
use rustls::crypto::{aws_lc_rs, CryptoProvider};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::{ServerConfig, SupportedProtocolVersion};
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

/// The oldest version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// With AEAD suites and ephemeral keys only, and the extended master secret where clients show certificates.
    Tls12,
    /// Nothing older.
    #[default]
    Tls13,
}

/// All that a listener's TLS is made from.
#[derive(Clone, Default)]
pub struct TlsInput {
    /// At least one.
    pub certificates: Vec<CertificateInput>,
    /// The oldest version.
    pub min_version: MinVersion,
    /// Client certificates.
    pub clients: ClientsInput,
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

/// The keys that session tickets are sealed with: random, rotating by themselves every 6 hours; a ticket lives for
/// 12 at most. One set per listener and client trust: a ticket carries the client's certificate in it, and must not
/// open a door whose CAs have never seen that.
type Tickets = Arc<dyn ProducesTickets>;

/// When a certificate ends, for a metric that warns before it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The first of its names; empty where it has none.
    pub name: String,
    /// `ecdsa`, `rsa` or `ed25519`.
    pub key_kind: &'static str,
    /// Seconds since 1970.
    pub not_after_s: u64,
}

/// One listener's TLS, ready.
#[derive(Debug)]
pub struct ListenerTls {
    /// For new connections.
    pub config: Arc<ServerConfig>,
    /// For connections that are there.
    pub trust: ClientTrust,
    /// In the plan's order.
    pub certificates: Vec<CertificateInfo>,
    tickets: Tickets,
}

impl ListenerTls {
    /// Builds it. Tickets of `previous`, the same listener in the plan before, go on being taken where the client CAs
    /// and the mode are the same; otherwise every client makes a full handshake. `now_unix_s` is what certificates
    /// are judged by.
    ///
    /// # Errors
    /// The first certificate, key, CA or list that cannot be used.
    pub fn build(input: &TlsInput, previous: Option<&Self>, now_unix_s: u64) -> Result<Self, TlsProblem> {
        let provider = Arc::new(provider());
        let loaded = certificates::load(&input.certificates, &provider, now_unix_s)?;
        let certificates = loaded.iter().map(Loaded::info).collect();
        let (trust, verifier) = clients::load(&input.clients, &provider)?;
        let same = previous.filter(|before| before.trust.id() == trust.id());
        let tickets = same.map_or_else(new_tickets, |before| Ok(Arc::clone(&before.tickets)))?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&input.min_version.versions())
            .map_err(|error| TlsProblem {
                entry: "certificates".into(),
                what: error.to_string(),
                fix: "this is a fault of the build: the version is not in it".into(),
            })?;
        let resolver = Arc::new(BySni::new(loaded)?);
        let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
        settle(&mut config, &tickets);
        // With client certificates a TLS 1.2 session has to be bound to its own handshake (RFC 7627, 1). Without them
        // there is nothing to splice it onto, and clients that need TLS 1.2 are often too old for the extension.
        config.require_ems = input.clients.asked != Asked::None;
        Ok(Self { config: Arc::new(config), trust, certificates, tickets })
    }
}

impl MinVersion {
    fn versions(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Tls12 => vec![&rustls::version::TLS13, &rustls::version::TLS12],
            Self::Tls13 => vec![&rustls::version::TLS13],
        }
    }
}

/// What every listener has in common.
fn settle(config: &mut ServerConfig, tickets: &Tickets) {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // The server's order: AES-128-GCM costs both sides least on every core with AES instructions.
    config.ignore_client_order = true;
    // Stateless: a client cannot make us remember anything.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::clone(tickets);
    config.send_tls13_tickets = TICKETS_SENT;
    // Early data can be replayed, and a chat that is paid for twice is no saving.
    config.max_early_data_size = 0;
    config.cert_compressors.clear();
    config.cert_decompressors.clear();
}

fn new_tickets() -> Result<Tickets, TlsProblem> {
    aws_lc_rs::Ticketer::new().map_err(|error| TlsProblem {
        entry: "certificates".into(),
        what: format!("no ticket keys: {error}"),
        fix: "the machine has no source of randomness; see its kernel log".into(),
    })
}

/// aws-lc-rs with AEAD suites and ephemeral keys only. Suites and groups stand in the order in which the server takes
/// them: the cheapest first; the post-quantum hybrid serves clients that insist on it by offering nothing else.
fn provider() -> CryptoProvider {
    use aws_lc_rs::cipher_suite as suite;
    use aws_lc_rs::kx_group as group;
    CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![group::X25519, group::SECP256R1, group::SECP384R1, group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    }
}
