//! A request head that came over HTTP/2 (RFC 9113, 8), as the `h2` crate hands it over.

use crate::fields::{Declared, Fields, Single};
use crate::head::{expects_continue, length, HeadRefused};
use crate::host;
use crate::limits::HeadLimits;
use crate::scan::malformed;
use crate::target::{self, Target};
use dpu_types::{Reason, Refusal, RequestHead};

/// A head that is well formed, whatever is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H2Head {
    /// The request, or why it is refused.
    pub request: Result<RequestHead, Refusal>,
    /// For the `allow` field, with a 405.
    pub allow: Option<&'static str>,
    /// What `content-length` says; check the body with [`crate::LengthCheck`].
    pub content_length: Option<u64>,
    /// The client waits for a 100.
    pub expect_continue: bool,
    /// The method was HEAD: the answer has no body.
    pub bodiless: bool,
}

/// Of https, the only scheme that is served here.
const DEFAULT_PORT: u16 = 443;

/// Bytes that each field counts beside its name and value (RFC 9113, 6.5.2).
const FIELD_OVERHEAD_BYTES: usize = 32;

/// Reads what a request's head means.
///
/// # Errors
/// The request is malformed (RFC 9113, 8.1.1): answer, then reset the stream.
pub fn request_head(parts: &http::request::Parts, limits: &HeadLimits) -> Result<H2Head, HeadRefused> {
    check_size(parts, limits)?;
    let mut fields = Fields::default();
    for (name, value) in &parts.headers {
        let value = value.as_bytes();
        if value != value.trim_ascii() {
            return Err(malformed("a field value starts or ends with white space").into());
        }
        fields.see(name.as_str().as_bytes(), value);
    }
    check_connection_fields(&fields)?;
    let method = parts.method.as_str();
    if method == "CONNECT" {
        return Err(Refusal::from(Reason::HttpUpgradeRefused).into());
    }
    let target = target_of(&parts.uri, method)?;
    let host = host_of(&parts.uri, fields.host)?;
    let content_length = content_length(&fields)?;
    let expect_continue = expects_continue(fields.expect)?;
    let declared =
        if content_length.is_some_and(|n| n > 0) { Declared::Some } else { Declared::EmptyOrUnsaid };
    let (request, allow) = match fields.request(method, target, host, declared) {
        Ok(request) => (Ok(request), None),
        Err(refused) => (Err(refused.refusal), refused.allow),
    };
    Ok(H2Head { request, allow, content_length, expect_continue, bodiless: method == "HEAD" })
}

/// Field count, cookie crumbs as one (RFC 9113, 8.2.3), and bytes, every crumb in full.
fn check_size(parts: &http::request::Parts, limits: &HeadLimits) -> Result<(), Refusal> {
    let uri = &parts.uri;
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let mut bytes = path + uri.authority().map_or(0, |authority| authority.as_str().len());
    let (mut count, mut crumbs) = (0, 0);
    for (name, value) in &parts.headers {
        bytes += name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES;
        match name {
            &http::header::COOKIE => crumbs += 1,
            _ => count += 1,
        }
    }
    if bytes > limits.head_bytes_max {
        return Err(Reason::HttpHeadTooLarge.into());
    }
    if count + usize::from(crumbs > 0) > limits.headers_max {
        return Err(Reason::HttpTooManyHeaders.into());
    }
    Ok(())
}

/// RFC 9113, 8.2.2.
fn check_connection_fields(fields: &Fields<'_>) -> Result<(), Refusal> {
    let te = match fields.te {
        Single::Absent => true,
        Single::One(value) => value.eq_ignore_ascii_case(b"trailers"),
        Single::Many => false,
    };
    let transfer = fields.transfer_encoding != Single::Absent;
    if !te || transfer || fields.connection.present || fields.upgrade || fields.hop_by_hop {
        return Err(malformed("a connection-specific field in HTTP/2"));
    }
    Ok(())
}

fn target_of<'u>(uri: &'u http::Uri, method: &str) -> Result<Target<'u>, Refusal> {
    // The h2 crate refuses a head without ':scheme', and drops the scheme where there is no ':authority'.
    if !matches!(uri.scheme_str(), None | Some("https")) {
        return Err(malformed("':scheme' is not https"));
    }
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    match target::parse(path) {
        Some(Target::Asterisk) if method == "OPTIONS" => Ok(Target::Asterisk),
        Some(origin @ Target::Origin { .. }) => Ok(origin),
        _ => Err(malformed("':path' is not valid")),
    }
}

/// `:authority`, or Host where that is missing; where both are there they agree (RFC 9113, 8.3.1).
fn host_of(uri: &http::Uri, field: Single<'_>) -> Result<String, Refusal> {
    let bad = |detail: &str| Refusal::from(Reason::HttpBadHost).because(detail);
    let named = match field {
        Single::Many => return Err(bad("Host is there twice")),
        Single::One(value) => Some(host::parse(value).ok_or_else(|| bad("Host is not valid"))?),
        Single::Absent => None,
    };
    let aimed = match uri.authority() {
        None => return named.map(|named| named.host).ok_or_else(|| bad("':authority' and Host are missing")),
        Some(authority) => {
            host::parse(authority.as_str().as_bytes()).ok_or_else(|| bad("':authority' is not valid"))?
        }
    };
    if named.is_some_and(|named| !named.agrees(&aimed, DEFAULT_PORT)) {
        return Err(bad("Host and ':authority' disagree"));
    }
    Ok(aimed.host)
}

fn content_length(fields: &Fields<'_>) -> Result<Option<u64>, Refusal> {
    match fields.content_length {
        Single::Absent => Ok(None),
        Single::One(value) if length(value).is_some() => Ok(length(value)),
        _ => Err(Refusal::from(Reason::HttpAmbiguousLength).because("content-length is not one number")),
    }
}

#[cfg(test)]
mod tests;
