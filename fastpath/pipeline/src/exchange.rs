//! The second half of a request, from the worker's first frame to the last event, whichever HTTP version carries it.
//!
//! `Exchange::step` turns the worker's frames into bytes of
//! the answer. An exchange that is dropped before its end was a client that went away: the worker is told to stop,
//! and the record ends when it has confirmed.

mod budget;
pub mod place;

use crate::answer::{extra_fields, refusal_answer, Answer};
use crate::choices;
use crate::clock;
use crate::core::Core;
use crate::credit::Credit;
use crate::health::Verdict;
use crate::meter::{Handed, Meter};
use crate::placement::Avoid;
use crate::programmed::Programmed;
use crate::record::Record;
use crate::slot::{Slot, Told};
use crate::waiting::Waiting;
use crate::worker::Outstanding;
use dpu_http::respond::Extra;
use dpu_http::{answer, sse, Kind, Usage};
use dpu_policy::{Decision, Rates};
use dpu_types::{Endpoint, MonoNs, Reason, Refusal, RequestId};
use dpu_ucx::{tokens_frame_bytes, Event, Summary};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes of events rendered in one step before they are written: keeps one fast stream from growing its buffer
/// while the client reads.
const STEP_BYTES_MAX: usize = 64 * 1024;

/// What `Exchange::step` brought.
pub enum Step {
    /// A whole answer; nothing was streamed.
    Answer(Box<Answer>),
    /// Events were appended; more will come.
    Events,
    /// Events were appended, the last of the stream among them.
    LastEvents,
}

/// A request that a worker has.
pub struct Exchange {
    core: Rc<Core>,
    plan: Arc<Programmed>,
    slot: Rc<Slot>,
    /// Taken when the record ends or is abandoned.
    open: Option<Box<Open>>,
    id: RequestId,
    rate: Rates,
    kind: Kind,
    model_asked: Arc<str>,
    created_s: u64,
    deadline: MonoNs,
    stream: Option<sse::Stream>,
    finish_seen: bool,
    events_sent: bool,
    /// Set when the worker has ended the request, or we have told it to stop.
    ended: Option<Reason>,
    /// Why the answer could not be written, where the client did not just go.
    unwritten: Option<Reason>,
    credit: Credit,
    /// Workers that could not take it.
    avoid: Avoid,
    /// Why it was taken from its first worker.
    retried_after: Option<Reason>,
    meter: Meter,
    /// The choices that have their finish reason, where there are several.
    finished: Vec<u32>,
    /// The budget ended it, and the worker has not confirmed yet that it stopped.
    confirming: bool,
    hurried: bool,
}

/// What lasts until the record ends.
pub struct Open {
    /// The record.
    pub record: Record,
    /// The decision, with the tenant's permit and the request's tokens.
    pub decision: Decision,
    /// Where it is.
    pub held: Held,
    /// What was asked for.
    pub endpoint: Endpoint,
}

/// Where a request is.
pub enum Held {
    /// At no worker: not yet, or no more.
    Nowhere,
    /// Waiting for one.
    Waiting(Box<Waiting>),
    /// At one.
    At(Placed),
}

/// A request's place at a worker that has it.
pub struct Placed {
    /// Which worker, by the index of the exchange's plan.
    pub worker: usize,
    /// The place.
    pub outstanding: Outstanding,
}

impl Held {
    /// The place at a worker, where it has one; whoever waits leaves.
    fn outstanding(self) -> Option<Outstanding> {
        match self {
            Self::At(placed) => Some(placed.outstanding),
            Self::Nowhere | Self::Waiting(_) => None,
        }
    }
}

impl Exchange {
    /// A request that was just given to a worker, or waits for one.
    #[must_use]
    pub fn new(
        core: Rc<Core>,
        plan: Arc<Programmed>,
        slot: Rc<Slot>,
        deadline: MonoNs,
        open: Box<Open>,
        avoid: Avoid,
    ) -> Self {
        let kind = if open.endpoint == Endpoint::Completions { Kind::Text } else { Kind::Chat };
        let created_s = open.record.started_unix_ms / 1000;
        let (id, decision) = (open.record.request_id, &open.decision);
        let model_asked = Arc::clone(&decision.model_asked);
        let stream = || sse::Stream::new(kind, &id, created_s, &model_asked, decision.include_usage);
        Self {
            meter: Meter::new(decision.choices),
            finished: Vec::new(),
            confirming: false,
            hurried: false,
            stream: decision.stream.then(stream),
            core,
            plan,
            slot,
            id,
            rate: decision.rate,
            kind,
            model_asked,
            created_s,
            deadline,
            finish_seen: false,
            events_sent: false,
            ended: None,
            unwritten: None,
            credit: Credit::default(),
            avoid,
            retried_after: None,
            open: Some(open),
        }
    }

    /// Fields beside the standing ones of a stream's head.
    #[must_use]
    pub fn extra(&self) -> Extra {
        extra_fields(self.id, self.rate)
    }

