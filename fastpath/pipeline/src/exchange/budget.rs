//! How the token budget of a request ends its answer, and how its books are closed.

use super::{Exchange, Open, Step};
use crate::answer::extra_fields;
use crate::clock;
use crate::core::Holding;
use crate::slot::Told;
use dpu_http::respond::Extra;
use dpu_http::{sse, Usage};
use dpu_policy::{Decision, Rates};
use dpu_types::Reason;

/// How long an engine that has said all that was granted may take for its last word. It is due at once, a busy host
/// takes a moment; then its client has waited enough.
const LAST_WORD_MS: u64 = 1_000;

impl Exchange {
    /// The next thing told. An engine that has said all that was granted has little time left for its last word.
    pub(super) async fn next(&mut self) -> Told {
        if let Some(told) = self.slot.try_next() {
            return told;
        }
        let reached = |open: &Open| open.decision.tokens.is_reached();
        if !self.hurried && self.stream.is_some() && self.open.as_deref().is_some_and(reached) {
            self.hurried = true;
            self.core.hurry(self.id, clock::now().plus_ms(LAST_WORD_MS));
        }
        self.slot.next().await
    }

    /// The engine has not ended, and what was granted is sent: ends the stream in its place, and stops it.
    pub(super) fn end_at_budget(&mut self, out: &mut Vec<u8>) -> Step {
        self.ended = Some(Reason::None);
        self.confirming = true;
        self.core.stop_engine(self.id, Reason::BudgetEnded);
        let Some(open) = &mut self.open else { return Step::LastEvents };
        open.record.status = 200;
        open.record.budget_ended = true;
        let tokens = &mut open.decision.tokens;
        tokens.cut();
        let usage = Usage {
            // The engine counts the prompt at its end, which nobody waits for.
            prompt_tokens: tokens.prompt_so_far(),
            cached_tokens: 0,
            completion_tokens: tokens.planned(),
        };
        self.last_events("length", usage, out);
        Step::LastEvents
    }

    /// The finish reason of every choice that has none, usage where it was asked for, and the end.
    pub(super) fn last_events(&self, finish: &str, usage: Usage, out: &mut Vec<u8>) {
        let (Some(stream), Some(open)) = (&self.stream, &self.open) else { return };
        let unfinished = |index: &u32| match open.decision.choices {
            1 => !self.finish_seen,
            _ => !self.finished.contains(index),
        };
        for index in (0..open.decision.choices).filter(unfinished) {
            stream.finish(out, index, finish);
        }
        if open.decision.include_usage {
            stream.usage(out, usage);
        }
        sse::done(out);
    }

    /// The fields of an answer that comes whole: what is left is known better now than when the request began.
    pub(super) fn extra_now(&self) -> Extra {
        match &self.open {
            Some(open) if open.decision.tokens.is_limited() => {
                let tokens = open.decision.tokens.view(clock::now());
                extra_fields(open.record.request_id, Rates { tokens, ..open.decision.rate })
            }
            _ => self.extra(),
        }
    }

    /// The record ends when the worker has confirmed that it stopped.
    pub(super) fn abandon(&self, open: Box<Open>, reason: Reason) {
        let Open { record, decision, held, .. } = *open;
        let Decision { tokens, permit, .. } = decision;
        let holding = Holding { tokens, permit, outstanding: held.outstanding() };
        self.core.abandon(&self.slot, record, reason, holding);
    }

    /// The record ends: at once, or when the worker has confirmed that it stopped.
    pub(super) fn close(&self, mut open: Box<Open>, reason: Reason) {
        if self.confirming {
            return self.abandon(open, reason);
        }
        self.core.settle(&mut open.record, reason, &mut open.decision.tokens);
    }
}
