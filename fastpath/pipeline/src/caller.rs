//! Who is at the other end of a connection, judged again for each request: a ticket skips the checks of a handshake, and
//! a connection may outlive certificate, revocation list and plan.

use crate::ends::Ends;
use crate::programmed::{Listener, Programmed};
use dpu_policy::{TenantIndex, TokenCache};
use dpu_tls::{Asked, Client, PeerIdentity};
use dpu_types::{Reason, Refusal};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

/// What a client library that insists on a key sends instead of one, to be known by its certificate. It is only looked
/// at on connections that have one; elsewhere it is a key like any other, and nobody's.
const NO_KEY: &[u8] = b"Bearer client-certificate";

/// One connection's client.
pub struct Caller {
    listener: SocketAddr,
    ends: Rc<Ends>,
    sni: Option<String>,
    client: Option<Client>,
    judged: RefCell<Judged>,
}

/// What one plan's credentials say of the client; it costs look-ups, so it is remembered while the plan stays.
struct Judged {
    /// `Policy::credentials_id`; 0 is none's.
    by: u64,
    allowed: Result<(), Refusal>,
    /// Of the client certificate, where there is one.
    tenant: Option<Result<TenantIndex, Refusal>>,
}

impl Caller {
    /// The client of a connection that `listener` has just taken.
    #[must_use]
    pub fn new(listener: &Listener, ends: Ends, peer: PeerIdentity) -> Self {
        let judged = RefCell::new(Judged { by: 0, allowed: Ok(()), tenant: None });
        Self { listener: listener.address, ends: Rc::new(ends), sni: peer.sni, client: peer.client, judged }
    }

    /// The ends of its connection.
    pub const fn ends(&self) -> &Rc<Ends> {
        &self.ends
    }

    /// Whether a request for `host` (lower case, no port; empty where HTTP/1.0 named none) may come this way.
    ///
    /// # Errors
    /// `http_misdirected` where the handshake asked for another name: certificate, and so client, were chosen for that.
    pub fn check_host(&self, host: &str) -> Result<(), Reason> {
        let Some(sni) = &self.sni else { return Ok(()) };
        let bare = |name: &str| name.strip_suffix('.').map_or(name.len(), str::len);
        let (sni, host) = (&sni[..bare(sni)], &host[..bare(host)]);
        // rustls gives the name as it came or in lower case; either way case does not count (RFC 6066, 3).
        let same = host.is_empty() || sni.eq_ignore_ascii_case(host);
        same.then_some(()).ok_or(Reason::HttpMisdirected)
    }

    /// Whose request it is. `now_s` is seconds since 1970. An `authorization` header decides alone where there is one:
    /// a bad one is refused, not passed over for the certificate.
    ///
    /// # Errors
    /// 401, by what is wrong.
    pub fn tenant(
        &self,
        plan: &Programmed,
        authorization: Option<&[u8]>,
        now_s: u64,
        tokens: &mut TokenCache,
    ) -> Result<TenantIndex, Refusal> {
        let mut judged = self.judged.borrow_mut();
        if judged.by != plan.policy.credentials_id() {
            *judged = self.judge(plan);
        }
        judged.allowed.clone()?;
        if let Some(client) = &self.client {
            if !(client.not_before_s..=client.not_after_s).contains(&now_s) {
                return Err(Reason::AuthCertificateExpired.into());
            }
        }
        match (authorization, &judged.tenant) {
            (None | Some(NO_KEY), Some(tenant)) => tenant.clone(),
            (authorization, _) => plan.policy.authenticate(authorization, now_s, tokens),
        }
    }

    fn judge(&self, plan: &Programmed) -> Judged {
        // A listener that the plan has no more takes no connections, and finishes those that it has as they were.
        let listener = plan.listeners.iter().find(|listener| listener.address == self.listener);
        let allowed = listener.map_or(Ok(()), |listener| self.allowed_by(listener));
        let tenant = self.client.as_ref().map(|c| plan.policy.tenant_of_certificate(&c.certificate));
        Judged { by: plan.policy.credentials_id(), allowed, tenant }
    }

    fn allowed_by(&self, listener: &Listener) -> Result<(), Refusal> {
        match &self.client {
            Some(client) => listener.tls.trust.recheck(client).map_err(Refusal::from),
            None if listener.tls.trust.asked() == Asked::Required => {
                let why = "this listener requires a client certificate now: connect again with one";
                Err(Refusal::from(Reason::AuthMissing).because(why))
            }
            None => Ok(()),
        }
    }
}
