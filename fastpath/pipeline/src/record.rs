//! The decision record: what was decided about one request and how it ended. One JSON line each.

use crate::clock;
use crate::ends::Ends;
use dpu_policy::{Edit, TenantIndex, Why};
use dpu_types::{Endpoint, MonoNs, Reason, RequestId, Trace};
use serde::Serialize;
use std::rc::Rc;
use std::sync::Arc;

/// HTTP version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or 1.1.
    H1,
    /// HTTP/2.
    H2,
}

/// How a request ended. Every request ends in exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The whole answer was handed to TLS.
    Answered,
    /// Refused before a worker had it.
    Refused,
    /// A worker had it, and it did not come to a whole answer.
    Failed,
    /// The client closed, or would not read, before the answer was whole.
    ClientGone,
}

impl Outcome {
    /// The outcome that a reason stands for: below 500 nobody but us has seen the request.
    #[must_use]
    pub const fn of(reason: Reason) -> Self {
        match reason {
            Reason::None => Self::Answered,
            Reason::ClientGone | Reason::ClientTooSlow => Self::ClientGone,
            _ if (reason as u16) < 500 => Self::Refused,
            _ => Self::Failed,
        }
    }

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::ClientGone => "client_gone",
        }
    }
}

/// What is known of one request; filled in stage by stage.
#[derive(Clone, Debug)]
pub struct Record {
    /// When its head was accepted.
    pub started: MonoNs,
    /// The same in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// Minted here, answered as `x-request-id`.
    pub request_id: RequestId,
    /// Our span: in the caller's trace, or in one that begins here.
    pub trace: Trace,
    /// The caller's span, 0 where the trace begins here.
    pub parent_span_id: u64,
    /// Empty until authenticated.
    pub tenant: Option<Arc<str>>,
    /// The same in the policy of `epoch`.
    pub owner: Option<TenantIndex>,
    /// What was asked for; `None` where the path or method is not served.
    pub endpoint: Option<Endpoint>,
    /// HTTP version.
    pub protocol: Protocol,
    /// The connection that it came on.
    pub ends: Option<Rc<Ends>>,
    /// The model's name in the request.
    pub model_asked: Option<Arc<str>>,
    /// Our name of the model.
    pub model: Option<Arc<str>>,
    /// Canary arm.
    pub arm: Option<Arc<str>>,
    /// Bucket of 10,000 that chose the arm.
    pub bucket: Option<u16>,
    /// A tester's header chose the arm instead.
    pub arm_overridden: bool,
    /// Why that worker was chosen.
    pub choice: Option<Why>,
    /// Nanoseconds that it waited because all workers were busy.
    pub waited_ns: Option<u64>,
    /// Worker that answered, or had it last.
    pub worker: Option<Arc<str>>,
    /// Transport to that worker, in UCX's words.
    pub transport: Option<Arc<str>>,
    /// Plan that decided.
    pub epoch: u64,
    /// What normalisation changed.
    pub edits: Vec<Edit>,
    /// SHA-256 of the forwarded body.
    pub receipt_sha256: Option<[u8; 32]>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// HTTP status sent, 499 where the client was gone.
    pub status: u16,
    /// Tried on a second worker.
    pub retried: bool,
    /// Tokens of the prompt that were debited: by the engine's count, by our estimate where it began and never said.
    pub prompt_tokens: u32,
    /// Of these from the prefix cache.
    pub cached_tokens: u32,
    /// Completion tokens handed to TLS, which are those that were debited.
    pub completion_tokens: u32,
    /// Completion tokens that the limits granted.
    pub tokens_granted: u32,
    /// The answer has all the tokens that the limits granted, and was ended there.
    pub budget_ended: bool,
    /// Generated after the client had gone.
    pub tokens_wasted: u32,
    /// Waiting for a slot at the worker.
    pub queue_us: u64,
    /// From CANCEL to free, where the request was cancelled.
    pub cancel_us: Option<u64>,
    /// When a worker was given it, the last one.
    pub given: Option<MonoNs>,
    /// When the first token came.
    pub first_token: Option<MonoNs>,
}

