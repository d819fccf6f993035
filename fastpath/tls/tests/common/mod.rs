//! Certificates made on the spot, and a client and a server joined in memory.
#![allow(dead_code)] // each test binary uses its part
#![allow(clippy::unwrap_used)]

use dpu_tls::{CertificateInput, ListenerTls, TlsInput, TlsProblem};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SignatureAlgorithm,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::sync::Arc;

/// Some time at which certificates made now are valid: rcgen's live from 1975 to 4096.
pub const NOW_S: u64 = 1_800_000_000;

/// A listener that asks for no client certificate.
pub fn server_config(certs: &[CertificateInput]) -> Result<Arc<ServerConfig>, TlsProblem> {
    let input = TlsInput { certificates: certs.to_vec(), ..TlsInput::default() };
    ListenerTls::build(&input, None, NOW_S).map(|tls| tls.config)
}

/// A certificate authority of one test.
pub struct Ca(pub CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub fn new() -> Self {
        Self::named("test CA")
    }

    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
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

    pub fn roots(&self) -> RootCertStore {
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

    /// A client that offers one suite.
    pub fn only(&self, suite: rustls::SupportedCipherSuite) -> ClientConfig {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let provider = rustls::crypto::CryptoProvider { cipher_suites: vec![suite], ..provider };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        builder.with_root_certificates(self.roots()).with_no_client_auth()
    }

    /// A client certificate with its key, for `names`, valid from `from` to `until` (year, month, day).
    pub fn client_pair(&self, names: &[&str], from: (i32, u8, u8), until: (i32, u8, u8)) -> ClientPair {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(rcgen::SerialNumber::from(vec![0x7f, from.1, from.2, until.1]));
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        params.distinguished_name.push(rcgen::DnType::CommonName, "somebody");
        let serial = params.serial_number.clone().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        ClientPair { der: certificate.der().clone(), key_der: key.serialize_der(), serial }
    }

    /// A certificate that is for servers only.
    pub fn server_pair(&self) -> ClientPair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["a.test".into()]).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let serial = rcgen::SerialNumber::from(vec![1]);
        ClientPair { der: certificate.der().clone(), key_der: key.serialize_der(), serial }
    }

    /// A client that shows a certificate.
    pub fn client_with(&self, pair: &ClientPair) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(pair.key_der.clone()).unwrap();
        // Without rustls's own check: some tests want a key that is not the certificate's.
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let shown = rustls::sign::CertifiedKey::new(vec![pair.der.clone()], key);
        let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(shown));
        builder.with_root_certificates(self.roots()).with_client_cert_resolver(resolver)
    }

    /// The CA's certificate, as a file holds it.
    pub fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// The CA's revocation list with these certificates.
    pub fn crl(&self, revoked: &[&ClientPair]) -> rcgen::CertificateRevocationList {
        let each = revoked.iter().map(|pair| rcgen::RevokedCertParams {
            serial_number: pair.serial.clone(),
            revocation_time: rcgen::date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2026, 1, 1),
            next_update: rcgen::date_time_ymd(2036, 1, 1),
            crl_number: rcgen::SerialNumber::from(vec![1]),
            issuing_distribution_point: None,
            revoked_certs: each.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap()
    }

    pub fn modern(&self, alpn: &[&[u8]]) -> ClientConfig {
        self.client(&[&rustls::version::TLS13], alpn)
    }
}

/// A client certificate and its key.
pub struct ClientPair {
    pub der: rustls::pki_types::CertificateDer<'static>,
    pub key_der: Vec<u8>,
    pub serial: rcgen::SerialNumber,
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
