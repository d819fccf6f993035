//! Who a connection's client has proved to be: the verified certificate in the terms that a tenant is named by.

/// A client certificate that the listener's CAs have verified. Names are exact; nothing here is a wildcard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// DNS subject alternative names, lower case.
    pub san_dns: Vec<String>,
    /// URI subject alternative names.
    pub san_uri: Vec<String>,
    /// The subject's common name, where it has exactly one.
    pub subject_cn: Option<String>,
    /// SHA-256 of the certificate's DER.
    pub certificate_sha256: [u8; 32],
    /// SHA-256 of the DER of SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
}
