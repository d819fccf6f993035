//! Client certificates of one listener: who may issue them, which are revoked, and whether that still holds later.

use crate::config::TlsProblem;
use crate::peer::Client;
use aws_lc_rs::digest;
use dpu_types::Reason;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::RootCertStore;
use std::sync::Arc;
use webpki::{CertRevocationList, OwnedCertRevocationList};

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// They are not.
    #[default]
    None,
    /// They may have none; one that is given has to be good.
    Optional,
    /// The handshake of one without ends with `certificate_required`.
    Required,
}

/// What a listener wants of its clients, as the plan's files hold it.
#[derive(Clone, Debug, Default)]
pub struct ClientsInput {
    /// Whether they are asked.
    pub asked: Asked,
    /// Each a PEM file with one CA or more.
    pub ca_files: Vec<Vec<u8>>,
    /// Each a PEM file with one list or more, or the DER of one.
    pub crl_files: Vec<Vec<u8>>,
}

/// A listener's trust in clients, for judging a connection again long after its handshake.
#[derive(Debug)]
pub struct ClientTrust {
    asked: Asked,
    id: [u8; 32],
    lists: Vec<CertRevocationList<'static>>,
}

impl ClientTrust {
    /// Whether clients are asked.
    #[must_use]
    pub const fn asked(&self) -> Asked {
        self.asked
    }

    /// Stands for the mode and the set of CAs, whatever their order. Sessions resume only where it is the same.
    #[must_use]
    pub const fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// Judges a client that was verified earlier, maybe under an older plan or by a ticket, which both skip the
    /// checks of a handshake. Costs a look into each list of the issuer: keep the answer as long as this trust.
    ///
    /// # Errors
    /// `auth_certificate_revoked` where it is on a list now, or the CAs or the mode are not those of its handshake.
    pub fn recheck(&self, client: &Client) -> Result<(), Reason> {
        let listed = |list: &CertRevocationList<'_>| {
            list.issuer() == client.issuer && !matches!(list.find_serial(&client.serial), Ok(None))
        };
        if client.trust != self.id || self.lists.iter().any(listed) {
            return Err(Reason::AuthCertificateRevoked);
        }
        Ok(())
    }
}

pub(crate) type Loaded = (ClientTrust, Arc<dyn ClientCertVerifier>);

/// # Errors
/// The first file that cannot be used.
pub(crate) fn load(input: &ClientsInput, provider: &Arc<CryptoProvider>) -> Result<Loaded, TlsProblem> {
    if input.asked == Asked::None {
        return Ok((
            ClientTrust { asked: input.asked, id: trust_id(input.asked, &[]), lists: Vec::new() },
            Arc::new(NoClientAuth),
        ));
    }
    let cas = all(&input.ca_files, authorities)?;
    let lists = all(&input.crl_files, revocation_lists)?;
    let mut roots = RootCertStore::empty();
    for ca in &cas {
        roots.add(ca.clone()).map_err(|error| ca_problem(0, format!("a CA cannot be used: {error}")))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if !lists.is_empty() {
        // The issuers are the operator's own choice; it is leaves that get lost. A leaf whose issuer has no list is
        // refused (the verifier's default), so that a forgotten list shows at once and not at the first theft.
        builder = builder.with_crls(lists.clone()).only_check_end_entity_revocation();
    }
    if input.asked == Asked::Optional {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder.build().map_err(|error| ca_problem(0, error.to_string()))?;
    let parsed = lists.iter().filter_map(|list| OwnedCertRevocationList::from_der(list).ok());
    let lists = parsed.map(CertRevocationList::from).collect();
    Ok((ClientTrust { asked: input.asked, id: trust_id(input.asked, &cas), lists }, verifier))
}

fn all<T>(
    files: &[Vec<u8>],
    read: impl Fn(usize, &[u8]) -> Result<Vec<T>, TlsProblem>,
) -> Result<Vec<T>, TlsProblem> {
    let mut found = Vec::new();
    for (index, file) in files.iter().enumerate() {
        found.extend(read(index, file)?);
    }
    Ok(found)
}

fn authorities(index: usize, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let bad = |what| ca_problem(index, what);
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(format!("the file is not valid PEM: {error}")))?;
    if found.is_empty() {
        return Err(bad("the file has no certificate in PEM form".into()));
    }
    for ca in &found {
        webpki::anchor_from_trusted_cert(ca)
            .map_err(|error| bad(format!("a certificate of it cannot be a CA: {error}")))?;
    }
    Ok(found)
}

fn ca_problem(index: usize, what: String) -> TlsProblem {
    let fix = "give the certificates of the CAs that issue client certificates, in PEM".to_owned();
    TlsProblem { entry: format!("client_ca_files[{index}]"), what, fix }
}

fn revocation_lists(
    index: usize,
    file: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsProblem> {
    let bad = |what| TlsProblem {
        entry: format!("client_crl_files[{index}]"),
        what,
        fix: "give a certificate revocation list in PEM or DER, for example from: openssl ca -gencrl"
            .to_owned(),
    };
    let is_der = file.first() == Some(&0x30);
    let found = if is_der {
        vec![CertificateRevocationListDer::from(file.to_vec())]
    } else {
        CertificateRevocationListDer::pem_slice_iter(file)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad(format!("the file is not valid PEM: {error}")))?
    };
    if found.is_empty() {
        return Err(bad("the file has no revocation list".into()));
    }
    for list in &found {
        OwnedCertRevocationList::from_der(list)
            .map_err(|error| bad(format!("a list of it cannot be used: {error}")))?;
    }
    Ok(found)
}

fn trust_id(asked: Asked, cas: &[CertificateDer<'_>]) -> [u8; 32] {
    let mut each: Vec<_> = cas.iter().map(|ca| sha256(ca)).collect();
    each.sort_unstable();
    each.dedup();
    let mut all = vec![asked as u8];
    all.extend(each.into_iter().flatten());
    sha256(&all)
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}