impl Record {
    /// A record of a request whose head has just been accepted.
    #[must_use]
    pub fn begin(request_id: RequestId, endpoint: Option<Endpoint>, protocol: Protocol, now: MonoNs) -> Self {
        Self {
            started: now,
            started_unix_ms: clock::unix_ms(),
            trace: new_trace(request_id),
            parent_span_id: 0,
            request_id,
            tenant: None,
            owner: None,
            endpoint,
            protocol,
            ends: None,
            model_asked: None,
            model: None,
            arm: None,
            bucket: None,
            arm_overridden: false,
            choice: None,
            waited_ns: None,
            worker: None,
            transport: None,
            epoch: 0,
            edits: Vec::new(),
            receipt_sha256: None,
            stream: false,
            status: 0,
            retried: false,
            prompt_tokens: 0,
            cached_tokens: 0,
            completion_tokens: 0,
            tokens_granted: 0,
            budget_ended: false,
            tokens_wasted: 0,
            queue_us: 0,
            cancel_us: None,
            given: None,
            first_token: None,
        }
    }

    /// Becomes part of the caller's trace, where it has one: its trace id, a span of our own.
    pub fn join(&mut self, caller: Option<&Trace>) {
        let Some(caller) = caller else { return };
        self.parent_span_id = caller.span_id;
        self.trace = Trace { span_id: self.trace.span_id, ..caller.clone() };
    }

    /// Appends the JSON line. Never prompt text, never keys.
    pub fn write_line(&self, reason: Reason, ended: MonoNs, out: &mut Vec<u8>) {
        let start = out.len();
        let line = Line {
            ts: clock::rfc3339(self.started_unix_ms),
            request_id: self.request_id.to_string(),
            trace_id: hex(self.trace.trace_id),
            span_id: hex(self.trace.span_id.to_be_bytes()),
            parent_span_id: (self.parent_span_id != 0).then(|| hex(self.parent_span_id.to_be_bytes())),
            tenant: self.tenant.as_deref(),
            endpoint: self.endpoint.map(Endpoint::label),
            protocol: if self.protocol == Protocol::H2 { "h2" } else { "h1" },
            listener: self.ends.as_deref().map(|ends| &*ends.listener),
            client: self.ends.as_deref().map(|ends| &*ends.client),
            server: self.ends.as_deref().map(|ends| &*ends.server),
            model_asked: self.model_asked.as_deref(),
            model: self.model.as_deref(),
            arm: self.arm.as_deref(),
            bucket: self.bucket,
            arm_overridden: self.arm_overridden,
            choice: self.choice.map(Why::label),
            waited_ms: self.waited_ns.map(ms),
            worker: self.worker.as_deref(),
            transport: self.transport.as_deref(),
            epoch: self.epoch,
            edits: self.edits.iter().map(|edit| EditLine { field: edit.field, what: edit.what }).collect(),
            stream: self.stream,
            status: self.status,
            outcome: Outcome::of(reason).label(),
            reason: reason.info().name,
            retried: self.retried,
            prompt_tokens: self.prompt_tokens,
            cached_tokens: self.cached_tokens,
            completion_tokens: self.completion_tokens,
            tokens_granted: self.tokens_granted,
            budget_ended: self.budget_ended,
            tokens_wasted: self.tokens_wasted,
            queue_ms: ms(self.queue_us.saturating_mul(1000)),
            cancel_ms: self.cancel_us.map(|us| ms(us.saturating_mul(1000))),
            ttft_ms: self.first_token.map(|first| ms(first.since(self.started))),
            duration_ms: ms(ended.since(self.started)),
            receipt_sha256: self.receipt_sha256.map(hex),
        };
        // A Vec takes every write and the line has no map with keys that are not strings, so this cannot
        // fail; if it did, half a line would be worse than none.
        if serde_json::to_writer(&mut *out, &line).is_err() {
            out.truncate(start);
            return;
        }
        out.push(b'\n');
    }
}

#[derive(Serialize)]
struct Line<'r> {
    ts: String,
    request_id: String,
    trace_id: String,
    span_id: String,
    parent_span_id: Option<String>,
    tenant: Option<&'r str>,
    endpoint: Option<&'r str>,
    protocol: &'r str,
    listener: Option<&'r str>,
    client: Option<&'r str>,
    server: Option<&'r str>,
    model_asked: Option<&'r str>,
    model: Option<&'r str>,
    arm: Option<&'r str>,
    bucket: Option<u16>,
    arm_overridden: bool,
    choice: Option<&'r str>,
    waited_ms: Option<f64>,
    worker: Option<&'r str>,
    transport: Option<&'r str>,
    epoch: u64,
    edits: Vec<EditLine<'r>>,
    stream: bool,
    status: u16,
    outcome: &'r str,
    reason: &'r str,
    retried: bool,
    prompt_tokens: u32,
    cached_tokens: u32,
    completion_tokens: u32,
    tokens_granted: u32,
    budget_ended: bool,
    tokens_wasted: u32,
    queue_ms: f64,
    cancel_ms: Option<f64>,
    ttft_ms: Option<f64>,
    duration_ms: f64,
    receipt_sha256: Option<String>,
}

