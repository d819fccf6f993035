//! Which worker gets a request, and what becomes of one that no worker can take now.
//!
//! Where a worker has room this reads atomics, takes a place by one compare-exchange and hands the request over; it
//! neither locks nor allocates. Where all are busy the request goes to the waiting room, which searches for it by the
//! same rules.

use crate::clock;
use crate::core::Core;
use crate::exchange::Placed;
use crate::health::Trust;
use crate::programmed::Programmed;
use crate::queue::Who;
use crate::record::Record;
use crate::room::Seat;
use crate::slot::Slot;
use crate::worker::{Outstanding, Worker};
use dpu_policy::{choose, Candidate, Decision, Warmth, Why};
use dpu_types::gen::worker_frame as frame;
use dpu_types::{Dispatch, Endpoint, MonoNs, Reason, Refusal, RequestId};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes of a body that count as one token of load: the usual mean of English text. A wrong guess makes the choice a
/// little worse and nothing wrong.
const BYTES_PER_TOKEN: u64 = 4;
/// Looks at the workers in which other cores may be quicker, before the request waits like everybody else.
const LOOKS_MAX: usize = 16;

/// What is the same in every try to place one request.
pub struct Placement<'r> {
    /// The plan that decided.
    pub plan: &'r Arc<Programmed>,
    /// What it decided.
    pub decision: &'r Decision,
    /// What was asked for.
    pub endpoint: Endpoint,
    /// Where the worker's frames go.
    pub slot: &'r Rc<Slot>,
    /// When we give up.
    pub deadline: MonoNs,
}

/// Why a request has no place.
pub enum NotPlaced {
    /// Every worker that could take it is busy: it may wait.
    Busy,
    /// Waiting does not help.
    Refused(Refusal),
}

/// A place at a worker, taken.
pub struct Chosen {
    /// Index in the plan that the search was made with.
    pub worker: usize,
    /// Why this one.
    pub why: Why,
    /// The place.
    pub outstanding: Outstanding,
}

/// Workers that are not tried again for one request. Few: where so many could not take it, more would not either.
#[derive(Clone, Copy, Debug, Default)]
pub struct Avoid {
    workers: [usize; Self::MAX],
    len: usize,
}

impl Avoid {
    const MAX: usize = 8;

    /// Adds one; false where there is no room.
    pub fn add(&mut self, worker: usize) -> bool {
        let Some(free) = self.workers.get_mut(self.len) else { return false };
        *free = worker;
        self.len += 1;
        true
    }

    fn has(&self, worker: usize) -> bool {
        self.workers.iter().take(self.len).any(|known| *known == worker)
    }
}

/// Where a request may go and what speaks for one worker or another.
struct Query<'q> {
    plan: &'q Programmed,
    workers: &'q [usize],
    tokens: u64,
    warm_key: u64,
    turn: usize,
    avoid: &'q Avoid,
}

/// What a look at the workers has seen beside the one that it found.
#[derive(Default)]
struct Seen {
    busy: Cell<bool>,
    /// When the first of those that rest may be tried.
    rest_until: Cell<Option<MonoNs>>,
}

