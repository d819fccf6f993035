//! What one core owns: its RDMA client, the requests on it, its counters. One thread, so no locks but the counters'.

use crate::clock;
use crate::counters::SharedCounters;
use crate::journal::{Journal, BUFFER_BYTES};
use crate::limit_hits::Quiet;
use crate::programmed::Programmed;
use crate::record::Record;
use crate::slot::{Slot, Told};
use crate::worker::{self, Outstanding};
use dpu_policy::{Permit, Reservation, TokenCache};
use dpu_types::{Dispatch, MonoNs, OwnKeyMap, Reason, RequestId};
use dpu_ucx::{Client, Event, UcxTransport};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use tokio::sync::{watch, Notify};

/// Requests in flight on one core at most, whatever `requests_running_max` of a listener says; each has a slot, a record
/// and its canonical body's receipt.
pub const REQUESTS_MAX: usize = 65_536;
/// How often requests are looked through for a passed deadline, and the journal's buffer is handed over.
pub const TICK_MS: u64 = 50;
/// A worker that has sent something in this time before a request's deadline was answering, only too much.
const FLOWING_NS: u64 = 500_000_000;

/// One core's state.
pub struct Core {
    /// From 0.
    pub index: usize,
    /// What is programmed now.
    pub programmed: RefCell<Option<Arc<Programmed>>>,
    /// The RDMA side; made with the first plan, which names the key.
    pub client: RefCell<Option<Client<UcxTransport>>>,
    /// Wakes the RDMA loop when something was sent or is to be timed.
    pub kick: Notify,
    /// Becomes true when the process drains; for whoever waits for that.
    pub draining: watch::Receiver<bool>,
    /// The same for whoever only looks, with every request: a look into the channel takes its lock, which cores share.
    pub is_draining: Flag,
    /// Shared with whoever looks at the metrics.
    pub counters: SharedCounters,
    /// Workers as this core sees them, by index of the plan.
    pub peers: RefCell<Vec<Peer>>,
    slots: RefCell<OwnKeyMap<RequestId, Open>>,
    abandoned: RefCell<OwnKeyMap<RequestId, Abandoned>>,
    /// JWTs that this core has verified.
    pub tokens: RefCell<TokenCache>,
    journal: Journal,
    lines: RefCell<Vec<u8>>,
    random: RefCell<RandomPool>,
    date: RefCell<(u64, Rc<str>)>,
    stopping: Cell<Option<Reason>>,
    turn: Cell<usize>,
}

/// A worker as one core sees it.
#[derive(Clone)]
pub struct Peer {
    /// Whether it can be given work.
    pub ready: bool,
    /// The engine's models.
    pub models: Vec<String>,
    /// In UCX's words.
    pub transport: Arc<str>,
}

impl Peer {
    /// Whether it has a model; an engine that tells no model, or "*", takes every name.
    #[must_use]
    pub fn serves(&self, engine_model: &str) -> bool {
        worker::serves(&self.models, engine_model)
    }
}

struct Open {
    slot: Rc<Slot>,
    deadline: MonoNs,
    /// Frames that had come at the last tick that saw a new one, and when that was.
    frames: Cell<u32>,
    heard: Cell<MonoNs>,
}

impl Open {
    fn new(slot: &Rc<Slot>, deadline: MonoNs) -> Self {
        Self { slot: Rc::clone(slot), deadline, frames: Cell::new(0), heard: Cell::new(MonoNs(0)) }
    }

    /// Tells a request whose time is over, and whether its worker was still answering.
    fn tick(&self, now: MonoNs) {
        let frames = self.slot.frames();
        if frames != self.frames.replace(frames) {
            self.heard.set(now);
        }
        if self.deadline <= now {
            if now.since(self.heard.get()) < FLOWING_NS {
                self.slot.mark_flowing();
            }
            self.slot.tell(Told::Stop(Reason::WorkerTimeout));
        }
    }
}

/// A request whose client has gone, until the worker has confirmed that generation stopped.
struct Abandoned {
    record: Record,
    reason: Reason,
    holding: Holding,
}

