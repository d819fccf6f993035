//! A real TLS client against the configuration: names, protocols, versions, resumption.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{handshake, server_config, Ca, Failed, Pair, NOW_S};
use dpu_tls::{classify, Alpn, ListenerTls, MinVersion, PeerIdentity, TlsInput};
use dpu_types::Reason;
use rustls::{ClientConfig, HandshakeKind, ServerConfig, SignatureScheme};
use std::io::{Read, Write};
use std::sync::Arc;

/// The leaf that the client was shown, as it stands in the PEM of the input.
fn shown(pair: &Pair) -> Vec<u8> {
    pair.client.peer_certificates().unwrap()[0].to_vec()
}

fn leaf(input: &dpu_tls::CertificateInput) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(&input.chain_pem).unwrap().to_vec()
}

fn peer_identity(server: &rustls::ServerConnection) -> PeerIdentity {
    dpu_tls::peer_identity(server, &[0; 32])
}

fn refusal(server: &Arc<ServerConfig>, client: ClientConfig, name: &str) -> rustls::Error {
    match handshake(server, &Arc::new(client), name) {
        Err(Failed::Server(error)) => error,
        Err(Failed::Client(error)) => panic!("the client gave up: {error}"),
        Ok(_) => panic!("the handshake went through"),
    }
}

#[test]
fn the_name_chooses_the_certificate() {
    let ca = Ca::new();
    let certs = [ca.issue(&["first.test"]), ca.issue(&["b.test", "*.zone.test"]), ca.issue(&["x.zone.test"])];
    let server = server_config(&certs).unwrap();
    let client = Arc::new(ca.modern(&[]));
    for (name, index) in
        [("first.test", 0), ("b.test", 1), ("B.Test", 1), ("a.zone.test", 1), ("x.zone.test", 2)]
    {
        let pair = handshake(&server, &client, name).unwrap();
        assert_eq!(shown(&pair), leaf(&certs[index]), "{name}");
        assert_eq!(peer_identity(&pair.server).sni, Some(name.to_lowercase()), "{name}");
    }
}

#[test]
fn a_client_without_a_name_gets_the_first_certificate() {
    let ca = Ca::new();
    let certs = [ca.issue(&["127.0.0.1", "first.test"]), ca.issue(&["b.test"])];
    let server = server_config(&certs).unwrap();
    let pair = handshake(&server, &Arc::new(ca.modern(&[])), "127.0.0.1").unwrap();
    assert_eq!(shown(&pair), leaf(&certs[0]));
    assert_eq!(peer_identity(&pair.server).sni, None);
}

#[test]
fn unknown_names_are_refused() {
    let ca = Ca::new();
    let server = server_config(&[ca.issue(&["a.test", "*.zone.test"])]).unwrap();
    for name in ["b.test", "test", "zone.test", "a.b.zone.test", "aa.test"] {
        let error = refusal(&server, ca.modern(&[]), name);
        assert_eq!(classify(&error), Reason::TlsNoCertificate, "{name}");
    }
}

#[test]
fn h2_is_preferred_and_strangers_protocols_are_refused() {
    let ca = Ca::new();
    let server = server_config(&[ca.issue(&["a.test"])]).unwrap();
    for (offered, chosen) in [
        (&[&b"h2"[..], b"http/1.1"][..], Alpn::H2),
        (&[b"http/1.1", b"h2"], Alpn::H2),
        (&[b"http/1.1"], Alpn::Http11),
        (&[], Alpn::Http11),
    ] {
        let pair = handshake(&server, &Arc::new(ca.modern(offered)), "a.test").unwrap();
        assert_eq!(peer_identity(&pair.server).alpn, chosen, "{offered:?}");
    }
    assert_eq!(refusal(&server, ca.modern(&[b"spdy/3"]), "a.test"), rustls::Error::NoApplicationProtocol);
}

