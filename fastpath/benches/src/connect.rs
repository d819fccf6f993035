//! Connections: plain or TLS 1.3 with one cipher suite and one group, so that all sides do the same work.

use crate::options::Options;
use crate::tickets::Tickets;
use crate::{fault, Fault};
use rustls::client::Resumption;
use rustls::crypto::{aws_lc_rs, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::TlsConnector;

/// From here on connections come from several addresses of the loopback: one has 28,000 ports, and a closed
/// connection keeps its own for a minute.
const ONE_SOURCE_MAX: usize = 2_000;
const SOURCES: usize = 8;

/// Either kind of connection.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// How connections are made.
#[derive(Clone)]
pub struct Connector {
    address: SocketAddr,
    name: ServerName<'static>,
    /// None: plain.
    tls: Option<Arc<ClientConfig>>,
    many: bool,
}

impl Connector {
    /// `--ca FILE` for TLS, plain without; `--protocol h2` or `http/1.1`.
    ///
    /// # Errors
    /// Options or files that are not as they should be.
    pub fn of(options: &Options, tickets: Option<Arc<Tickets>>, many: bool) -> Result<Self, Fault> {
        let authority: String = options.or("ca", String::new())?;
        let protocol: String = options.or("protocol", "http/1.1".to_owned())?;
        let tls = if authority.is_empty() { None } else { Some(config(&authority, &protocol, tickets)?) };
        let name = ServerName::try_from("localhost").map_err(fault("name"))?;
        Ok(Self { address: options.address()?, name, tls: tls.map(Arc::new), many })
    }

    /// A new connection; `index` decides the source address where there are many.
    ///
    /// # Errors
    /// It is refused, or its handshake is.
    pub async fn connect(&self, index: usize) -> Result<Box<dyn Io>, Fault> {
        if self.tls.is_some() {
            return Ok(Box::new(self.tls(index).await?));
        }
        Ok(Box::new(self.tcp(index).await?))
    }

    /// A new TLS connection.
    ///
    /// # Errors
    /// As for `connect`.
    pub async fn tls(&self, index: usize) -> Result<TlsStream<TcpStream>, Fault> {
        let config = self.tls.clone().ok_or("no --ca for TLS")?;
        let tcp = self.tcp(index).await?;
        TlsConnector::from(config).connect(self.name.clone(), tcp).await.map_err(fault("handshake"))
    }

    async fn tcp(&self, index: usize) -> Result<TcpStream, Fault> {
        let socket = TcpSocket::new_v4().map_err(fault("socket"))?;
        if self.many {
            let host = 2 + u8::try_from(index % SOURCES).unwrap_or_default();
            socket.set_reuseaddr(true).map_err(fault("reuse"))?;
            let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
            socket.bind(source).map_err(fault("source address"))?;
        }
        let tcp = socket.connect(self.address).await.map_err(fault("connect"))?;
        tcp.set_nodelay(true).map_err(fault("nodelay"))?;
        Ok(tcp)
    }
}

/// Whether so many connections need several source addresses.
#[must_use]
pub const fn are_many(connections: usize) -> bool {
    connections > ONE_SOURCE_MAX
}

fn config(authority: &str, protocol: &str, tickets: Option<Arc<Tickets>>) -> Result<ClientConfig, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).map_err(fault("ca"))? {
        roots.add(certificate.map_err(fault("ca"))?).map_err(fault("ca"))?;
    }
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(fault("versions"))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    if let Some(tickets) = tickets {
        config.resumption = Resumption::store(tickets);
    }
    Ok(config)
}
