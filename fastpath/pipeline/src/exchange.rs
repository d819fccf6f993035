//! One request from its whole body to its last event, whichever HTTP version carries it.
//!
//! `begin` runs policy and gives the request to a worker; `Exchange::step` turns the worker's frames into bytes of
//! the answer. An exchange that is dropped before its end was a client that went away: the worker is told to stop,
//! and the record ends when it has confirmed.

use crate::clock;
use crate::core::Core;
use crate::programmed::{Outstanding, Programmed};
use crate::record::{Protocol, Record};
use crate::slot::{Slot, Told};
use dpu_http::respond::Extra;
use dpu_http::{answer, sse, Kind, Usage};
use dpu_policy::{Decision, RateView};
use dpu_types::gen::worker_frame as frame;
use dpu_types::{Dispatch, Endpoint, MonoNs, Reason, Refusal, RequestHead, RequestId};
use dpu_ucx::{Event, Summary};
use std::future::Future;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// Bytes of events rendered in one step before they are written: keeps one fast stream from growing its buffer
/// while the client reads.
const STEP_BYTES_MAX: usize = 64 * 1024;

/// A whole answer, ready to be framed.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Vec<u8>,
    /// Fields beside the standing ones.
    pub extra: Extra,
}

/// What policy made of a request.
pub enum Begun {
    /// Answered already: refused, or nothing a worker is needed for.
    Answered(Box<Answered>),
    /// A worker has it.
    Running(Box<Exchange>),
}

/// An answer, and the record that ends when it is written.
pub struct Answered {
    /// To write.
    pub answer: Answer,
    /// To tell when it is written.
    pub ending: Ending,
}

impl Begun {
    /// With the `allow` field of a 405.
    #[must_use]
    pub fn allowing(mut self, methods: Option<&'static str>) -> Self {
        if let (Self::Answered(answered), Some(methods)) = (&mut self, methods) {
            answered.answer.extra.allow(methods);
        }
        self
    }
}

/// What `Exchange::step` brought.
pub enum Step {
    /// A whole answer; nothing was streamed.
    Answer(Box<Answer>),
    /// Events were appended; more will come.
    Events,
    /// Events were appended, the last of the stream among them.
    LastEvents,
}

/// A record whose answer is made and not yet written.
pub struct Ending {
    core: Rc<Core>,
    record: Option<Record>,
    reason: Reason,
}

impl Ending {
    /// The answer was handed to TLS.
    pub fn written(mut self) {
        self.close(self.reason);
    }

