//! Certificates that cannot be used: each is named with what is wrong and the fix.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{server_config, Ca};
use dpu_tls::{classify_io, CertificateInput, ListenerTls, TlsInput, TlsProblem};
use dpu_types::Reason;
use std::io::{Error, ErrorKind};

fn problem(certs: &[CertificateInput]) -> TlsProblem {
    let problem = server_config(certs).unwrap_err();
    assert!(!problem.what.is_empty() && !problem.fix.is_empty(), "{problem}");
    problem
}

fn entry_and_what(change: impl FnOnce(&Ca, &mut CertificateInput)) -> (String, String) {
    let ca = Ca::new();
    let mut second = ca.issue(&["b.test"]);
    change(&ca, &mut second);
    let problem = problem(&[ca.issue(&["a.test"]), second]);
    (problem.entry, problem.what)
}

#[test]
fn no_certificate_at_all() {
    assert_eq!(problem(&[]).entry, "certificates");
}

#[test]
fn a_key_of_another_certificate() {
    let (entry, what) = entry_and_what(|ca, second| second.key_pem = ca.issue(&["b.test"]).key_pem);
    assert_eq!(entry, "certificates[1].private_key_file");
    assert_eq!(what, "the private key does not belong to the certificate");
}

#[test]
fn files_that_are_no_pem() {
    for (what, bytes) in [
        ("empty", &b""[..]),
        ("text", b"hello"),
        ("binary", b"\x30\x82\x01\x00\xff"),
        ("no end", b"-----BEGIN CERTIFICATE-----\nAAAA\n"),
        ("no base64", b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"),
        ("no X.509", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ] {
        let (entry, _) = entry_and_what(|_, second| second.chain_pem = bytes.to_vec());
        assert_eq!(entry, "certificates[1].certificate_file", "{what}");
    }
    for (what, bytes) in [
        ("empty", &b""[..]),
        ("no base64", b"-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n"),
        ("no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ("encrypted", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
    ] {
        let (entry, _) = entry_and_what(|_, second| second.key_pem = bytes.to_vec());
        assert_eq!(entry, "certificates[1].private_key_file", "{what}");
    }
}

#[test]
fn key_and_certificate_swapped() {
    let (entry, _) = entry_and_what(|_, second| std::mem::swap(&mut second.chain_pem, &mut second.key_pem));
    assert_eq!(entry, "certificates[1].certificate_file");
}

#[test]
fn no_problem_shows_a_key() {
    let (_, what) = entry_and_what(|_, second| {
        second.key_pem =
            b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0IGtleQ==\n-----END PRIVATE KEY-----\n".to_vec();
    });
    assert!(!what.contains("secret") && !what.contains("c2Vj"), "{what}");
}

#[test]
fn a_chain_that_is_too_long() {
    let (entry, what) = entry_and_what(|_, second| second.chain_pem = second.chain_pem.repeat(11));
    assert_eq!(entry, "certificates[1].certificate_file");
    assert!(what.contains("11 certificates"), "{what}");
}

#[test]
fn names_that_the_certificate_is_not_valid_for() {
    for name in ["other.test", "*.b.test", "not a name", "", "*", "b.*.test"] {
        let (entry, _) = entry_and_what(|_, second| second.server_names.push(name.into()));
        assert_eq!(entry, "certificates[1].server_names", "{name}");
    }
}

#[test]
fn a_name_claimed_twice() {
    let ca = Ca::new();
    let problem = problem(&[ca.issue(&["a.test"]), ca.issue(&["A.test"])]);
    assert_eq!(problem.entry, "certificates[1].server_names");
}

#[test]
fn a_certificate_that_is_not_valid_now() {
    let ca = Ca::new();
    let input = TlsInput { certificates: vec![ca.issue(&["a.test"])], ..TlsInput::default() };
    // rcgen's certificates live from 1975 to 4096.
    for (now_s, what) in [(100_000_000, "becomes valid in"), (70_000_000_000, "the certificate expired")] {
        let problem = ListenerTls::build(&input, None, now_s).unwrap_err();
        assert_eq!(problem.entry, "certificates[0].certificate_file");
        assert!(problem.what.contains(what), "{problem}");
    }
}

#[test]
fn io_errors_of_a_handshake_have_their_reason() {
    let tls =
        rustls::Error::InappropriateMessage { expect_types: vec![], got_type: rustls::ContentType::Alert };
    for (error, reason) in [
        (Error::from(ErrorKind::TimedOut), Reason::TlsHandshakeTimeout),
        (Error::from(ErrorKind::ConnectionReset), Reason::TlsHandshakeFailed),
        (Error::from(ErrorKind::UnexpectedEof), Reason::TlsHandshakeFailed),
        (Error::new(ErrorKind::InvalidData, tls), Reason::TlsHandshakeFailed),
        (Error::other(rustls::Error::FailedToGetRandomBytes), Reason::Internal),
    ] {
        assert_eq!(classify_io(&error), reason, "{error}");
    }
}