#[derive(Serialize)]
struct EditLine<'r> {
    field: &'r str,
    what: &'r str,
}

/// Nanoseconds as milliseconds with three places.
fn ms(ns: u64) -> f64 {
    (ns / 1000) as f64 / 1000.0
}

/// A trace that begins here. Its ids are the request's 128 random bits, so that they cost no others; not sampled, since
/// whoever samples (the engine behind us, or a caller before us) decides that.
fn new_trace(id: RequestId) -> Trace {
    let low = id.0.last_chunk::<8>().map_or(1, |bytes| u64::from_be_bytes(*bytes));
    Trace { trace_id: id.0, span_id: low.max(1), flags: 0, state: None }
}

fn hex<const N: usize>(bytes: [u8; N]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * N);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_record_is_one_json_line_with_its_one_reason() {
        let mut record =
            Record::begin(RequestId([7; 16]), Some(Endpoint::ChatCompletions), Protocol::H2, MonoNs(0));
        record.tenant = Some(Arc::from("a\"b\n"));
        let (client, server) =
            ("198.51.100.7:40000".parse().unwrap(), "[2001:db8::10]:8444".parse().unwrap());
        record.ends = Some(Rc::new(Ends::new(client, server, &Arc::from("public"))));
        record.first_token = Some(MonoNs(2_500_000));
        let mut out = Vec::new();
        record.write_line(Reason::ClientGone, MonoNs(4_000_000), &mut out);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(line["tenant"], "a\"b\n");
        assert_eq!(line["outcome"], "client_gone");
        assert_eq!(
            (&line["client"], &line["server"], &line["listener"]),
            (&"198.51.100.7:40000".into(), &"[2001:db8::10]:8444".into(), &"public".into())
        );
        assert_eq!(line["reason"], "client_gone");
        assert_eq!(line["ttft_ms"], 2.5);
        assert_eq!(line["duration_ms"], 4.0);
        assert_eq!(line["request_id"], "07".repeat(16));
    }

    #[test]
    fn the_fields_of_a_line_are_those_that_the_guide_lists_in_its_order() {
        let guide = include_str!("../../../docs/guide/journal.md");
        let listed = guide.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let mut out = Vec::new();
        Record::begin(RequestId([7; 16]), None, Protocol::H1, MonoNs(0)).write_line(
            Reason::None,
            MonoNs(0),
            &mut out,
        );
        let line = String::from_utf8(out).unwrap();
        // Each name of a line without edits stands once before a colon.
        let names: Vec<_> = line
            .split('"')
            .collect::<Vec<_>>()
            .windows(2)
            .filter(|pair| pair[1].starts_with(':'))
            .map(|pair| pair[0].to_owned())
            .collect();
        assert_eq!(names, listed.collect::<Vec<_>>(), "docs/guide/journal.md");
    }

    #[test]
    fn a_trace_is_begun_where_there_is_none_and_joined_where_there_is_one() {
        let mut record = Record::begin(RequestId([7; 16]), None, Protocol::H1, MonoNs(0));
        let line = |record: &Record| {
            let mut out = Vec::new();
            record.write_line(Reason::None, MonoNs(0), &mut out);
            serde_json::from_slice::<serde_json::Value>(&out).unwrap()
        };
        let begun = line(&record);
        assert_eq!(
            (begun["trace_id"].clone(), begun["parent_span_id"].is_null()),
            ("07".repeat(16).into(), true)
        );
        record.join(Trace::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").as_ref());
        let joined = line(&record);
        assert_eq!(joined["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(joined["parent_span_id"], "b7ad6b7169203331");
        assert_eq!((joined["span_id"].clone(), record.trace.flags), ("07".repeat(8).into(), 1));
    }

    #[test]
    fn every_reason_belongs_to_one_outcome() {
        for (reason, outcome) in [
            (Reason::None, Outcome::Answered),
            (Reason::AuthInvalid, Outcome::Refused),
            (Reason::RateLimited, Outcome::Refused),
            (Reason::NoWorker, Outcome::Refused),
            (Reason::WorkerLost, Outcome::Failed),
            (Reason::DrainCut, Outcome::Failed),
            (Reason::ClientGone, Outcome::ClientGone),
            (Reason::ClientTooSlow, Outcome::ClientGone),
        ] {
            assert_eq!(Outcome::of(reason), outcome);
        }
    }
}
