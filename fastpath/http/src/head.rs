//! An HTTP/1.x request head: strict line scan, httparse, then the framing rules of RFC 9112 without any leniency.

use crate::fields::{Declared, Fields, Single};
use crate::host::{self, Authority};
use crate::limits::{HeadLimits, HEADERS_CEILING};
use crate::scan::{malformed, Scan};
use crate::target::{self, Target};
use dpu_types::{Reason, Refusal, RequestHead};
use std::mem::MaybeUninit;

/// How the body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// Neither length nor chunks: there is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunked coding.
    Chunked,
}

/// A head whose framing is sound: it is known where its body ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the buffer that belong to it; the body starts there.
    pub consumed: usize,
    /// The request, or why it is refused; the body can be read and dropped then and the connection kept.
    pub request: Result<RequestHead, Refusal>,
    /// For the `allow` field, with a 405.
    pub allow: Option<&'static str>,
    /// How the body is framed.
    pub body: BodyFraming,
    /// Whether the client lets the connection live on (RFC 9112, 9.3).
    pub keep_alive: bool,
    /// The client waits for a 100 before it sends the body.
    pub expect_continue: bool,
    /// HTTP/1.0: no chunks in the answer.
    pub http10: bool,
    /// The method was HEAD: the answer, always a refusal, has no body.
    pub bodiless: bool,
}

/// The framing is not sound: answer, then close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadRefused {
    /// Why.
    pub refusal: Refusal,
}

impl From<Refusal> for HeadRefused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal }
    }
}

/// Reads heads out of a growing buffer, in time linear to its bytes.
#[derive(Default)]
pub struct HeadParser {
    scan: Scan,
}

impl HeadParser {
    /// At the start of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the head that was begun.
    pub fn reset(&mut self) {
        self.scan = Scan::default();
    }

    /// Whether what `parse` has seen is more than empty lines before a head.
    #[must_use]
    pub const fn has_begun(&self, buf: &[u8]) -> bool {
        self.scan.has_begun(buf)
    }

    /// The head at the start of `buf`; None when it is not all there. Until then `buf` may only grow at its end.
    /// After a head, remove `consumed` bytes; the next call starts on the next head.
    ///
    /// # Errors
    /// Why the connection has to be closed.
    pub fn parse(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Option<Head>, HeadRefused> {
        let Some(extent) = self.scan.advance(buf, limits)? else { return Ok(None) };
        self.reset();
        let head = frame(&buf[extent.start..extent.end])?;
        Ok(Some(Head { consumed: extent.end, ..head }))
    }
}

/// Reads a whole head, from its request line to its empty line.
fn frame(bytes: &[u8]) -> Result<Head, Refusal> {
    let mut table = [const { MaybeUninit::uninit() }; HEADERS_CEILING];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, &mut table) {
        Ok(httparse::Status::Complete(size)) if size == bytes.len() => {}
        Ok(_) => return Err(malformed("the head does not end where its lines do")),
        Err(error) => return Err(unparsable(bytes, error)),
    }
    let mut fields = Fields::default();
    for header in parsed.headers.iter() {
        fields.see(header.name.as_bytes(), header.value);
    }
    let method = parsed.method.unwrap_or_default();
    meaning(method, parsed.path.unwrap_or_default(), parsed.version == Some(0), &fields)
}

fn meaning(method: &str, target: &str, http10: bool, fields: &Fields<'_>) -> Result<Head, Refusal> {
    check_upgrade(method, fields)?;
    if fields.connection.unsound {
        return Err(malformed("a connection option is not valid"));
    }
    let target = target::parse(target).ok_or_else(|| malformed("the request target is not valid"))?;
    if target == Target::Asterisk && method != "OPTIONS" {
        return Err(malformed("'*' is for OPTIONS only"));
    }
    let host = host_of(target, fields.host, http10)?;
    let body = body_framing(fields, http10)?;
    let expects = expects_continue(fields.expect)?;
    let (declared, has_body) = match body {
        BodyFraming::None => (Declared::Missing, false),
        BodyFraming::Length(0) => (Declared::EmptyOrUnsaid, false),
        BodyFraming::Length(_) | BodyFraming::Chunked => (Declared::Some, true),
    };
    let (request, allow) = match fields.request(method, target, host, declared) {
        Ok(request) => (Ok(request), None),
        Err(refused) => (Err(refused.refusal), refused.allow),
    };
    let keep_alive = !fields.connection.close && (!http10 || fields.connection.keep_alive);
    // An HTTP/1.0 client's expectation is ignored (RFC 9110, 10.1.1).
    let expect_continue = expects && !http10 && has_body;
    Ok(Head {
        consumed: 0,
        request,
        allow,
        body,
        keep_alive,
        expect_continue,
        http10,
        bodiless: method == "HEAD",
    })
}

