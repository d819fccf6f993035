//! Which reason a TLS or socket error counts under.

use dpu_types::Reason;
use std::io::{Error, ErrorKind};

/// The reason of what rustls refused. A broken peer, a stranger's name and an old version are all the client's.
#[must_use]
pub const fn classify(error: &rustls::Error) -> Reason {
    match error {
        rustls::Error::FailedToGetRandomBytes
        | rustls::Error::FailedToGetCurrentTime
        | rustls::Error::EncryptError => Reason::Internal,
        _ => Reason::TlsHandshakeFailed,
    }
}

/// The reason of an I/O error while a handshake ran; rustls's errors travel inside those.
#[must_use]
pub fn classify_io(error: &Error) -> Reason {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return classify(inner);
    }
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Reason::TlsHandshakeTimeout,
        _ => Reason::TlsHandshakeFailed,
    }
}
