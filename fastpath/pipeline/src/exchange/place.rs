//! How a request comes to a worker, waits for one, and lets go of one.

use super::{Exchange, Held, Open, Step};
use crate::clock;
use crate::core::Core;
use crate::health::Verdict;
use crate::placement::{Avoid, Chosen, NotPlaced, Placement};
use crate::programmed::Programmed;
use crate::slot::Slot;
use crate::waiting::{Wait, Waiting};
use dpu_policy::Decision;
use dpu_types::{Endpoint, MonoNs, Reason, Refusal};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// What is the same wherever a request is placed.
pub struct Ground<'g> {
    /// This core.
    pub core: &'g Core,
    /// The plan that decided.
    pub plan: &'g Arc<Programmed>,
    /// Where the worker's frames go.
    pub slot: &'g Rc<Slot>,
    /// When we give up.
    pub deadline: MonoNs,
}

impl Ground<'_> {
    /// Gives the request to a worker, or lets it wait for one.
    ///
    /// # Errors
    /// Why there is none, and waiting does not help.
    pub fn find_place(&self, open: &mut Open, avoid: &mut Avoid) -> Result<(), Refusal> {
        let Open { record, decision, held, endpoint } = open;
        let placement = self.placement(decision, *endpoint);
        *held = match placement.place(self.core, record, avoid) {
            Ok(placed) => Held::At(placed),
            Err(NotPlaced::Refused(refusal)) => return Err(refusal),
            Err(NotPlaced::Busy) => {
                let seat = placement.wait(self.core, record, *avoid)?;
                let wait_max_ms = self.plan.steering.queue.wait_max_ms;
                Held::Waiting(Box::new(Waiting::new(seat, wait_max_ms, self.deadline)))
            }
        };
        Ok(())
    }

    /// Hands the request over to the worker that has a place for it; where it does not take it, looks again.
    fn move_in(&self, open: &mut Open, avoid: &mut Avoid, chosen: Chosen) -> Result<(), Refusal> {
        let worker = chosen.worker;
        let Open { record, decision, held, endpoint } = open;
        match self.placement(decision, *endpoint).give(self.core, record, chosen, clock::now()) {
            Ok(placed) => {
                *held = Held::At(placed);
                Ok(())
            }
            Err(reason) if !avoid.add(worker) => Err(reason.into()),
            Err(_) => self.find_place(open, avoid),
        }
    }

    fn placement<'p>(&'p self, decision: &'p Decision, endpoint: Endpoint) -> Placement<'p> {
        Placement { plan: self.plan, decision, endpoint, slot: self.slot, deadline: self.deadline }
    }
}

impl Exchange {
    /// Waits until a worker has the request; an answer where none will.
    pub(super) async fn come_to_a_worker(&mut self, out: &mut Vec<u8>) -> Option<Step> {
        loop {
            let wait = poll_fn(|context| match self.waiting() {
                Some((waiting, slot)) => waiting.poll(slot, context).map(Some),
                None => Poll::Ready(None),
            });
            let wait = wait.await?;
            if let Some(step) = self.after_wait(wait, out) {
                return Some(step);
            }
        }
    }

    fn waiting(&mut self) -> Option<(&mut Waiting, &Slot)> {
        match &mut self.open.as_mut()?.held {
            Held::Waiting(waiting) => Some((waiting, &self.slot)),
            Held::Nowhere | Held::At(_) => None,
        }
    }

    fn after_wait(&mut self, wait: Wait, out: &mut Vec<u8>) -> Option<Step> {
        let open = self.open.as_mut()?;
        let Held::Waiting(waiting) = std::mem::replace(&mut open.held, Held::Nowhere) else { return None };
        open.record.waited_ns = Some(open.record.waited_ns.unwrap_or(0).saturating_add(waiting.waited_ns()));
        self.core.forget(open.record.request_id);
        let moved = match wait {
            Wait::Granted(chosen) => Ok(chosen),
            Wait::TimedOut => waiting.give_up(),
            Wait::Stopped(reason) => Err(reason.into()),
        };
        let ground = Ground { core: &self.core, plan: &self.plan, slot: &self.slot, deadline: self.deadline };
        let moved = moved.and_then(|chosen| ground.move_in(open, &mut self.avoid, chosen));
        // A retry that finds no worker ends by the first worker's failure, which is the cause.
        moved.err().map(|refusal| match self.retried_after {
            Some(reason) => self.fail(reason, out),
            None => self.fail_with(&refusal, out),
        })
    }

    /// Gives the request to another worker, once, before anything was sent. False where there is none.
    pub(super) fn retry(&mut self, after: Reason) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| !open.record.retried) else { return false };
        open.record.retried = true;
        self.retried_after = Some(after);
        let ground = Ground { core: &self.core, plan: &self.plan, slot: &self.slot, deadline: self.deadline };
        ground.find_place(open, &mut self.avoid).is_ok()
    }

    /// The worker has ended the request, or has never had it: its place is free for the next.
    pub(super) fn let_go(&mut self, verdict: Verdict) {
        let Some(open) = &mut self.open else { return };
        let Held::At(mut placed) = std::mem::replace(&mut open.held, Held::Nowhere) else { return };
        let rules = &self.plan.steering.health;
        match verdict {
            Verdict::Answered => placed.outstanding.answered(rules),
            Verdict::Failed | Verdict::Silent => {
                placed.outstanding.ended(verdict, rules);
                // Where it is full nothing more is tried anyway.
                let _ = self.avoid.add(placed.worker);
            }
        }
    }

    /// What is to be thought of the worker of a request that we end.
    pub(super) fn note_stop(&mut self, reason: Reason) {
        let answering = reason == Reason::WorkerTimeout && self.slot.is_flowing();
        let verdict = if answering { Verdict::Silent } else { Verdict::of(reason) };
        if let Some(Held::At(placed)) = self.open.as_mut().map(|open| &mut open.held) {
            placed.outstanding.ended(verdict, &self.plan.steering.health);
        }
    }

    /// Something of the answer came.
    pub(super) fn note_heard(&mut self) {
        if let Some(Held::At(placed)) = self.open.as_mut().map(|open| &mut open.held) {
            placed.outstanding.heard(&self.plan.steering.health);
        }
    }
}
