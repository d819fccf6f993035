//! The header fields that we act on, collected in one pass, and what they mean for the request (not its framing).

use crate::routing::{self, Refused};
use crate::scan::malformed;
use crate::target::Target;
use dpu_types::{Reason, Refusal, RequestHead, Trace};

/// A field that may be there once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Single<'a> {
    #[default]
    Absent,
    One(&'a [u8]),
    Many,
}

impl<'a> Single<'a> {
    fn see(&mut self, value: &'a [u8]) {
        *self = if *self == Self::Absent { Self::One(value) } else { Self::Many };
    }

    /// The value, or a refusal when it is there twice.
    fn once(self, twice: &str) -> Result<Option<&'a [u8]>, Refusal> {
        match self {
            Self::Absent => Ok(None),
            Self::One(value) => Ok(Some(value)),
            Self::Many => Err(malformed(twice)),
        }
    }
}

#[derive(Default)]
pub(crate) struct Fields<'a> {
    pub host: Single<'a>,
    pub content_length: Single<'a>,
    pub transfer_encoding: Single<'a>,
    pub expect: Single<'a>,
    pub te: Single<'a>,
    pub connection: Connection,
    /// `upgrade` or `http2-settings`
    pub upgrade: bool,
    /// `keep-alive` or `proxy-connection`: harmless in HTTP/1, forbidden in HTTP/2
    pub hop_by_hop: bool,
    content_type: Single<'a>,
    content_encoding: Single<'a>,
    authorization: Single<'a>,
    conversation_id: Single<'a>,
    arm_override: Single<'a>,
    traceparent: Single<'a>,
    /// May be there several times (W3C Trace Context, 3.3.1); empty, so without an allocation, for most requests.
    tracestate: Vec<&'a [u8]>,
}

/// Options of all `connection` fields together.
#[derive(Clone, Copy, Default)]
pub(crate) struct Connection {
    pub present: bool,
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    /// An option that is not a token, or that would make a field hop-by-hop which must not be.
    pub unsound: bool,
}

impl<'a> Fields<'a> {
    /// Looks at one field, its name in any case, its value without the white space around it.
    ///
    /// Length and first letter leave one name at most: one comparison for each field, none for most.
    pub(crate) fn see(&mut self, name: &[u8], value: &'a [u8]) {
        let Some(first) = name.first() else { return };
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match (name.len(), first.to_ascii_lowercase()) {
            (2, b't') if is("te") => self.te.see(value),
            (4, b'h') if is("host") => self.host.see(value),
            (6, b'e') if is("expect") => self.expect.see(value),
            (7, b'u') if is("upgrade") => self.upgrade = true,
            (9, b'x') if is("x-dpu-arm") => self.arm_override.see(value),
            (10, b'c') if is("connection") => self.connection.see(value),
            (10, b'k') if is("keep-alive") => self.hop_by_hop = true,
            (10, b't') if is("tracestate") => self.tracestate.push(value),
            (11, b't') if is("traceparent") => self.traceparent.see(value),
            (12, b'c') if is("content-type") => self.content_type.see(value),
            (13, b'a') if is("authorization") => self.authorization.see(value),
            (14, b'c') if is("content-length") => self.content_length.see(value),
            (14, b'h') if is("http2-settings") => self.upgrade = true,
            (16, b'c') if is("content-encoding") => self.content_encoding.see(value),
            (16, b'p') if is("proxy-connection") => self.hop_by_hop = true,
            (17, b't') if is("transfer-encoding") => self.transfer_encoding.see(value),
            (17, b'x') if is("x-conversation-id") => self.conversation_id.see(value),
            _ => {}
        }
    }

    /// Routes and checks what the framing does not depend on.
    pub(crate) fn request(
        &self,
        method: &str,
        target: Target<'_>,
        host: String,
        body: Declared,
    ) -> Result<RequestHead, Refused> {
        let path = match target {
            Target::Asterisk => return Err(routing::asterisk()),
            Target::Origin { path } | Target::Absolute { path, .. } => path,
        };
        let route = routing::route(method, path)?;
        let plain = |refusal| Refused { refusal, allow: None };
        self.check_body(route.endpoint.takes_body(), body).map_err(plain)?;
        let owned = |single: Single<'_>, twice| -> Result<Option<Vec<u8>>, Refused> {
            Ok(single.once(twice).map_err(plain)?.map(<[u8]>::to_vec))
        };
        Ok(RequestHead {
            endpoint: route.endpoint,
            path_id: route.path_id,
            host,
            authorization: owned(self.authorization, "authorization is there twice")?,
            conversation_id: owned(self.conversation_id, "x-conversation-id is there twice")?,
            arm_override: owned(self.arm_override, "x-dpu-arm is there twice")?,
            traceparent: trace(self.traceparent, &self.tracestate).map(Box::new),
        })
    }

    fn check_body(&self, takes_body: bool, body: Declared) -> Result<(), Refusal> {
        match (takes_body, body) {
            (false, Declared::Some) => return Err(malformed("this endpoint takes no body")),
            (false, _) => return Ok(()),
            (true, Declared::Missing) => return Err(Reason::HttpLengthRequired.into()),
            (true, _) => {}
        }
        let json = matches!(self.content_type, Single::One(value) if is_json(value));
        let identity = match self.content_encoding {
            Single::Absent => true,
            Single::One(coding) => coding.eq_ignore_ascii_case(b"identity"),
            Single::Many => false,
        };
        if json && identity {
            return Ok(());
        }
        Err(Reason::HttpMediaType.into())
    }
}

/// What the head says of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    /// HTTP/1 without any length.
    Missing,
    /// Length 0, or HTTP/2 without a length, whose end of stream tells.
    EmptyOrUnsaid,
    /// Some bytes, or chunks.
    Some,
}

impl Connection {
    fn see(&mut self, value: &[u8]) {
        self.present = true;
        for option in
            value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
        {
            match option {
                _ if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                _ if option.eq_ignore_ascii_case(b"close") => self.close = true,
                _ if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                _ => self.unsound |= !is_token(option) || is_end_to_end(option),
            }
        }
    }
}

/// Fields that must never be declared hop-by-hop: an intermediary would drop them (RFC 9110, 7.6.1).
fn is_end_to_end(name: &[u8]) -> bool {
    [
        &b"host"[..],
        b"content-length",
        b"transfer-encoding",
        b"content-type",
        b"content-encoding",
        b"authorization",
    ]
    .iter()
    .any(|known| name.eq_ignore_ascii_case(known))
}

/// RFC 9110, 5.6.2.
pub(crate) fn is_token(text: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_tchar)
}

/// `application/json`, with no parameter but `charset=utf-8`.
fn is_json(value: &[u8]) -> bool {
    if value == b"application/json" {
        return true;
    }
    let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let media = parts.next().unwrap_or_default();
    media.eq_ignore_ascii_case(b"application/json")
        && parts.all(|parameter| {
            [&b"charset=utf-8"[..], b"charset=\"utf-8\"", b""]
                .iter()
                .any(|ok| parameter.eq_ignore_ascii_case(ok))
        })
}

/// A doubled or broken one starts a new trace, as W3C Trace Context (3.2.2, 4.3) says; `tracestate` goes with it.
fn trace(parent: Single<'_>, state: &[&[u8]]) -> Option<Trace> {
    let Single::One(value) = parent else { return None };
    Trace::parse(value).map(|trace| trace.with_state(state))
}

#[cfg(test)]
mod tests;