/// What a request holds until its record ends.
pub struct Holding {
    /// Its tokens; settled with the record.
    pub tokens: Reservation,
    /// The tenant's place.
    pub permit: Permit,
    /// The place at the worker, where it has one.
    pub outstanding: Option<Outstanding>,
}

impl Core {
    /// A core with nothing programmed.
    #[must_use]
    pub fn new(
        index: usize,
        journal: Journal,
        counters: SharedCounters,
        (draining, is_draining): (watch::Receiver<bool>, Flag),
    ) -> Self {
        Self {
            index,
            programmed: RefCell::default(),
            client: RefCell::default(),
            kick: Notify::new(),
            draining,
            is_draining,
            counters,
            peers: RefCell::default(),
            tokens: RefCell::default(),
            slots: RefCell::default(),
            abandoned: RefCell::default(),
            journal,
            lines: RefCell::default(),
            random: RefCell::default(),
            date: RefCell::new((0, Rc::from(""))),
            stopping: Cell::new(None),
            turn: Cell::new(index),
        }
    }

    /// 128 fresh random bits.
    #[must_use]
    pub fn mint(&self) -> RequestId {
        RequestId(self.random.borrow_mut().take())
    }

    /// The `date` header's value, made once a second.
    #[must_use]
    pub fn date(&self) -> Rc<str> {
        let unix_s = clock::unix_ms() / 1000;
        let mut date = self.date.borrow_mut();
        if date.0 != unix_s {
            *date = (unix_s, Rc::from(dpu_http::date::imf_fixdate(unix_s)));
        }
        Rc::clone(&date.1)
    }

    /// Gives a request to its worker. Its events then come to the slot.
    ///
    /// # Errors
    /// Why it could not be given.
    pub fn submit(
        &self,
        dispatch: &Dispatch,
        slot: &Rc<Slot>,
        deadline: MonoNs,
        now: MonoNs,
    ) -> Result<(), Reason> {
        if self.slots.borrow().len() >= REQUESTS_MAX {
            return Err(Reason::WorkersBusy);
        }
        let mut client = self.client.borrow_mut();
        let client = client.as_mut().ok_or(Reason::NoWorker)?;
        client.submit(dispatch, now)?;
        self.slots.borrow_mut().insert(dispatch.request_id, Open::new(slot, deadline));
        // A send that is complete needs no progress, and the answer wakes the loop by itself. So does the next PING
        // in a quarter of a second, and from then on there is a tick for the deadlines.
        if client.is_sending() {
            self.kick.notify_one();
        }
        Ok(())
    }

    /// Lets the worker of a stream send more of it.
    pub fn credit(&self, id: RequestId, bytes: u32) {
        if let Some(client) = self.client.borrow_mut().as_mut() {
            client.credit(id, bytes);
            if client.is_sending() {
                self.kick.notify_one();
            }
        }
    }

    /// Looks after a request that waits for a worker: its slot is told when its time is over.
    pub fn wait(&self, id: RequestId, slot: &Rc<Slot>, deadline: MonoNs) {
        self.slots.borrow_mut().insert(id, Open::new(slot, deadline));
        // The loop may be asleep with nothing to time.
        self.kick.notify_one();
    }

    /// Hands out places that became free by time alone: a breaker's rest is over, a slow start has gone on.
    pub fn serve_waiting(&self, now: MonoNs) {
        let programmed = self.programmed.borrow();
        if let Some(room) =
            programmed.as_ref().map(|plan| &plan.steering.room).filter(|room| room.is_waiting())
        {
            room.pump(now);
        }
    }

    /// Whether this is the plan that the client's list of workers was set from.
    #[must_use]
    pub fn is_current(&self, plan: &Programmed) -> bool {
        self.programmed.borrow().as_ref().is_some_and(|current| std::ptr::eq(&**current, plan))
    }