impl Query<'_> {
    /// The best worker with room. `usable`: it is connected and has the model.
    fn find(
        &self,
        usable: impl Fn(usize, &Worker) -> bool,
        seen: &Seen,
        now: MonoNs,
    ) -> Option<(usize, Why)> {
        let steering = &self.plan.steering;
        // One worker needs no map: the request goes there anyway.
        let warm = || steering.warm.find(self.warm_key, steering.warm_ttl_ms, now);
        let worker = if self.workers.len() > 1 { warm() } else { None };
        let warmth = Warmth { worker, lead_tokens_max: steering.warm_lead_tokens_max };
        choose(self.workers, self.turn, warmth, |index| {
            let worker = self.plan.workers.get(index)?;
            if self.avoid.has(index) || !usable(index, worker) {
                return None;
            }
            self.look(worker, seen, now)
        })
    }

    fn look(&self, worker: &Worker, seen: &Seen, now: MonoNs) -> Option<Candidate> {
        let (share, probe) = match worker.ledger.trust(&self.plan.steering.health, now) {
            Trust::Share(percent) => (percent, false),
            Trust::Probe => (100, true),
            Trust::Rest(until) => {
                let first = [until, seen.rest_until.get()].into_iter().flatten().min();
                seen.rest_until.set(first);
                return None;
            }
        };
        let (requests, tokens) = worker.ledger.outstanding();
        if requests >= worker.capacity(share) {
            seen.busy.set(true);
            return None;
        }
        // What others have given it is taken to be like this request: it tells their number and no more.
        let foreign = u64::from(worker.ledger.foreign()) * self.tokens;
        let tokens = (tokens + foreign + self.tokens) * 100 / u64::from(share);
        Some(Candidate { tokens, tight: worker.ledger.is_tight(self.tokens), probe })
    }

    /// Takes a place at the worker that was found; None where another core was quicker.
    fn take(&self, (index, why): (usize, Why), now: MonoNs) -> Option<Chosen> {
        let worker = self.plan.workers.get(index)?;
        let probe = why == Why::Probe;
        let share = match worker.ledger.trust(&self.plan.steering.health, now) {
            Trust::Share(percent) => percent,
            Trust::Probe => 100,
            Trust::Rest(_) => return None,
        };
        let outstanding = worker.ledger.try_take(worker.capacity(share), self.tokens, probe, now)?;
        Some(Chosen { worker: index, why, outstanding })
    }
}

/// A query that outlives its request's turn on the core: what a ticket of the waiting room looks for.
pub struct Search {
    core: usize,
    plan: Arc<Programmed>,
    workers: Arc<[usize]>,
    engine_model: Arc<str>,
    tokens: u64,
    warm_key: u64,
    turn: usize,
    avoid: Avoid,
}

impl Search {
    /// A search for any model, of one token, that is warm for nothing.
    #[cfg(test)]
    pub(crate) fn for_test(core: usize, plan: &Arc<Programmed>, workers: &[usize], avoid: Avoid) -> Self {
        let (plan, workers) = (Arc::clone(plan), Arc::from(workers));
        let engine_model = Arc::from("any");
        Self { core, plan, workers, engine_model, tokens: 1, warm_key: 0, turn: 0, avoid }
    }

    /// Whether a worker has room for it now.
    #[must_use]
    pub fn fits(&self, now: MonoNs) -> bool {
        self.find(now).is_some()
    }

    /// Takes a place where there is one.
    #[must_use]
    pub fn take(&self, now: MonoNs) -> Option<Chosen> {
        self.query().take(self.find(now)?, now)
    }

    fn find(&self, now: MonoNs) -> Option<(usize, Why)> {
        let usable = |_: usize, worker: &Worker| {
            worker.ledger.is_ready_on(self.core) && worker.ledger.serves(&self.engine_model)
        };
        self.query().find(usable, &Seen::default(), now)
    }

    fn query(&self) -> Query<'_> {
        Query {
            plan: &self.plan,
            workers: &self.workers,
            tokens: self.tokens,
            warm_key: self.warm_key,
            turn: self.turn,
            avoid: &self.avoid,
        }
    }

    /// Requests with equal pools can use the same workers.
    fn pool(&self, id: RequestId) -> u64 {
        if self.avoid.len > 0 {
            // One that has failed elsewhere is alone; its random id is nobody else's.
            let [a, b, c, d, e, f, g, h, ..] = id.0;
            return u64::from_le_bytes([a, b, c, d, e, f, g, h]) | 1;
        }
        // Slices of one plan differ in their address, and cores in their connections.
        ((self.workers.as_ptr().addr() as u64) << 8) ^ ((self.core as u64) << 1)
    }
}

