//! Whole answers, and the records that end when they are written.

use crate::core::Core;
use crate::record::Record;
use dpu_http::answer;
use dpu_http::respond::Extra;
use dpu_policy::Rates;
use dpu_types::{Reason, Refusal, RequestId};
use std::rc::Rc;

/// A whole answer, ready to be framed.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Vec<u8>,
    /// Fields beside the standing ones.
    pub extra: Extra,
}
/// An answer, and the record that ends when it is written.
pub struct Answered {
    /// To write.
    pub answer: Answer,
    /// To tell when it is written.
    pub ending: Ending,
}

/// A record whose answer is made and not yet written.
pub struct Ending {
    core: Rc<Core>,
    record: Option<Record>,
    reason: Reason,
}

impl Ending {
    /// The end of a request that got no further than this answer.
    #[must_use]
    pub const fn new(core: Rc<Core>, record: Record, reason: Reason) -> Self {
        Self { core, record: Some(record), reason }
    }

    /// The answer was handed to TLS.
    pub fn written(mut self) {
        self.close(self.reason);
    }

    /// It could not be, for this reason.
    pub fn unwritten(mut self, reason: Reason) {
        if self.reason == Reason::None {
            self.close(reason);
        }
    }

    fn close(&mut self, reason: Reason) {
        if let Some(mut record) = self.record.take() {
            if matches!(reason, Reason::ClientGone | Reason::ClientTooSlow) {
                record.status = reason.info().status;
            }
            self.core.end(&record, reason);
        }
    }
}

impl Drop for Ending {
    /// A refusal that could not be written stays a refusal; an answer that could not be written was not answered.
    fn drop(&mut self) {
        let reason = if self.reason == Reason::None { self.core.gone_reason() } else { self.reason };
        self.close(reason);
    }
}
/// The answer of a refusal: OpenAI's shape, `x-request-id`, `retry-after` where a retry may help.
#[must_use]
pub fn refusal_answer(refusal: &Refusal, id: RequestId, rate: Option<Rates>) -> Answer {
    let info = refusal.reason.info();
    let mut body = Vec::with_capacity(256);
    answer::error_body(&mut body, refusal);
    let mut extra = extra_fields(id, rate.unwrap_or_default());
    let waits = matches!(info.status, 429 | 503).then_some(1000);
    if let Some(ms) = refusal.retry_after_ms.or(waits) {
        extra.retry_after_ms(ms);
    }
    if info.status == 401 {
        // RFC 9110, 15.5.2: a 401 says how to authenticate; RFC 6750, 3: and what was wrong, if anything was given.
        let challenge = match refusal.reason {
            Reason::AuthMissing => "Bearer".to_owned(),
            _ => format!("Bearer error=\"invalid_token\", error_description=\"{}\"", info.message),
        };
        extra.push("www-authenticate", &challenge);
    }
    let status = if info.status == 0 { 500 } else { info.status };
    Answer { status, body, extra }
}

/// The fields that every answer has, and `x-ratelimit-*` of a tenant with limits.
#[must_use]
pub fn extra_fields(id: RequestId, rate: Rates) -> Extra {
    let mut extra = Extra::new();
    extra.request_id(&id);
    if let Some(requests) = rate.requests {
        extra.rate_requests(requests.limit, requests.remaining, requests.reset_ms);
    }
    if let Some(tokens) = rate.tokens {
        extra.rate_tokens(tokens.limit, tokens.remaining, tokens.reset_ms);
    }
    extra
}