    /// The index in the client's list of a worker of this plan, which may be an older one; None where it is gone.
    #[must_use]
    pub fn listed(&self, plan: &Programmed, index: usize) -> Option<usize> {
        if self.is_current(plan) {
            return Some(index);
        }
        let ledger = &plan.workers.get(index)?.ledger;
        let current = self.programmed.borrow();
        current.as_ref()?.workers.iter().position(|worker| Arc::ptr_eq(&worker.ledger, ledger))
    }

    /// A number that rises by one each time: equal workers take turns by it.
    #[must_use]
    pub fn next_turn(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }

    /// The worker has ended this request: no more events for it.
    pub fn forget(&self, id: RequestId) {
        self.slots.borrow_mut().remove(&id);
    }

    /// Stops a request before its answer was written. Where the worker still has it, the record ends when that has
    /// confirmed; where the worker had ended it, and nobody has read that yet, the record ends at once.
    pub fn abandon(&self, slot: &Slot, record: Record, reason: Reason, holding: Holding) {
        let id = record.request_id;
        self.forget(id);
        let gone = Abandoned { record, reason, holding };
        if self.stop_engine(id, reason) {
            self.abandoned.borrow_mut().insert(id, gone);
        } else {
            self.end_abandoned(gone, slot.take_last().as_ref());
        }
    }

    /// Tells the worker to stop a request. False where it has ended already; else one last event follows.
    pub fn stop_engine(&self, id: RequestId, reason: Reason) -> bool {
        let mut client = self.client.borrow_mut();
        let told = client.as_mut().is_some_and(|client| client.cancel(id, reason, clock::now()));
        if told {
            self.kick.notify_one();
        }
        told
    }

    /// Gives up on a request at `until`, where that is before its deadline.
    pub fn hurry(&self, id: RequestId, until: MonoNs) {
        if let Some(open) = self.slots.borrow_mut().get_mut(&id) {
            open.deadline = open.deadline.min(until);
        }
    }

    /// Settles the tokens of a request and ends its record.
    pub fn settle(&self, record: &mut Record, reason: Reason, tokens: &mut Reservation) {
        let now = clock::now();
        let settled = tokens.settle(now);
        (record.prompt_tokens, record.completion_tokens) = (settled.prompt, settled.completion);
        self.end_at(record, reason, now);
    }

    /// Counts and journals the end of a request.
    pub fn end(&self, record: &Record, reason: Reason) {
        self.end_at(record, reason, clock::now());
    }

    fn end_at(&self, record: &Record, reason: Reason, now: MonoNs) {
        self.counters.lock().ended(record, reason, now);
        if !self.journal.is_on() {
            return;
        }
        let mut lines = self.lines.borrow_mut();
        if lines.is_empty() {
            // The loop may be asleep with nothing to time: it has to hand this buffer over soon.
            self.kick.notify_one();
        }
        record.write_line(reason, now, &mut lines);
        if lines.len() >= BUFFER_BYTES {
            self.journal.submit(std::mem::take(&mut lines));
        }
    }

    /// Counts a connection that is ended for a reason of its own.
    pub fn refuse_connection(&self, reason: Reason) {
        *self.counters.lock().connection_refusals.entry(reason).or_default() += 1;
    }

    /// Counts a head that was not accepted.
    pub fn refuse_head(&self, reason: Reason, count: u64) {
        *self.counters.lock().head_refusals.entry(reason).or_default() += count;
    }

    /// Counts a limit that was hit without a refusal.
    pub fn limit_hit(&self, limit: Quiet, count: u64) {
        *self.counters.lock().quiet_limits.entry(limit).or_default() += count;
    }

    /// Whether the loop has to tick.
    #[must_use]
    pub fn has_timed_work(&self) -> bool {
        !self.slots.borrow().is_empty() || !self.lines.borrow().is_empty()
    }