    /// Waits for the worker and appends what the client is to be told. Dropping the future loses nothing.
    pub async fn step(&mut self, out: &mut Vec<u8>) -> Step {
        // Whoever asks for more has handed to TLS what it was given before.
        self.give_credit();
        if let Some(open) = &mut self.open {
            self.meter.all_handed(&mut open.decision.tokens);
        }
        if let Some(step) = self.come_to_a_worker(out).await {
            return step;
        }
        let mut told = self.next().await;
        loop {
            if let Some(step) = self.take(told, out) {
                return step;
            }
            // Where its worker was lost it may wait for another one.
            if let Some(step) = self.come_to_a_worker(out).await {
                return step;
            }
            told = match self.slot.try_next() {
                Some(next) if out.len() < STEP_BYTES_MAX => next,
                Some(next) => {
                    // The buffer is full: one more event has been taken and is rendered too, then it is written.
                    return self.take(next, out).unwrap_or(Step::Events);
                }
                None if out.is_empty() => self.next().await,
                None => return Step::Events,
            };
        }
    }

    /// For whoever writes: how many bytes of this step's events, or of the answer's body, TLS has taken. Only asked
    /// for where writing fails; who asks for another step has handed over everything.
    #[must_use]
    pub fn handed(&self) -> Handed {
        self.meter.handed()
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
        if let Some(mut open) = self.open.take() {
            self.meter.all_handed(&mut open.decision.tokens);
            self.close(open, reason);
        }
    }

    /// Ends a request whose answer could not be written, for this reason. Where the worker still has it, it is told.
    pub fn unwritten(mut self, reason: Reason) {
        self.unwritten = Some(reason);
    }

    /// One thing told; `None` where more is needed or events were appended and more may follow at once.
    fn take(&mut self, told: Told, out: &mut Vec<u8>) -> Option<Step> {
        match told {
            Told::Frame(Event::Tokens { .. }) if self.stream.is_none() => {
                Some(self.stop(Reason::WorkerOutOfTurn, out))
            }
            Told::Frame(Event::Tokens { token_count, choices, finish, .. }) => {
                self.take_tokens(token_count, &choices, finish, out)
            }
            Told::Frame(Event::End { summary, .. }) => Some(self.take_end(&summary, out)),
            Told::Frame(Event::Result { summary, choices, .. }) => {
                Some(self.take_result(&summary, &choices, out))
            }
            Told::Frame(Event::Fail { reason, retry, detail, .. }) => {
                self.core.forget(self.id);
                self.let_go(Verdict::of(reason));
                if retry && !self.events_sent && self.retry(reason) {
                    return None;
                }
                if reason.info().status == 400 && reason != Reason::ModelUnsuitable {
                    // The caller's fault, as the engine sees it: it should learn more than that.
                    return Some(self.fail_with(&Refusal::from(reason).because(detail), out));
                }
                Some(self.fail(reason, out))
            }
            // We did not cancel it, so the worker has ended it by itself.
            Told::Frame(Event::Cancelled { .. } | Event::WorkerChanged { .. }) => {
                self.core.forget(self.id);
                self.let_go(Verdict::Failed);
                Some(self.fail(Reason::WorkerFailed, out))
            }
            // It has said all that was granted: the missing last word is ours to say.
            Told::Stop(Reason::WorkerTimeout) if self.hurried => Some(self.end_at_budget(out)),
            Told::Stop(reason) => Some(self.stop(reason, out)),
        }
    }

    /// Tells the worker that the client has read, once half a window is free. A short answer never comes here.
    fn give_credit(&mut self) {
        let Some(open) = &self.open else { return };
        if !self.credit.is_due() {
            return;
        }
        let Held::At(placed) = &open.held else { return };
        let window = self.plan.workers.get(placed.worker).map_or(0, |worker| worker.stream_window_bytes);
        let bytes = self.credit.give(window);
        if bytes > 0 {
            self.core.credit(open.record.request_id, bytes);
        }
    }

    fn take_tokens(
        &mut self,
        token_count: u32,
        choices: &[u8],
        finish: bool,
        out: &mut Vec<u8>,
    ) -> Option<Step> {
        let (Some(stream), Some(open)) = (&self.stream, &mut self.open) else { return None };
        self.credit.taken += tokens_frame_bytes(choices.len()) as u64;
        let tokens = self.meter.count(token_count);
        if !open.decision.tokens.plan(tokens) {
            return Some(self.end_at_budget(out));
        }
        stream.chunk(out, choices);
        self.meter.rendered(tokens, out.len());
        if token_count > 0 && open.record.first_token.is_none() {
            open.record.first_token = Some(clock::now());
        }
        if finish && open.decision.choices > 1 {
            self.finished.extend(choices::finished(choices));
        }
        self.finish_seen |= finish;
        if !std::mem::replace(&mut self.events_sent, true) {
            self.note_heard();
        }
        None
    }