/// httparse says what is wrong with the syntax; only the version has a reason of its own.
fn unparsable(bytes: &[u8], error: httparse::Error) -> Refusal {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    if line == b"PRI * HTTP/2.0" {
        return Refusal::from(Reason::HttpUpgradeRefused).because("HTTP/2 starts with ALPN h2 here");
    }
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    // A version that is spoken here stands in the wrong place then.
    let is_another = matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit() && !matches!((major, minor), (b'1', b'0' | b'1')));
    match error {
        httparse::Error::Version if is_another => Reason::HttpBadVersion.into(),
        httparse::Error::TooManyHeaders => Reason::HttpTooManyHeaders.into(),
        other => malformed(&other.to_string()),
    }
}

fn check_upgrade(method: &str, fields: &Fields<'_>) -> Result<(), Refusal> {
    if method == "CONNECT" || fields.upgrade || fields.connection.upgrade {
        return Err(Reason::HttpUpgradeRefused.into());
    }
    Ok(())
}

/// The host that is asked for; empty only for HTTP/1.0, which does not need one (RFC 9112, 3.2).
fn host_of(target: Target<'_>, field: Single<'_>, http10: bool) -> Result<String, Refusal> {
    let bad = |detail: &str| Refusal::from(Reason::HttpBadHost).because(detail);
    let named = match field {
        Single::Many => return Err(bad("Host is there twice")),
        Single::One(value) => Some(host::parse(value).ok_or_else(|| bad("Host is not valid"))?),
        Single::Absent if http10 => None,
        Single::Absent => return Err(bad("Host is missing")),
    };
    let Target::Absolute { authority, default_port, .. } = target else {
        return Ok(named.map_or_else(String::new, |named| named.host));
    };
    let aimed = host::parse(authority.as_bytes()).ok_or_else(|| bad("the target's host is not valid"))?;
    // RFC 9112, 3.2.2 would let the target win; two names for one request are refused here.
    if named.is_some_and(|named: Authority| !named.agrees(&aimed, default_port)) {
        return Err(bad("Host and the request target disagree"));
    }
    Ok(aimed.host)
}

/// RFC 9112, 6.3, without its repairs: one length or one `chunked`, never both, never a list.
fn body_framing(fields: &Fields<'_>, http10: bool) -> Result<BodyFraming, Refusal> {
    let ambiguous = |detail: &str| Refusal::from(Reason::HttpAmbiguousLength).because(detail);
    match (fields.transfer_encoding, fields.content_length) {
        (Single::Absent, Single::Absent) => Ok(BodyFraming::None),
        (Single::Absent, Single::One(value)) => length(value)
            .map(BodyFraming::Length)
            .ok_or_else(|| ambiguous("Content-Length is not one number")),
        (Single::Absent, Single::Many) => Err(ambiguous("Content-Length is there twice")),
        (_, Single::One(_) | Single::Many) => {
            Err(ambiguous("Transfer-Encoding together with Content-Length"))
        }
        (_, Single::Absent) if http10 => Err(ambiguous("HTTP/1.0 has no Transfer-Encoding")),
        (Single::One(coding), Single::Absent) if coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(BodyFraming::Chunked)
        }
        (_, Single::Absent) => Err(ambiguous("Transfer-Encoding is not exactly 'chunked'")),
    }
}

/// Digits only, and no more than 64 bits of them.
pub(crate) fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

pub(crate) fn expects_continue(field: Single<'_>) -> Result<bool, Refusal> {
    match field {
        Single::Absent => Ok(false),
        Single::One(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(true),
        _ => Err(Reason::HttpBadExpect.into()),
    }
}
