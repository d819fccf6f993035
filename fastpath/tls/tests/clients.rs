//! Client certificates: who is let in, what each refusal is called, and what a ticket may and may not do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{handshake, Ca, ClientPair, Failed, NOW_S};
use dpu_tls::{classify, peer_identity, Asked, Client, ClientsInput, ListenerTls, TlsInput};
use dpu_types::Reason;
use rustls::{ClientConfig, HandshakeKind};
use std::sync::Arc;

const PAST: (i32, u8, u8) = (2020, 1, 1);
const FUTURE: (i32, u8, u8) = (2050, 2, 1);

fn good(ca: &Ca) -> ClientPair {
    ca.client_pair(&["Gamma.test"], PAST, FUTURE)
}

/// A listener of `ca` that asks for certificates of `cas`.
fn listener(ca: &Ca, asked: Asked, cas: &[&Ca], lists: &[Vec<u8>]) -> TlsInput {
    let ca_files = cas.iter().map(|ca| ca.pem()).collect();
    let clients = ClientsInput { asked, ca_files, crl_files: lists.to_vec() };
    TlsInput { certificates: vec![ca.issue(&["a.test"])], clients, ..TlsInput::default() }
}

fn build(input: &TlsInput) -> ListenerTls {
    ListenerTls::build(input, None, NOW_S).unwrap()
}

fn refusal(tls: &ListenerTls, client: ClientConfig) -> Reason {
    match handshake(&tls.config, &Arc::new(client), "a.test") {
        Err(Failed::Server(error)) => classify(&error),
        Err(Failed::Client(error)) => panic!("the client gave up: {error}"),
        Ok(_) => panic!("the handshake went through"),
    }
}

fn known(tls: &ListenerTls, client: &Arc<ClientConfig>) -> (Option<Client>, bool) {
    let pair = handshake(&tls.config, client, "a.test").unwrap();
    let identity = peer_identity(&pair.server, tls.trust.id());
    (identity.client, identity.resumed)
}

#[test]
fn a_verified_client_is_known_by_its_names_and_digests() {
    let ca = Ca::new();
    let (tls, pair) = (build(&listener(&ca, Asked::Required, &[&ca], &[])), good(&ca));
    let client = known(&tls, &Arc::new(ca.client_with(&pair))).0.unwrap();
    assert_eq!(client.certificate.san_dns, ["gamma.test"]);
    assert_eq!(client.certificate.subject_cn.as_deref(), Some("somebody"));
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &pair.der);
    assert_eq!(client.certificate.certificate_sha256, digest.as_ref());
    assert_eq!((client.not_before_s, client.not_after_s), (1_577_836_800, 2_527_286_400));
    assert_eq!(tls.trust.recheck(&client), Ok(()));
}

#[test]
fn a_client_without_a_certificate_is_let_in_where_it_may_be() {
    let ca = Ca::new();
    for (asked, allowed) in [(Asked::None, true), (Asked::Optional, true), (Asked::Required, false)] {
        let tls = build(&listener(&ca, asked, &[&ca], &[]));
        if allowed {
            assert_eq!(known(&tls, &Arc::new(ca.modern(&[]))).0, None, "{asked:?}");
        } else {
            assert_eq!(refusal(&tls, ca.modern(&[])), Reason::TlsClientCertificateMissing);
        }
    }
    let not_asked = build(&listener(&ca, Asked::None, &[], &[]));
    assert_eq!(known(&not_asked, &Arc::new(ca.client_with(&good(&ca)))).0, None);
}

#[test]
fn each_bad_certificate_has_its_reason() {
    let (ca, stranger) = (Ca::new(), Ca::named("stranger"));
    let revoked = ca.client_pair(&["revoked.test"], (2020, 3, 3), FUTURE);
    let list = ca.crl(&[&revoked]).pem().unwrap().into_bytes();
    let tls = build(&listener(&ca, Asked::Optional, &[&ca], &[list]));
    let key_of_another = ClientPair { key_der: good(&ca).key_der, ..good(&ca) };
    for (pair, reason) in [
        (good(&stranger), Reason::TlsClientCertificateUnknownCa),
        (ca.client_pair(&["x"], PAST, (2021, 1, 1)), Reason::TlsClientCertificateExpired),
        (ca.client_pair(&["x"], (2049, 1, 1), FUTURE), Reason::TlsClientCertificateExpired),
        (revoked, Reason::TlsClientCertificateRevoked),
        (ca.server_pair(), Reason::TlsClientCertificateBad),
        (key_of_another, Reason::TlsClientCertificateBad),
    ] {
        assert_eq!(refusal(&tls, ca.client_with(&pair)), reason);
    }
    known(&tls, &Arc::new(ca.client_with(&good(&ca)))).0.unwrap();
}

