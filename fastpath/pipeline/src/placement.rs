//! Which worker gets a request: the least busy of those that can take it, and the next where one cannot.

use crate::clock;
use crate::core::Core;
use crate::programmed::{Outstanding, Programmed};
use crate::record::Record;
use crate::slot::Slot;
use dpu_policy::{choose, Candidate, Decision, Warmth};
use dpu_types::gen::worker_frame as frame;
use dpu_types::{Dispatch, Endpoint, MonoNs, Reason};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// What is the same in every try to place one request.
pub struct Placement<'r> {
    /// The plan that decided.
    pub plan: &'r Programmed,
    /// What it decided.
    pub decision: &'r Decision,
    /// What was asked for.
    pub endpoint: Endpoint,
    /// Where the worker's frames go.
    pub slot: &'r Rc<Slot>,
    /// When we give up.
    pub deadline: MonoNs,
}

impl Placement<'_> {
    /// Gives the request to the best worker but `not`; every worker that cannot take it is passed over.
    ///
    /// # Errors
    /// Why the last one tried did not take it; `no_worker` where there was none.
    pub fn place(
        &self,
        core: &Core,
        record: &mut Record,
        not: Option<usize>,
    ) -> Result<(usize, Outstanding), Reason> {
        let now = clock::now();
        let mut failed: Vec<usize> = not.into_iter().collect();
        let mut last = Reason::NoWorker;
        loop {
            let index = self.choose(core, &failed).ok_or(last)?;
            let worker = &self.plan.workers[index];
            match core.submit(&self.dispatch(record, index, now), self.slot, self.deadline, now) {
                Ok(()) => {
                    record.given = Some(now);
                    record.worker = Some(Arc::clone(&worker.name));
                    record.transport = core.peers.borrow().get(index).map(|peer| Arc::clone(&peer.transport));
                    return Ok((index, Outstanding::take(worker)));
                }
                Err(reason) => {
                    last = reason;
                    failed.push(index);
                }
            }
        }
    }

    fn choose(&self, core: &Core, failed: &[usize]) -> Option<usize> {
        let peers = core.peers.borrow();
        let cold = Warmth { worker: None, lead_tokens_max: 0 };
        let chosen = choose(&self.decision.workers, self.decision.bucket.into(), cold, |index| {
            let peer = peers.get(index).filter(|peer| peer.ready && !failed.contains(&index))?;
            let worker = self.plan.workers.get(index)?;
            let tokens = u64::from(worker.outstanding.load(Ordering::Relaxed));
            let candidate = Candidate { tokens, tight: false, probe: false };
            peer.serves(&self.decision.engine_model).then_some(candidate)
        });
        chosen.map(|(worker, _)| worker)
    }

    fn dispatch(&self, record: &Record, worker: usize, now: MonoNs) -> Dispatch {
        let decision = self.decision;
        let flag = |on: bool, flag: u16| if on { flag } else { 0 };
        let flags = flag(decision.stream, frame::FLAG_REQUEST_STREAM)
            | flag(self.endpoint == Endpoint::Embeddings, frame::FLAG_REQUEST_EMBEDDINGS)
            | flag(self.endpoint == Endpoint::Completions, frame::FLAG_REQUEST_COMPLETIONS);
        Dispatch {
            request_id: record.request_id,
            worker,
            arm: decision.arm.to_string(),
            model: decision.engine_model.to_string(),
            epoch: record.epoch,
            deadline_ms: u32::try_from(self.deadline.since(now) / 1_000_000).unwrap_or(u32::MAX),
            priority: decision.priority,
            token_budget: decision.token_budget,
            tenant_hash: decision.tenant_hash,
            receipt_sha256: decision.receipt_sha256,
            receipt_edits: u32::try_from(decision.edits.len()).unwrap_or(u32::MAX),
            flags,
            trace: record.trace.clone(),
            body: decision.body.clone(),
        }
    }
}
