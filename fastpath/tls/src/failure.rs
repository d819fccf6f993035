//! Which reason a TLS or socket error counts under.

use dpu_types::Reason;
use rustls::{CertificateError, Error as TlsError, PeerIncompatible};
use std::io::{Error, ErrorKind};

/// What rustls says when the resolver has no certificate; it has no variant of its own.
const NO_CERTIFICATE: &str = "no server certificate chain resolved";

/// The reason of what rustls refused; each has its own count. All but ours are the client's.
#[must_use]
pub fn classify(error: &TlsError) -> Reason {
    match error {
        TlsError::FailedToGetRandomBytes | TlsError::FailedToGetCurrentTime | TlsError::EncryptError => {
            Reason::Internal
        }
        TlsError::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => Reason::TlsVersion,
        TlsError::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon) => Reason::TlsNoCertificate,
        TlsError::NoCertificatesPresented => Reason::TlsClientCertificateMissing,
        TlsError::InvalidCertificate(error) => client_certificate(error),
        TlsError::General(what) if what == NO_CERTIFICATE => Reason::TlsNoCertificate,
        _ => Reason::TlsHandshakeFailed,
    }
}

const fn client_certificate(error: &CertificateError) -> Reason {
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Reason::TlsClientCertificateExpired,
        CertificateError::Revoked
        | CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => Reason::TlsClientCertificateRevoked,
        CertificateError::UnknownIssuer => Reason::TlsClientCertificateUnknownCa,
        _ => Reason::TlsClientCertificateBad,
    }
}

/// The reason of an I/O error while a handshake ran; rustls's errors travel inside those.
#[must_use]
pub fn classify_io(error: &Error) -> Reason {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        return classify(inner);
    }
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Reason::TlsHandshakeTimeout,
        _ => Reason::TlsHandshakeFailed,
    }
}
