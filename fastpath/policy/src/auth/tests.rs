#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Facts about API keys.

use super::*;

fn keys() -> Keys {
    let mut keys = Keys::default();
    assert!(keys.insert(sha256(b"sk-alpha"), TenantIndex(0)));
    assert!(keys.insert(sha256(b"sk-beta"), TenantIndex(1)));
    keys
}

fn credentials() -> Credentials {
    let plan = plan::Plan::default();
    Credentials { keys: keys(), ..Credentials::build(&plan, &KeyFiles::new()).unwrap() }
}

#[test]
fn each_authorization_value_gives_its_tenant_or_reason() {
    let long = [b"Bearer ".as_slice(), &[b'k'; KEY_BYTES_MAX + 1]].concat();
    type Row<'a> = (Option<&'a [u8]>, Result<usize, Reason>);
    let table: [Row<'_>; 13] = [
        (None, Err(Reason::AuthMissing)),
        (Some(b""), Err(Reason::AuthMissing)),
        (Some(b"Bearer"), Err(Reason::AuthMissing)),
        (Some(b"Bearer "), Err(Reason::AuthMissing)),
        (Some(b"Basic c2stYWxwaGE="), Err(Reason::AuthMissing)),
        (Some(b"sk-alpha"), Err(Reason::AuthMissing)),
        (Some(b"Bearer sk-alpha sk-beta"), Err(Reason::AuthMissing)),
        (Some(b"Bearer sk-gamma"), Err(Reason::AuthInvalid)),
        (Some(b"Bearer sk-alph"), Err(Reason::AuthInvalid)),
        (Some(&long), Err(Reason::AuthInvalid)),
        (Some(b"Bearer sk-alpha"), Ok(0)),
        (Some(b"bEARER   sk-beta"), Ok(1)),
        (Some(b"Bearer sk-beta "), Ok(1)),
    ];
    for (value, expected) in table {
        let got = credentials().authenticate(value, 0, &mut Cache::default());
        let got = got.map(|tenant| tenant.0).map_err(|refusal| refusal.reason);
        assert_eq!(got, expected, "{value:?}");
    }
}

#[test]
fn a_digest_is_taken_once() {
    assert!(!keys().insert(sha256(b"sk-alpha"), TenantIndex(7)));
}

#[test]
fn a_digest_that_shares_the_first_eight_bytes_is_not_the_key() {
    let mut near = sha256(b"sk-alpha");
    near[31] ^= 1;
    let mut keys = Keys::default();
    assert!(keys.insert(near, TenantIndex(3)));
    assert!(keys.tenant_of(&sha256(b"sk-alpha")).is_none());
    assert!(keys.insert(sha256(b"sk-alpha"), TenantIndex(4)));
    assert_eq!(keys.tenant_of(&sha256(b"sk-alpha")), Some(TenantIndex(4)));
}

#[test]
fn base64url_has_one_form() {
    for (text, expected) in [
        ("", Some(&b""[..])),
        ("AA", Some(b"\0")),
        ("_-8", Some(b"\xff\xef")),
        ("AAAA", Some(b"\0\0\0")),
        ("A", None),
        ("AAAAA", None),
        ("AB", None),
        ("AA==", None),
        ("+/8", None),
        ("A A", None),
    ] {
        assert_eq!(base64url(text.as_bytes()).as_deref(), expected, "{text}");
    }
}

fn by(property: plan::certificate_match::Property) -> plan::CertificateMatch {
    plan::CertificateMatch { property: Some(property) }
}

#[test]
fn each_property_of_a_certificate_finds_its_tenant() {
    use plan::certificate_match::Property as P;
    let entries = [
        by(P::SanDns("Gamma.example".into())),
        by(P::SanUri("spiffe://example/gamma".into())),
        by(P::SubjectCn("gamma".into())),
        by(P::CertificateSha256(vec![1; 32])),
        by(P::SpkiSha256(vec![2; 32])),
    ];
    let tenants =
        entries.map(|entry| plan::Tenant { client_certificates: vec![entry], ..Default::default() });
    let plan = plan::Plan { tenants: tenants.to_vec(), ..Default::default() };
    let credentials = Credentials::build(&plan, &KeyFiles::new()).unwrap();
    let find = |certificate: ClientCertificate| {
        credentials.of_certificate(&certificate).map(|tenant| tenant.0).map_err(|refusal| refusal.reason)
    };
    let empty = ClientCertificate::default;
    let dns = |name: &str| ClientCertificate { san_dns: vec!["x".into(), name.into()], ..empty() };
    assert_eq!(find(dns("gamma.example")), Ok(0));
    assert_eq!(find(ClientCertificate { san_uri: vec!["spiffe://example/gamma".into()], ..empty() }), Ok(1));
    assert_eq!(find(ClientCertificate { subject_cn: Some("gamma".into()), ..empty() }), Ok(2));
    assert_eq!(find(ClientCertificate { certificate_sha256: [1; 32], ..empty() }), Ok(3));
    assert_eq!(find(ClientCertificate { spki_sha256: [2; 32], ..empty() }), Ok(4));
    for stranger in [empty(), dns("*.example"), dns("gamma.example.org"), dns("gamma")] {
        assert_eq!(find(stranger), Err(Reason::AuthInvalid));
    }
    let both = ClientCertificate { subject_cn: Some("gamma".into()), ..dns("gamma.example") };
    assert_eq!(find(both), Err(Reason::AuthInvalid), "two tenants");
}

#[test]
fn a_property_is_given_to_one_tenant_and_is_whole() {
    use plan::certificate_match::Property as P;
    let tenant = |entry| plan::Tenant { client_certificates: vec![entry], ..Default::default() };
    for (tenants, entry) in [
        (vec![tenant(by(P::SubjectCn("a".into()))), tenant(by(P::SubjectCn("a".into())))], "tenants[1]"),
        (vec![tenant(by(P::SanDns(String::new())))], "tenants[0]"),
        (vec![tenant(by(P::SpkiSha256(vec![0; 31])))], "tenants[0]"),
        (vec![tenant(plan::CertificateMatch::default())], "tenants[0]"),
    ] {
        let plan = plan::Plan { tenants, ..Default::default() };
        let problems = Credentials::build(&plan, &KeyFiles::new()).unwrap_err();
        assert_eq!(problems[0].entry, format!("{entry}.client_certificates[0]"));
    }
}
