//! PEM to checked certificates: whole, with the right key, and valid for the names that they are listed for.

use crate::config::{CertificateInfo, CertificateInput, TlsProblem};
use crate::der;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys, SignatureAlgorithm};
use std::sync::Arc;

/// Certificates of one chain; more is a file that was concatenated by mistake.
const CHAIN_CERTIFICATES_MAX: usize = 10;

/// One certificate and the names that choose it, lower case.
pub(crate) struct Loaded {
    pub index: usize,
    pub names: Vec<String>,
    pub key: Arc<CertifiedKey>,
    not_after_s: u64,
}

impl Loaded {
    pub(crate) fn info(&self) -> CertificateInfo {
        let key_kind = match self.key.key.algorithm() {
            SignatureAlgorithm::RSA => "rsa",
            SignatureAlgorithm::ED25519 => "ed25519",
            _ => "ecdsa",
        };
        let name = self.names.first().cloned().unwrap_or_default();
        CertificateInfo { name, key_kind, not_after_s: self.not_after_s }
    }
}

/// `now_s` is seconds since 1970.
pub(crate) fn load(
    certs: &[CertificateInput],
    provider: &CryptoProvider,
    now_s: u64,
) -> Result<Vec<Loaded>, TlsProblem> {
    if certs.is_empty() {
        return Err(TlsProblem {
            entry: "certificates".into(),
            what: "the listener has no certificate".into(),
            fix: "list at least one certificate with its private key".into(),
        });
    }
    certs.iter().enumerate().map(|(index, input)| load_one(index, input, provider, now_s)).collect()
}

fn load_one(
    index: usize,
    input: &CertificateInput,
    provider: &CryptoProvider,
    now_s: u64,
) -> Result<Loaded, TlsProblem> {
    let chain = chain(index, &input.chain_pem)?;
    let key = private_key(index, &input.key_pem, provider)?;
    let key = CertifiedKey::new(chain, key);
    check_key(index, &key)?;
    let names = check_names(index, &input.server_names, &key)?;
    let not_after_s = check_validity(index, &key, now_s)?;
    Ok(Loaded { index, names, key: Arc::new(key), not_after_s })
}

/// Refused, not warned of: no client would take it, and before the plan goes live somebody is there to mend it.
fn check_validity(index: usize, key: &CertifiedKey, now_s: u64) -> Result<u64, TlsProblem> {
    let bad = |what: String, fix: &str| problem(index, "certificate_file", what, fix);
    let validity = key.cert.first().and_then(|leaf| der::validity(leaf));
    let (from, until) =
        validity.ok_or_else(|| bad("the validity cannot be read".into(), "give another certificate"))?;
    if until < now_s {
        let what = format!("the certificate expired {} ago", age(now_s - until));
        return Err(bad(what, "renew it; for development: make certs"));
    }
    if from > now_s {
        let what = format!("the certificate becomes valid in {}", age(from - now_s));
        return Err(bad(what, "wait, give one that is valid now, or set this machine's clock"));
    }
    Ok(until)
}

/// In words for people.
fn age(seconds: u64) -> String {
    match seconds {
        0..=7199 => format!("{} minutes", seconds / 60),
        7200..=172_799 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn chain(index: usize, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let bad =
        |what: String| problem(index, "certificate_file", what, "give the PEM chain, leaf certificate first");
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(format!("the file is not valid PEM: {error}")))?;
    match chain.len() {
        0 => Err(bad("the file has no certificate in PEM form".into())),
        1..=CHAIN_CERTIFICATES_MAX => Ok(chain),
        count => Err(bad(format!("the file has {count} certificates, {CHAIN_CERTIFICATES_MAX} are allowed"))),
    }
}

fn private_key(
    index: usize,
    pem: &[u8],
    provider: &CryptoProvider,
) -> Result<Arc<dyn SigningKey>, TlsProblem> {
    // What the PEM reader or aws-lc say of a key never has its bytes in it.
    let bad = |what: String| {
        problem(
            index,
            "private_key_file",
            what,
            "give an unencrypted ECDSA or RSA key in PEM: PKCS#8, SEC1 or PKCS#1",
        )
    };
    let der = PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            bad("the file has no usable private key in PEM form".into())
        }
        error => bad(format!("the file is not valid PEM: {error}")),
    })?;
    provider
        .key_provider
        .load_private_key(der)
        .map_err(|error| bad(format!("the key cannot be used: {error}")))
}

fn check_key(index: usize, key: &CertifiedKey) -> Result<(), TlsProblem> {
    key.keys_match().map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => problem(
            index,
            "private_key_file",
            "the private key does not belong to the certificate".into(),
            "give the key that this certificate was issued for, and the leaf first in the chain",
        ),
        error => problem(
            index,
            "certificate_file",
            format!("the leaf certificate cannot be used: {error}"),
            "give an X.509 version 3 certificate with an ECDSA or RSA key",
        ),
    })
}

fn check_names(index: usize, names: &[String], key: &CertifiedKey) -> Result<Vec<String>, TlsProblem> {
    let bad = |what: String, fix: &str| problem(index, "server_names", what, fix);
    let leaf = key.end_entity_cert().and_then(ParsedCertificate::try_from);
    let leaf = leaf.map_err(|error| bad(error.to_string(), "give another certificate"))?;
    let check = |name: &String| {
        let lower = name.to_ascii_lowercase();
        let sample = lower.strip_prefix("*.").map_or_else(|| lower.clone(), |zone| format!("any.{zone}"));
        let host = ServerName::try_from(sample.as_str()).map_err(|_| {
            bad(format!("'{name}' is not a host name"), "write 'host.example' or '*.example'")
        })?;
        rustls::client::verify_server_name(&leaf, &host).map_err(|_| {
            bad(
                format!("the certificate is not valid for '{name}'"),
                "take the name out, or give a certificate that has it as subject alternative name",
            )
        })?;
        Ok(lower)
    };
    names.iter().map(check).collect()
}

pub(crate) fn problem(index: usize, field: &str, what: String, fix: &str) -> TlsProblem {
    TlsProblem { entry: format!("certificates[{index}].{field}"), what, fix: fix.to_owned() }
}
