//! What the client keeps for the next handshake: its tickets.

use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::NamedGroup;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// More than any server sends at once.
const KEPT_MAX: usize = 16;

/// The tickets of one sequence of handshakes with one server.
#[derive(Default, Debug)]
pub struct Tickets {
    /// Whether they are used: a client that never resumes asks for tickets all the same, as browsers do.
    used: bool,
    kept: Mutex<VecDeque<Tls13ClientSessionValue>>,
}

impl Tickets {
    /// None yet; `used`: handshakes are resumed with those that come.
    #[must_use]
    pub fn new(used: bool) -> Self {
        Self { used, ..Self::default() }
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push_back(ticket);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if self.used {
            kept.pop_front()
        } else {
            None
        }
    }
}
