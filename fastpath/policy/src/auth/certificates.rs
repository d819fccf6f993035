//! Tenants by client certificate: each property of a verified certificate is looked up, exactly as it is.

use crate::TenantIndex;
use dpu_types::plan::certificate_match::Property;
use dpu_types::{plan, ClientCertificate, Reason, Refusal};
use std::collections::HashMap;

/// A property that stands for a tenant.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Known {
    Dns(String),
    Uri(String),
    CommonName(String),
    Certificate([u8; 32]),
    PublicKey([u8; 32]),
}

impl Known {
    /// None where a digest has not 32 bytes, or nothing is named.
    fn of(entry: &plan::CertificateMatch) -> Option<Self> {
        Some(match entry.property.as_ref()? {
            Property::SanDns(name) if !name.is_empty() => Self::Dns(name.to_ascii_lowercase()),
            Property::SanUri(uri) if !uri.is_empty() => Self::Uri(uri.clone()),
            Property::SubjectCn(name) if !name.is_empty() => Self::CommonName(name.clone()),
            Property::CertificateSha256(digest) => Self::Certificate(digest.as_slice().try_into().ok()?),
            Property::SpkiSha256(digest) => Self::PublicKey(digest.as_slice().try_into().ok()?),
            _ => return None,
        })
    }
}

/// Every property of every tenant.
#[derive(Debug, Default)]
pub(crate) struct Certificates(HashMap<Known, TenantIndex>);

impl Certificates {
    /// Adds an entry.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn insert(
        &mut self,
        entry: &plan::CertificateMatch,
        tenant: TenantIndex,
    ) -> Result<(), String> {
        let known = Known::of(entry).ok_or("names no property, or one without a value")?;
        match self.0.insert(known, tenant) {
            Some(other) => Err(format!("is there already, for tenants[{}]", other.0)),
            None => Ok(()),
        }
    }

    /// # Errors
    /// `auth_invalid` where it belongs to nobody, or to two tenants by two of its properties: a plan that says so
    /// cannot be told from a certificate that its CA should not have issued.
    pub(crate) fn tenant_of(&self, certificate: &ClientCertificate) -> Result<TenantIndex, Refusal> {
        let names = certificate.san_dns.iter().cloned().map(Known::Dns);
        let uris = certificate.san_uri.iter().cloned().map(Known::Uri);
        let subject = certificate.subject_cn.iter().cloned().map(Known::CommonName);
        let digests =
            [Known::Certificate(certificate.certificate_sha256), Known::PublicKey(certificate.spki_sha256)];
        let mut found = None;
        for tenant in names.chain(uris).chain(subject).chain(digests).filter_map(|known| self.0.get(&known)) {
            if found.is_some_and(|other| other != *tenant) {
                return Err(invalid("the client certificate belongs to more than one tenant"));
            }
            found = Some(*tenant);
        }
        found.ok_or_else(|| invalid("the client certificate belongs to no tenant"))
    }
}

fn invalid(why: &str) -> Refusal {
    Refusal::from(Reason::AuthInvalid).because(why)
}