#[test]
fn tls_12_is_refused() {
    let ca = Ca::new();
    let server = server_config(&[ca.issue(&["a.test"])]).unwrap();
    let error = refusal(&server, ca.client(&[&rustls::version::TLS12], &[]), "a.test");
    assert!(matches!(error, rustls::Error::PeerIncompatible(_)), "{error}");
    assert_eq!(classify(&error), Reason::TlsVersion);
}

/// A listener that speaks TLS 1.2 too.
fn old_server(certs: &[dpu_tls::CertificateInput]) -> Arc<ServerConfig> {
    let input =
        TlsInput { certificates: certs.to_vec(), min_version: MinVersion::Tls12, ..TlsInput::default() };
    ListenerTls::build(&input, None, NOW_S).unwrap().config
}

#[test]
fn tls_12_by_option_has_aead_and_ephemeral_keys_only() {
    let ca = Ca::new();
    let certs = [ca.issue(&["a.test"]), ca.issue_with(&["a.test"], &rcgen::PKCS_RSA_SHA256)];
    let server = old_server(&certs);
    let offered = rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;
    let old = offered.iter().filter(|suite| suite.tls13().is_none());
    for suite in old {
        let pair = handshake(&server, &Arc::new(ca.only(*suite)), "a.test").unwrap();
        let identity = peer_identity(&pair.server);
        assert!(identity.is_tls12 && !identity.resumed);
        assert_eq!(pair.server.negotiated_cipher_suite().unwrap().suite(), suite.suite());
    }
    let modern = handshake(&server, &Arc::new(ca.modern(&[])), "a.test").unwrap();
    assert!(!peer_identity(&modern.server).is_tls12, "1.3 where both can");
}

#[test]
fn a_tls_12_client_resumes_by_its_ticket() {
    let ca = Ca::new();
    let server = old_server(&[ca.issue(&["a.test"])]);
    let client = Arc::new(ca.client(&[&rustls::version::TLS12], &[b"h2"]));
    assert_eq!(second_kind(&server, &server, &client), HandshakeKind::Resumed);
}

#[test]
fn a_client_without_a_name_gets_the_first_certificate_in_its_kind_of_key() {
    let ca = Ca::new();
    let names = &["first.test", "127.0.0.1"];
    let certs = [ca.issue(names), ca.issue(&["b.test"]), ca.issue_with(names, &rcgen::PKCS_RSA_SHA256)];
    let server = server_config(&certs).unwrap();
    let pair = handshake(&server, &Arc::new(rsa_only(&ca)), "127.0.0.1").unwrap();
    assert_eq!(shown(&pair), leaf(&certs[2]));
}

#[test]
fn the_cheapest_suite_is_taken_whatever_the_client_prefers() {
    let ca = Ca::new();
    let server = server_config(&[ca.issue(&["a.test"])]).unwrap();
    let pair = handshake(&server, &Arc::new(ca.modern(&[])), "a.test").unwrap();
    let suite = pair.server.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
}

#[test]
fn a_client_takes_the_kind_of_key_that_it_knows() {
    let ca = Ca::new();
    let certs = [
        ca.issue_with(&["a.test"], &rcgen::PKCS_RSA_SHA256),
        ca.issue_with(&["a.test"], &rcgen::PKCS_ECDSA_P384_SHA384),
    ];
    let server = server_config(&certs).unwrap();
    let both = handshake(&server, &Arc::new(ca.modern(&[])), "a.test").unwrap();
    assert_eq!(shown(&both), leaf(&certs[1]), "ECDSA is cheaper");
    let rsa_only = handshake(&server, &Arc::new(rsa_only(&ca)), "a.test").unwrap();
    assert_eq!(shown(&rsa_only), leaf(&certs[0]));
}

/// A client whose hello offers RSA signatures (and the one that its authority made).
fn rsa_only(ca: &Ca) -> ClientConfig {
    let mut config = ca.modern(&[]);
    config.dangerous().set_certificate_verifier(Arc::new(RsaOnly));
    config
}

#[derive(Debug)]
struct RsaOnly;