#[test]
fn with_a_list_every_issuer_needs_one() {
    let (ca, other) = (Ca::new(), Ca::named("other"));
    let list = vec![ca.crl(&[]).der().to_vec()];
    let tls = build(&listener(&ca, Asked::Optional, &[&ca, &other], &list));
    known(&tls, &Arc::new(ca.client_with(&good(&ca)))).0.unwrap();
    let stranger = ca.client_with(&good(&other));
    assert_eq!(refusal(&tls, stranger), Reason::TlsClientCertificateRevoked);
}

/// What a client that was served by `first` is to `second`.
fn then(first: &ListenerTls, second: &ListenerTls, ca: &Ca) -> (Client, HandshakeKind) {
    let config = Arc::new(ca.client_with(&good(ca)));
    known(first, &config);
    let pair = handshake(&second.config, &config, "a.test").unwrap();
    let identity = peer_identity(&pair.server, second.trust.id());
    (identity.client.unwrap(), pair.server.handshake_kind().unwrap())
}

#[test]
fn a_session_resumes_with_its_certificate_and_only_under_the_same_trust() {
    let (ca, other) = (Ca::new(), Ca::named("other"));
    let input = listener(&ca, Asked::Optional, &[&ca], &[]);
    let before = build(&input);
    let reload = |clients: ClientsInput| {
        let input = TlsInput { clients, ..input.clone() };
        ListenerTls::build(&input, Some(&before), NOW_S).unwrap()
    };
    let clients = |asked, cas: &[&Ca]| listener(&ca, asked, cas, &[]).clients;
    let (client, kind) = then(&before, &reload(clients(Asked::Optional, &[&ca])), &ca);
    assert_eq!((client.certificate.san_dns[0].as_str(), kind), ("gamma.test", HandshakeKind::Resumed));
    for (what, changed) in [
        ("another mode", clients(Asked::Required, &[&ca])),
        ("one more CA", clients(Asked::Optional, &[&ca, &other])),
    ] {
        assert_eq!(then(&before, &reload(changed), &ca).1, HandshakeKind::Full, "{what}");
    }
    assert_eq!(then(&before, &build(&input), &ca).1, HandshakeKind::Full, "another listener");
    let both = |cas: &[&Ca]| build(&listener(&ca, Asked::Optional, cas, &[])).trust.id().to_owned();
    assert_eq!(both(&[&ca, &other]), both(&[&other, &ca, &ca]), "the order of files is no change");
}

#[test]
fn what_a_ticket_skips_is_found_by_looking_again() {
    let ca = Ca::new();
    let (pair, input) = (good(&ca), listener(&ca, Asked::Optional, &[&ca], &[]));
    let before = build(&input);
    let config = Arc::new(ca.client_with(&pair));
    let (client, _) = known(&before, &config);
    let mut later = input;
    later.clients.crl_files = vec![ca.crl(&[&pair]).pem().unwrap().into_bytes()];
    let after = ListenerTls::build(&later, Some(&before), NOW_S).unwrap();
    let (resumed, was_resumed) = known(&after, &config);
    assert!(was_resumed, "the list does not end sessions");
    for client in [client.unwrap(), resumed.unwrap()] {
        assert_eq!(before.trust.recheck(&client), Ok(()));
        assert_eq!(after.trust.recheck(&client), Err(Reason::AuthCertificateRevoked));
        let none_now = build(&listener(&ca, Asked::None, &[], &[]));
        assert_eq!(none_now.trust.recheck(&client), Err(Reason::AuthCertificateRevoked), "another trust");
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let ca = Ca::new();
    let text = b"hello".to_vec();
    let leaf = ca.issue(&["a.test"]).chain_pem;
    let broken = b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n".to_vec();
    let list = ca.crl(&[]).der().to_vec();
    for (cas, lists, entry) in [
        (vec![], vec![], "client_ca_files[0]"),
        (vec![text.clone()], vec![], "client_ca_files[0]"),
        (
            vec![ca.pem(), b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_vec()],
            vec![],
            "client_ca_files[1]",
        ),
        (vec![ca.pem()], vec![text], "client_crl_files[0]"),
        (vec![ca.pem()], vec![list.clone(), broken], "client_crl_files[1]"),
        (vec![ca.pem()], vec![list[..list.len() - 1].to_vec()], "client_crl_files[0]"),
        (vec![ca.pem()], vec![leaf], "client_crl_files[0]"),
    ] {
        let mut input = listener(&ca, Asked::Optional, &[], &[]);
        input.clients.ca_files = cas;
        input.clients.crl_files = lists;
        let problem = ListenerTls::build(&input, None, NOW_S).unwrap_err();
        assert_eq!(problem.entry, entry, "{problem}");
        assert!(!problem.fix.is_empty());
    }
}