    fn take_end(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Step {
        self.core.forget(self.id);
        if self.stream.is_none() {
            self.let_go(Verdict::Failed);
            return self.fail(Reason::WorkerOutOfTurn, out);
        }
        self.let_go(Verdict::Answered);
        self.ended = Some(Reason::None);
        let usage = self.note_summary(summary);
        self.last_events(&summary.finish, usage, out);
        self.meter.ends(summary.completion_tokens, out.len());
        Step::LastEvents
    }

    fn take_result(&mut self, summary: &Summary, choices: &[u8], out: &mut Vec<u8>) -> Step {
        self.core.forget(self.id);
        if self.stream.is_some() {
            self.let_go(Verdict::Failed);
            return self.fail(Reason::WorkerOutOfTurn, out);
        }
        self.let_go(Verdict::Answered);
        if !self.open.as_mut().is_some_and(|open| open.decision.tokens.plan(summary.completion_tokens)) {
            // More than was granted is not sent, and half of a whole answer is none.
            return self.fail(Reason::AnswerTooLarge, out);
        }
        // It is one thing: where TLS has any of it, it was sent.
        self.meter.rendered(summary.completion_tokens, 1);
        self.ended = Some(Reason::None);
        let usage = self.note_summary(summary);
        let mut body = Vec::with_capacity(choices.len() + 320);
        if let Some(open) = &mut self.open {
            let first = open.record.started;
            open.record.first_token = first_token(first, summary);
            open.record.status = 200;
        }
        if self.open.as_ref().is_some_and(|open| open.endpoint == Endpoint::Embeddings) {
            answer::embeddings(&mut body, &self.model_asked, choices, usage);
        } else {
            answer::completion(
                &mut body,
                self.kind,
                &self.id,
                self.created_s,
                &self.model_asked,
                choices,
                usage,
            );
        }
        Step::Answer(Box::new(Answer { status: 200, body, extra: self.extra_now() }))
    }

    /// Takes the engine's figures.
    fn note_summary(&mut self, summary: &Summary) -> Usage {
        if let Some(open) = &mut self.open {
            open.record.status = 200;
            let tokens = &mut open.decision.tokens;
            tokens.prompt_was(summary.prompt_tokens);
            if tokens.is_short() && summary.completion_tokens >= tokens.grant() {
                tokens.cut();
                open.record.budget_ended = true;
            }
            open.record.cached_tokens = summary.cached_tokens;
            open.record.queue_us = summary.queue_us;
        }
        Usage {
            prompt_tokens: summary.prompt_tokens,
            cached_tokens: summary.cached_tokens,
            completion_tokens: summary.completion_tokens,
        }
    }

    /// We end it while the worker still has it.
    fn stop(&mut self, reason: Reason, out: &mut Vec<u8>) -> Step {
        self.note_stop(reason);
        let step = self.fail(reason, out);
        if let Some(mut open) = self.open.take() {
            self.meter.commit(&mut open.decision.tokens);
            self.abandon(open, reason);
        }
        step
    }

    /// An answer with an error status where nothing was sent, an error event where something was.
    fn fail(&mut self, reason: Reason, out: &mut Vec<u8>) -> Step {
        let refusal = Refusal::from(reason);
        if reason == Reason::ModelUnsuitable {
            return self.fail_with(&refusal.at("model"), out);
        }
        self.fail_with(&refusal, out)
    }

    fn fail_with(&mut self, refusal: &Refusal, out: &mut Vec<u8>) -> Step {
        self.ended = Some(refusal.reason);
        if self.events_sent {
            if let Some(open) = &mut self.open {
                open.record.status = 200;
            }
            sse::error_event(out, refusal);
            return Step::LastEvents;
        }
        let rate = self.open.as_ref().map(|open| {
            open.decision.permit.refund_request();
            let now = clock::now();
            Rates {
                tokens: open.decision.tokens.view(now),
                ..self.plan.policy.rate(open.decision.tenant, now)
            }
        });
        let answer = refusal_answer(refusal, self.id, rate);
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
            Some(Reason::None) | None => self.unwritten.unwrap_or_else(|| self.core.gone_reason()),
            Some(failed) => failed,
        };
        if matches!(reason, Reason::ClientGone | Reason::ClientTooSlow) {
            open.record.status = reason.info().status;
        }
        self.meter.commit(&mut open.decision.tokens);
        match self.ended {
            None => self.abandon(open, reason),
            Some(_) => self.close(open, reason),
        }
    }
}

/// When the first token of an answer that was not streamed must have come, by the worker's own times.
fn first_token(started: MonoNs, summary: &Summary) -> Option<MonoNs> {
    let us = summary.queue_us.saturating_add(summary.prefill_us);
    (summary.completion_tokens > 0).then(|| MonoNs(started.0.saturating_add(us.saturating_mul(1000))))
}