    fn close(&mut self, reason: Reason) {
        if let Some(mut record) = self.record.take() {
            if reason == Reason::ClientGone {
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

/// A request that a worker has.
pub struct Exchange {
    core: Rc<Core>,
    plan: Arc<Programmed>,
    slot: Rc<Slot>,
    /// Taken when the record ends or is abandoned.
    open: Option<Open>,
    kind: Kind,
    model_asked: String,
    created_s: u64,
    deadline: MonoNs,
    stream: Option<sse::Stream>,
    extra: Extra,
    finish_seen: bool,
    events_sent: bool,
    /// Set when the worker has ended the request, or we have told it to stop.
    ended: Option<Reason>,
}

struct Open {
    record: Record,
    decision: Decision,
    outstanding: Outstanding,
    worker: usize,
}

/// Runs policy over a request whose head is accepted and whose body is whole.
pub fn begin(
    core: &Rc<Core>,
    mut record: Record,
    head: &RequestHead,
    body: &[u8],
    limits: &crate::Limits,
) -> Begun {
    let Some(plan) = core.programmed.borrow().clone() else {
        return refuse(core, record, &Reason::NotProgrammed.into(), None);
    };
    record.epoch = plan.epoch;
    if *core.draining.borrow() {
        return refuse(core, record, &Reason::Draining.into(), None);
    }
    let tenant = match plan.policy.authenticate(head.authorization.as_deref()) {
        Ok(tenant) => tenant,
        Err(refusal) => return refuse(core, record, &refusal, None),
    };
    record.tenant = Some(Arc::clone(plan.policy.tenant_name(tenant)));
    if !head.endpoint.takes_body() {
        let rate = plan.policy.rate(tenant, record.started);
        return list_models(core, record, &plan, tenant, head, rate);
    }
    match plan.policy.decide(tenant, head, body, limits.json, record.started) {
        Err(refused) => {
            record.model = refused.model;
            refuse(core, record, &refused.refusal, refused.rate)
        }
        Ok(decision) => dispatch(core, record, plan, decision, head.endpoint, limits.request_timeout_ms),
    }
}

/// An answer that says no.
pub fn refuse(core: &Rc<Core>, mut record: Record, refusal: &Refusal, rate: Option<RateView>) -> Begun {
    let answer = refusal_answer(refusal, record.request_id, rate);
    record.status = answer.status;
    answered(core, answer, record, refusal.reason)
}

fn answered(core: &Rc<Core>, answer: Answer, record: Record, reason: Reason) -> Begun {
    let ending = Ending { core: Rc::clone(core), record: Some(record), reason };
    Begun::Answered(Box::new(Answered { answer, ending }))
}

/// The answer of a refusal: OpenAI's shape, `x-request-id`, `retry-after` where a retry may help.
#[must_use]
pub fn refusal_answer(refusal: &Refusal, id: RequestId, rate: Option<RateView>) -> Answer {
    let info = refusal.reason.info();
    let mut body = Vec::with_capacity(256);
    answer::error_body(&mut body, refusal);
    let mut extra = extra_fields(id, rate);
    let waits = matches!(info.status, 429 | 503).then_some(1000);
    if let Some(ms) = refusal.retry_after_ms.or(waits) {
        extra.retry_after_ms(ms);
    }
    let status = if info.status == 0 { 500 } else { info.status };
    Answer { status, body, extra }
}

fn extra_fields(id: RequestId, rate: Option<RateView>) -> Extra {
    let mut extra = Extra::new();
    extra.request_id(&id);
    if let Some(rate) = rate {
        extra.rate_requests(rate.limit, rate.remaining, rate.reset_ms);
    }
    extra
}

fn list_models(
    core: &Rc<Core>,
    mut record: Record,
    plan: &Programmed,
    tenant: dpu_policy::TenantIndex,
    head: &RequestHead,
    rate: Option<RateView>,
) -> Begun {
    let created_s = record.started_unix_ms / 1000;
    let mut body = Vec::with_capacity(256);
    if head.endpoint == Endpoint::Model {
        let Some(name) = plan.policy.models(tenant).find(|name| ***name == *head.path_id) else {
            let refusal = Refusal::from(Reason::ModelNotFound).at("model");
            return refuse(core, record, &refusal, rate);
        };
        answer::model(&mut body, name, created_s);
    } else {
        answer::models_list(&mut body, plan.policy.models(tenant).map(|name| &**name), created_s);
    }
    record.status = 200;
    let answer = Answer { status: 200, body, extra: extra_fields(record.request_id, rate) };
    answered(core, answer, record, Reason::None)
}

/// Chooses a worker and gives it the request.
fn dispatch(
    core: &Rc<Core>,
    mut record: Record,
    plan: Arc<Programmed>,
    decision: Decision,
    endpoint: Endpoint,
    timeout_ms: u32,
) -> Begun {
    record.note_decision(&decision);
    let deadline = record.started.plus_ms(u64::from(timeout_ms));
    let slot = Rc::new(Slot::default());
    let rate = decision.rate;
    let given = give(core, &plan, &mut record, &decision, endpoint, &slot, deadline, None);
    let (worker, outstanding) = match given {
        Ok(given) => given,
        Err(reason) => return refuse(core, record, &reason.into(), rate),
    };
    let kind = if endpoint == Endpoint::Completions { Kind::Text } else { Kind::Chat };
    let created_s = record.started_unix_ms / 1000;
    let model_asked = decision.model_asked.to_string();
    let stream = decision
        .stream
        .then(|| sse::Stream::new(kind, &record.request_id, created_s, &model_asked, decision.include_usage));
    Begun::Running(Box::new(Exchange {
        core: Rc::clone(core),
        plan,
        slot,
        kind,
        model_asked,
        created_s,
        deadline,
        stream,
        extra: extra_fields(record.request_id, rate),
        finish_seen: false,
        events_sent: false,
        ended: None,
        open: Some(Open { record, decision, outstanding, worker }),
    }))
}

/// Gives a request to the best worker but `not`. Every worker that cannot take it is passed over.
#[allow(clippy::too_many_arguments)] // the whole of a decision; a struct would live for this one call
fn give(
    core: &Core,
    plan: &Programmed,
    record: &mut Record,
    decision: &Decision,
    endpoint: Endpoint,
    slot: &Rc<Slot>,
    deadline: MonoNs,
    not: Option<usize>,
) -> Result<(usize, Outstanding), Reason> {
    let now = clock::now();
    let mut failed = Vec::new();
    let mut last = Reason::NoWorker;
    loop {
        let peers = core.peers.borrow();
        let load = |index: usize| {
            let usable = Some(index) != not && !failed.contains(&index);
            peers.get(index).filter(|peer| usable && peer.ready && peer.serves(&decision.engine_model))?;
            Some(u64::from(plan.workers.get(index)?.outstanding.load(Ordering::Relaxed)))
        };
        let Some(index) = plan.policy.choose_worker(decision, load) else { return Err(last) };
        let transport = peers.get(index).map(|peer| Arc::clone(&peer.transport));
        drop(peers);
        let dispatch = dispatch_frame(record, decision, endpoint, index, deadline, now);
        match core.submit(&dispatch, slot, deadline, now) {
            Ok(()) => {
                record.worker = Some(Arc::clone(&plan.workers[index].name));
                record.transport = transport;
                return Ok((index, Outstanding::take(&plan.workers[index])));
            }
            Err(reason) => {
                last = reason;
                failed.push(index);
            }
        }
    }
}

fn dispatch_frame(
    record: &Record,
    decision: &Decision,
    endpoint: Endpoint,
    worker: usize,
    deadline: MonoNs,
    now: MonoNs,
) -> Dispatch {
    let flag = |on: bool, flag: u16| if on { flag } else { 0 };
    let flags = flag(decision.stream, frame::FLAG_REQUEST_STREAM)
        | flag(endpoint == Endpoint::Embeddings, frame::FLAG_REQUEST_EMBEDDINGS)
        | flag(endpoint == Endpoint::Completions, frame::FLAG_REQUEST_COMPLETIONS);
    Dispatch {
        request_id: record.request_id,
        worker,
        arm: decision.arm.to_string(),
        model: decision.engine_model.to_string(),
        epoch: record.epoch,
        deadline_ms: u32::try_from(deadline.since(now) / 1_000_000).unwrap_or(u32::MAX),
        priority: decision.priority,
        token_budget: decision.token_budget,
        tenant_hash: decision.tenant_hash,
        receipt_sha256: decision.receipt_sha256,
        receipt_edits: u32::try_from(decision.edits.len()).unwrap_or(u32::MAX),
        flags,
        body: decision.body.clone(),
    }
}

impl Exchange {
    /// Fields beside the standing ones of a stream's head.
    #[must_use]
    pub const fn extra(&self) -> &Extra {
        &self.extra
    }

    /// Waits for the worker and appends what the client is to be told. Dropping the future loses nothing.
    pub async fn step(&mut self, out: &mut Vec<u8>) -> Step {
        let mut told = self.slot.next().await;
        loop {
            if let Some(step) = self.take(told, out) {
                return step;
            }
            told = match self.slot.try_next() {
                Some(next) if out.len() < STEP_BYTES_MAX => next,
                Some(next) => {
                    // The buffer is full: one more event has been taken and is rendered too, then it is written.
                    return self.take(next, out).unwrap_or(Step::Events);
                }
                None if out.is_empty() => self.slot.next().await,
                None => return Step::Events,
            };
        }
    }

    /// Ready when we end the request while its answer is still being written: nobody reads it.
    pub fn stopped(&self) -> impl Future<Output = ()> {
        let slot = Rc::clone(&self.slot);
        async move { slot.stopped().await }
    }

    /// Ends the record and the worker's part of a request that was stopped while it was written.
    pub fn stop_unwritten(mut self) {
        while let Some(told) = self.slot.try_next() {
            if let Told::Stop(reason) = told {
                self.stop(reason, &mut Vec::new());
            }
        }
    }

    /// The last bytes were handed to TLS: the record ends.
    pub fn written(mut self) {
        let reason = self.ended.unwrap_or(Reason::Internal);
        if let Some(open) = self.open.take() {
            self.core.end(&open.record, reason);
        }
    }

    /// One thing told; `None` where more is needed or events were appended and more may follow at once.
    fn take(&mut self, told: Told, out: &mut Vec<u8>) -> Option<Step> {
        match told {
            Told::Frame(Event::Tokens { token_count, choices, finish, .. }) => {
                self.take_tokens(token_count, &choices, finish, out);
                None
            }
            Told::Frame(Event::End { summary, .. }) => Some(self.take_end(&summary, out)),
            Told::Frame(Event::Result { summary, choices, .. }) => Some(self.take_result(&summary, &choices)),
            Told::Frame(Event::Fail { reason, retry, .. }) => {
                self.core.forget(self.id());
                if retry && !self.events_sent && self.retry().is_ok() {
                    return None;
                }
                Some(self.fail(reason, out))
            }
            // We did not cancel it, so the worker has ended it by itself.
            Told::Frame(Event::Cancelled { .. } | Event::WorkerChanged { .. }) => {
                self.core.forget(self.id());
                Some(self.fail(Reason::WorkerFailed, out))
            }
            Told::Stop(reason) => Some(self.stop(reason, out)),
        }
    }

    fn id(&self) -> RequestId {
        self.open.as_ref().map_or(RequestId::NONE, |open| open.record.request_id)
    }

    fn take_tokens(&mut self, token_count: u32, choices: &[u8], finish: bool, out: &mut Vec<u8>) {
        let (Some(stream), Some(open)) = (&self.stream, &mut self.open) else { return };
        stream.chunk(out, choices);
        open.record.completion_tokens = open.record.completion_tokens.saturating_add(token_count);
        if token_count > 0 && open.record.first_token.is_none() {
            open.record.first_token = Some(clock::now());
        }
        self.finish_seen |= finish;
        self.events_sent = true;
    }

    fn take_end(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Step {
        self.core.forget(self.id());
        self.ended = Some(Reason::None);
        let usage = self.note_summary(summary);
        if let Some(stream) = &self.stream {
            if !self.finish_seen {
                stream.finish(out, &summary.finish);
            }
            if self.open.as_ref().is_some_and(|open| open.decision.include_usage) {
                stream.usage(out, usage);
            }
            sse::done(out);
        }
        Step::LastEvents
    }

    fn take_result(&mut self, summary: &Summary, choices: &[u8]) -> Step {
        self.core.forget(self.id());
        if self.stream.is_some() {
            return self.fail(Reason::FrameMalformed, &mut Vec::new());
        }
        self.ended = Some(Reason::None);
        let usage = self.note_summary(summary);
        let mut body = Vec::with_capacity(choices.len() + 320);
        let id = self.id();
        if let Some(open) = &mut self.open {
            let first = open.record.started;
            open.record.first_token = first_token(first, summary);
            open.record.status = 200;
        }
        if self.open.as_ref().is_some_and(|open| open.record.endpoint == Some(Endpoint::Embeddings)) {
            answer::embeddings(&mut body, &self.model_asked, choices, usage);
        } else {
            answer::completion(&mut body, self.kind, &id, self.created_s, &self.model_asked, choices, usage);
        }
        Step::Answer(Box::new(Answer { status: 200, body, extra: self.extra.clone() }))
    }

    /// Copies the engine's figures; for a stream, its completion count trues ours up.
    fn note_summary(&mut self, summary: &Summary) -> Usage {
        if let Some(open) = &mut self.open {
            open.record.status = 200;
            open.record.prompt_tokens = summary.prompt_tokens;
            open.record.cached_tokens = summary.cached_tokens;
            open.record.completion_tokens = summary.completion_tokens;
            open.record.queue_us = summary.queue_us;
        }
        Usage {
            prompt_tokens: summary.prompt_tokens,
            cached_tokens: summary.cached_tokens,
            completion_tokens: summary.completion_tokens,
        }
    }

    /// Gives the request to another worker, once, before anything was sent.
    fn retry(&mut self) -> Result<(), Reason> {
        let Some(open) = &mut self.open else { return Err(Reason::Internal) };
        if open.record.retried {
            return Err(Reason::WorkerLost);
        }
        open.record.retried = true;
        let endpoint = open.record.endpoint.unwrap_or(Endpoint::ChatCompletions);
        let not = Some(open.worker);
        let (core, plan, slot) = (&self.core, &self.plan, &self.slot);
        let given = give(core, plan, &mut open.record, &open.decision, endpoint, slot, self.deadline, not)?;
        (open.worker, open.outstanding) = given;
        Ok(())
    }

    /// We end it while the worker still has it.
    fn stop(&mut self, reason: Reason, out: &mut Vec<u8>) -> Step {
        let step = self.fail(reason, out);
        if let Some(open) = self.open.take() {
            self.core.abandon(open.record, reason, open.decision.permit, open.outstanding);
        }
        step
    }

    /// An answer with an error status where nothing was sent, an error event where something was.
    fn fail(&mut self, reason: Reason, out: &mut Vec<u8>) -> Step {
        self.ended = Some(reason);
        let refusal = Refusal::from(reason);
        if self.events_sent {
            if let Some(open) = &mut self.open {
                open.record.status = 200;
            }
            sse::error_event(out, &refusal);
            return Step::LastEvents;
        }
        let answer = refusal_answer(&refusal, self.id(), None);
        if let Some(open) = &mut self.open {
            open.record.status = answer.status;
        }
        Step::Answer(Box::new(answer))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let reason = match self.ended {
            // The answer was whole, or a worker's failure was, but it could not be written.
            Some(Reason::None) | None => self.core.gone_reason(),
            Some(failed) => failed,
        };
        if reason == Reason::ClientGone {
            open.record.status = reason.info().status;
        }
        match self.ended {
            None => self.core.abandon(open.record, reason, open.decision.permit, open.outstanding),
            Some(_) => self.core.end(&open.record, reason),
        }
    }
}

/// When the first token of an answer that was not streamed must have come, by the worker's own times.
fn first_token(started: MonoNs, summary: &Summary) -> Option<MonoNs> {
    let us = summary.queue_us.saturating_add(summary.prefill_us);
    (summary.completion_tokens > 0).then(|| MonoNs(started.0.saturating_add(us.saturating_mul(1000))))
}

impl Record {
    fn note_decision(&mut self, decision: &Decision) {
        self.model = Some(Arc::clone(&decision.model));
        self.model_asked = Some(decision.model_asked.to_string());
        self.arm = Some(Arc::clone(&decision.arm));
        self.bucket = Some(decision.bucket);
        self.edits.clone_from(&decision.edits);
        self.receipt_sha256 = Some(decision.receipt_sha256);
        self.stream = decision.stream;
    }

    /// A record for a request whose head was accepted now.
    #[must_use]
    pub fn accept(core: &Core, endpoint: Option<Endpoint>, protocol: Protocol) -> Self {
        core.counters.lock().received += 1;
        Self::begin(core.mint(), endpoint, protocol, clock::now())
    }
}