    /// Requests that workers have from this core.
    #[must_use]
    pub fn running(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Requests that are not ended.
    #[must_use]
    pub fn open_requests(&self) -> usize {
        self.slots.borrow().len() + self.abandoned.borrow().len()
    }

    /// Stops what is past its deadline and hands the journal's buffer over.
    pub fn tick(&self, now: MonoNs) {
        self.slots.borrow().values().for_each(|open| open.tick(now));
        self.serve_waiting(now);
        let lines = std::mem::take(&mut *self.lines.borrow_mut());
        if !lines.is_empty() {
            self.journal.submit(lines);
        }
    }

    /// Ends every request with a reason; returns how many there were.
    pub fn stop_all(&self, reason: Reason) -> usize {
        self.stopping.set(Some(reason));
        let slots = self.slots.borrow();
        slots.values().for_each(|open| open.slot.tell(Told::Stop(reason)));
        slots.len()
    }

    /// The reason for a request whose connection went away: the client, unless we are stopping.
    #[must_use]
    pub fn gone_reason(&self) -> Reason {
        self.stopping.get().unwrap_or(Reason::ClientGone)
    }

    /// Brings an event of the RDMA side to whom it is for.
    pub fn deliver(&self, event: Event) {
        let Some(id) = event_id(&event) else { return };
        if let Some(open) = self.slots.borrow().get(&id) {
            open.slot.tell(Told::Frame(event));
            return;
        }
        self.deliver_abandoned(id, &event);
    }

    fn deliver_abandoned(&self, id: RequestId, event: &Event) {
        if matches!(event, Event::Tokens { .. }) {
            return;
        }
        let gone = self.abandoned.borrow_mut().remove(&id);
        if let Some(gone) = gone {
            self.end_abandoned(gone, Some(event));
        }
    }

    fn end_abandoned(&self, mut gone: Abandoned, last: Option<&Event>) {
        let (record, tokens) = (&mut gone.record, &mut gone.holding.tokens);
        let generated = match last {
            Some(Event::Cancelled { tokens_sent, tokens_wasted, cancel_us, .. }) => {
                record.cancel_us = Some(*cancel_us);
                tokens_sent.saturating_add(*tokens_wasted)
            }
            Some(Event::End { summary, .. } | Event::Result { summary, .. }) => {
                tokens.prompt_was(summary.prompt_tokens);
                record.cached_tokens = summary.cached_tokens;
                summary.completion_tokens
            }
            _ => 0,
        };
        record.tokens_wasted = generated.saturating_sub(tokens.settle(clock::now()).completion);
        self.settle(record, gone.reason, tokens);
    }
}

fn event_id(event: &Event) -> Option<RequestId> {
    match event {
        Event::Tokens { id, .. }
        | Event::Result { id, .. }
        | Event::End { id, .. }
        | Event::Fail { id, .. }
        | Event::Cancelled { id, .. } => Some(*id),
        Event::WorkerChanged { .. } => None,
    }
}

/// Random bytes drawn from the system's generator a page at a time.
struct RandomPool {
    bytes: [u8; 1024],
    used: usize,
}

impl Default for RandomPool {
    fn default() -> Self {
        Self { bytes: [0; 1024], used: 1024 }
    }
}

impl RandomPool {
    fn take(&mut self) -> [u8; 16] {
        if self.used + 16 > self.bytes.len() {
            fill_random(&mut self.bytes);
            self.used = 0;
        }
        let mut out = [0; 16];
        out.copy_from_slice(&self.bytes[self.used..self.used + 16]);
        // What was handed out must not be found in memory later and guessed to be the next.
        self.bytes[self.used..self.used + 16].fill(0);
        self.used += 16;
        out
    }
}

/// Fills a buffer from aws-lc's generator.
pub fn fill_random(out: &mut [u8]) {
    if aws_lc_rs::rand::fill(out).is_err() {
        // aws-lc aborts the process by itself when the system has no entropy; this is never reached, and going
        // on without random identifiers would be worse than stopping.
        std::process::abort();
    }
}

/// A flag that any thread may raise.
#[derive(Clone, Debug, Default)]
pub struct Flag(Arc<AtomicBool>);

impl Flag {
    /// Raises it.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
