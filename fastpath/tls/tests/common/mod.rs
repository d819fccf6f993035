//! Certificates made on the spot, and a client and a server joined in memory.
#![allow(dead_code)] // each test binary uses its part
#![allow(clippy::unwrap_used)]

use dpu_tls::CertificateInput;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SignatureAlgorithm};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::sync::Arc;

/// A certificate authority of one test.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for `names`, ECDSA P-256.
    pub fn issue(&self, names: &[&str]) -> CertificateInput {
        self.issue_with(names, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub fn issue_with(&self, names: &[&str], algorithm: &'static SignatureAlgorithm) -> CertificateInput {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names.clone()).unwrap().signed_by(&key, &self.0).unwrap();
        CertificateInput {
            server_names: names,
            chain_pem: certificate.pem().into_bytes(),
            key_pem: key.serialize_pem().into_bytes(),
        }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// A client that trusts this authority.
    pub fn client(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(self.roots()).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }

    pub fn modern(&self, alpn: &[&[u8]]) -> ClientConfig {
        self.client(&[&rustls::version::TLS13], alpn)
    }
}

/// Both ends of one handshake that has come as far as it goes.
pub struct Pair {
    pub client: ClientConnection,
    pub server: ServerConnection,
}

/// Which end gave up, and why.
#[derive(Debug)]
pub enum Failed {
    Client(rustls::Error),
    Server(rustls::Error),
}

/// Runs the handshake and the tickets after it.
pub fn handshake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, name: &str) -> Result<Pair, Failed> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut pair = Pair {
        client: ClientConnection::new(client.clone(), name).unwrap(),
        server: ServerConnection::new(server.clone()).unwrap(),
    };
    loop {
        let mut wire = Vec::new();
        while pair.client.wants_write() {
            pair.client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            pair.server.read_tls(&mut rest).unwrap();
            pair.server.process_new_packets().map_err(Failed::Server)?;
        }
        let mut back = Vec::new();
        while pair.server.wants_write() {
            pair.server.write_tls(&mut back).unwrap();
        }
        let mut rest = back.as_slice();
        while !rest.is_empty() {
            pair.client.read_tls(&mut rest).unwrap();
            pair.client.process_new_packets().map_err(Failed::Client)?;
        }
        if wire.is_empty() && back.is_empty() {
            return Ok(pair);
        }
    }
}