impl Placement<'_> {
    /// Gives the request to the best worker that has room and is not to be avoided; one that cannot take it is avoided
    /// from then on.
    ///
    /// # Errors
    /// Busy, or why the last one tried did not take it; `no_worker` where there was none.
    pub fn place(&self, core: &Core, record: &mut Record, avoid: &mut Avoid) -> Result<Placed, NotPlaced> {
        let now = clock::now();
        if self.plan.steering.room.is_waiting() {
            // Others were there before; the room gives this one a place at once where they can use none.
            return Err(NotPlaced::Busy);
        }
        let mut last: Option<Reason> = None;
        for _ in 0..LOOKS_MAX {
            let seen = Seen::default();
            let query = self.query(core, avoid);
            let Some(found) = query.find(self.usable(core), &seen, now) else {
                return Err(self.none_found(&seen, last, now));
            };
            let Some(chosen) = query.take(found, now) else { continue };
            match self.give(core, record, chosen, now) {
                Ok(placed) => return Ok(placed),
                Err(reason) => {
                    last = Some(reason);
                    if !avoid.add(found.0) {
                        return Err(NotPlaced::Refused(reason.into()));
                    }
                }
            }
        }
        Err(NotPlaced::Busy)
    }

    /// Hands the request over to the worker where it has a place.
    ///
    /// # Errors
    /// Why that worker does not take it; its place is free again.
    pub fn give(
        &self,
        core: &Core,
        record: &mut Record,
        chosen: Chosen,
        now: MonoNs,
    ) -> Result<Placed, Reason> {
        let Chosen { worker: index, why, outstanding } = chosen;
        let listed = core.listed(self.plan, index).ok_or(Reason::NoWorker)?;
        core.submit(&self.dispatch(record, listed, now), self.slot, self.deadline, now)?;
        self.plan.steering.warm.note(self.decision.warm_key, index, now);
        record.given = Some(now);
        record.choice = Some(why);
        record.worker = self.plan.workers.get(index).map(|worker| Arc::clone(&worker.name));
        record.transport = core.peers.borrow().get(listed).map(|peer| Arc::clone(&peer.transport));
        Ok(Placed { worker: index, outstanding })
    }

    /// Lets the request wait for a worker. Its slot is told when it has to stop.
    ///
    /// # Errors
    /// The queue is full.
    pub fn wait(&self, core: &Core, record: &Record, avoid: Avoid) -> Result<Seat, Refusal> {
        let decision = self.decision;
        let search = Search {
            core: core.index,
            plan: Arc::clone(self.plan),
            workers: Arc::clone(&decision.workers),
            engine_model: Arc::clone(&decision.engine_model),
            tokens: tokens(decision),
            warm_key: decision.warm_key,
            turn: core.next_turn(),
            avoid,
        };
        let who = Who {
            priority: decision.priority,
            tenant: decision.tenant_hash,
            weight: decision.queue_weight,
            pool: search.pool(record.request_id),
        };
        let steering = &self.plan.steering;
        let seat =
            steering.room.join(&steering.queue, who, decision.body.len() as u64, search, clock::now())?;
        core.wait(record.request_id, self.slot, self.deadline);
        Ok(seat)
    }

    fn none_found(&self, seen: &Seen, last: Option<Reason>, now: MonoNs) -> NotPlaced {
        if seen.busy.get() {
            return NotPlaced::Busy;
        }
        let refusal = Refusal::from(last.unwrap_or(Reason::NoWorker));
        NotPlaced::Refused(match seen.rest_until.get() {
            Some(until) => refusal.retry_after_ms(until.since(now).div_ceil(1_000_000)),
            None => refusal,
        })
    }

    fn query<'q>(&'q self, core: &Core, avoid: &'q Avoid) -> Query<'q> {
        Query {
            plan: self.plan,
            workers: &self.decision.workers,
            tokens: tokens(self.decision),
            warm_key: self.decision.warm_key,
            turn: core.next_turn(),
            avoid,
        }
    }

    /// Connected on this core, with the model.
    fn usable<'q>(&'q self, core: &'q Core) -> impl Fn(usize, &Worker) -> bool + 'q {
        let peers = core.peers.borrow();
        let is_current = core.is_current(self.plan);
        move |index, _| {
            let listed = if is_current { Some(index) } else { core.listed(self.plan, index) };
            let peer = listed.and_then(|listed| peers.get(listed));
            peer.is_some_and(|peer| peer.ready && peer.serves(&self.decision.engine_model))
        }
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
            arm: Arc::clone(&decision.arm),
            model: Arc::clone(&decision.engine_model),
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

/// Tokens that a request counts for while a worker has it: its prompt, estimated, and all that it may generate.
fn tokens(decision: &Decision) -> u64 {
    decision.body.len() as u64 / BYTES_PER_TOKEN + u64::from(decision.token_budget)
}