impl rustls::client::danger::ServerCertVerifier for RsaOnly {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let known = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::RSA_PSS_SHA256]
    }
}

/// Two handshakes of one client: what the second one was.
fn second_kind(
    first: &Arc<ServerConfig>,
    second: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
) -> HandshakeKind {
    let full = handshake(first, client, "a.test").unwrap();
    assert_eq!(full.server.handshake_kind(), Some(HandshakeKind::Full));
    let pair = handshake(second, client, "a.test").unwrap();
    pair.server.handshake_kind().unwrap()
}

#[test]
fn a_client_resumes_and_goes_on_resuming() {
    let ca = Ca::new();
    let server = server_config(&[ca.issue(&["a.test"])]).unwrap();
    let client = Arc::new(ca.modern(&[]));
    assert_eq!(second_kind(&server, &server, &client), HandshakeKind::Resumed);
    for _ in 0..3 {
        let pair = handshake(&server, &client, "a.test").unwrap();
        assert_eq!(pair.server.handshake_kind(), Some(HandshakeKind::Resumed));
    }
}

#[test]
fn a_reload_keeps_sessions() {
    let ca = Ca::new();
    let input = TlsInput { certificates: vec![ca.issue(&["a.test"])], ..TlsInput::default() };
    let before = ListenerTls::build(&input, None, NOW_S).unwrap();
    let after = ListenerTls::build(&input, Some(&before), NOW_S).unwrap();
    let kind = second_kind(&before.config, &after.config, &Arc::new(ca.modern(&[])));
    assert_eq!(kind, HandshakeKind::Resumed);
}

#[test]
fn another_listeners_ticket_is_worth_nothing() {
    let ca = Ca::new();
    let certs = [ca.issue(&["a.test"])];
    let (one, other) = (server_config(&certs).unwrap(), server_config(&certs).unwrap());
    assert_eq!(second_kind(&one, &other, &Arc::new(ca.modern(&[]))), HandshakeKind::Full);
}

#[test]
fn no_early_data_is_offered() {
    let ca = Ca::new();
    let server = server_config(&[ca.issue(&["a.test"])]).unwrap();
    let mut client = ca.modern(&[]);
    client.enable_early_data = true;
    let client = Arc::new(client);
    handshake(&server, &client, "a.test").unwrap();
    let name = "a.test".try_into().unwrap();
    let mut resuming = rustls::ClientConnection::new(client, name).unwrap();
    assert!(resuming.early_data().is_none());
}

#[test]
fn what_is_written_is_read_within_the_buffer_limit() {
    let ca = Ca::new();
    let server = server_config(&[ca.issue(&["a.test"])]).unwrap();
    let mut pair = handshake(&server, &Arc::new(ca.modern(&[])), "a.test").unwrap();
    pair.server.set_buffer_limit(Some(dpu_tls::BUFFERED_BYTES_MAX));
    let written = pair.server.writer().write(&vec![b'x'; 1 << 20]).unwrap();
    assert!(written <= dpu_tls::BUFFERED_BYTES_MAX, "{written}");
    let (mut wire, mut plain) = (Vec::new(), Vec::new());
    while pair.server.wants_write() {
        pair.server.write_tls(&mut wire).unwrap();
    }
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        pair.client.read_tls(&mut rest).unwrap();
        pair.client.process_new_packets().unwrap();
        let _ = pair.client.reader().read_to_end(&mut plain); // WouldBlock: no more for now
    }
    assert_eq!(plain.len(), written);
}

#[test]
fn bytes_that_are_no_tls_are_refused() {
    let ca = Ca::new();
    let server = server_config(&[ca.issue(&["a.test"])]).unwrap();
    let mut connection = rustls::ServerConnection::new(server).unwrap();
    connection.read_tls(&mut &b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"[..]).unwrap();
    let error = connection.process_new_packets().unwrap_err();
    assert_eq!(classify(&error), Reason::TlsHandshakeFailed);
}
