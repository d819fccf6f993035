//! The fast path's side: connections to workers, requests out, events back.

mod inbound;
mod slot;
mod workers;

use super::auth::SharedKey;
use super::client_config::ClientConfig;
use super::counters::SessionCounters;
use super::link::{Link, LinkLimits, SendError};
use super::types::{Event, WorkerPhase, WorkerState};
use super::Random;
use crate::transport::{PeerId, Transport, TransportCounters, TransportEvent};
use dpu_types::gen::worker_frame::{Body, Cancel, Credit, Request, STREAM_CREDIT_BYTES};
use dpu_types::{Dispatch, MonoNs, OwnKeyMap, Reason, RequestId};
use slot::Slot;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

/// A request that has not ended.
struct Pending {
    slot: usize,
    /// Something came back for it.
    received: bool,
    /// When it was cancelled.
    cancelled: Option<MonoNs>,
    /// Completion tokens that came, also after `cancel`.
    tokens: u32,
    /// Bytes of the body: no prompt has more tokens than that, beside what the engine's template adds.
    body_bytes: usize,
    /// Bytes of TOKENS that the worker may send in all, by what we have granted.
    granted: u64,
    /// Bytes of TOKENS that came.
    received_bytes: u64,
}

impl Pending {
    fn new(slot: usize, d: &Dispatch) -> Self {
        Self {
            slot,
            received: false,
            cancelled: None,
            tokens: 0,
            body_bytes: d.body.len(),
            granted: STREAM_CREDIT_BYTES as u64,
            received_bytes: 0,
        }
    }
}

/// Sends requests to workers and reports what comes back. One thread drives it.
pub struct Client<T: Transport> {
    transport: T,
    config: ClientConfig,
    /// The present one, then the one beside it.
    keys: Vec<SharedKey>,
    random: Random,
    /// Stable positions; `None` where a drained worker was.
    slots: Vec<Option<Slot>>,
    /// Index in the last `set_workers` -> position in `slots`.
    listed: Vec<usize>,
    peers: OwnKeyMap<PeerId, usize>,
    requests: OwnKeyMap<RequestId, Pending>,
    /// In the order of their deadlines, which all have the same length.
    cancels: VecDeque<(MonoNs, RequestId)>,
    counters: SessionCounters,
    /// Events made between two polls.
    early: Vec<Event>,
    incoming: Vec<TransportEvent>,
    polled: MonoNs,
    /// Requests were taken since the last `poll`.
    queued: bool,
}

impl<T: Transport> Client<T> {
    /// A client without workers. `random` must be unpredictable: it makes the nonces.
    pub fn new(transport: T, config: ClientConfig, random: Random) -> Self {
        Self {
            keys: keys(&config.key, &config.previous_key),
            transport,
            config,
            random,
            slots: Vec::new(),
            listed: Vec::new(),
            peers: OwnKeyMap::default(),
            requests: OwnKeyMap::default(),
            cancels: VecDeque::new(),
            counters: SessionCounters::default(),
            early: Vec::new(),
            incoming: Vec::new(),
            polled: MonoNs(0),
            queued: false,
        }
    }

    /// Sets the keys that workers may have, the second empty for none. Connections that stand stay; the next ones prove
    /// one of these.
    pub fn set_keys(&mut self, key: &[u8], previous_key: &[u8]) {
        self.keys = keys(key, previous_key);
    }

    /// Sets the workers by (name, address); indices elsewhere are positions in this list. A connection whose name
    /// and address stay is kept; one that is no longer listed takes nothing new and is closed when it is idle.
    pub fn set_workers(&mut self, workers: &[(String, SocketAddr)], now: MonoNs) {
        self.relist(workers, now);
    }

    /// Takes one request to worker `d.worker`; the next `poll` sends it, with all that were taken before. Its events
    /// carry `d.request_id`.
    ///
    /// # Errors
    /// `NoWorker`: that worker takes nothing now. `WorkersBusy`: as many requests are in flight as may be.
    /// `SendQueueFull`: as many bytes wait for it as may. `HttpBodyTooLarge`: it does not fit into a frame.
    /// `Internal`: the id is in use. Nothing was sent, and no event follows.
    pub fn submit(&mut self, d: &Dispatch, _now: MonoNs) -> Result<(), Reason> {
        let at = *self.listed.get(d.worker).ok_or(Reason::NoWorker)?;
        let slot = self.slots.get_mut(at).and_then(Option::as_mut).ok_or(Reason::NoWorker)?;
        let link = match (slot.phase, slot.link.as_mut()) {
            (WorkerPhase::Ready, Some(link)) => link,
            _ => return Err(Reason::NoWorker),
        };
        if self.requests.len() >= self.config.requests_in_flight_max {
            self.counters.requests_refused_full += 1;
            return Err(Reason::WorkersBusy);
        }
        if self.requests.contains_key(&d.request_id) {
            return Err(Reason::Internal);
        }
        let bytes_max = self.config.queue_bytes_max;
        let (via, counters) = (&mut self.transport, &mut self.counters);
        link.queue(via, counters, d.request_id, d.flags, &request_body(d), bytes_max).map_err(|error| {
            match error {
                SendError::Full => Reason::SendQueueFull,
                SendError::Gone => Reason::NoWorker,
                SendError::TooLarge => Reason::HttpBodyTooLarge,
            }
        })?;
        self.queued = true;
        slot.outstanding += 1;
        self.requests.insert(d.request_id, Pending::new(at, d));
        Ok(())
    }

    /// Lets the worker send `bytes` more of one stream (`tokens_frame_bytes` of each fragment). Nothing happens where it
    /// has ended or was cancelled.
    pub fn credit(&mut self, id: RequestId, bytes: u32) {
        let Some(pending) = self.requests.get_mut(&id).filter(|pending| pending.cancelled.is_none()) else {
            return;
        };
        pending.granted += u64::from(bytes);
        if let Some(link) = self.slots.get_mut(pending.slot).and_then(|slot| slot.as_mut()?.link.as_mut()) {
            let body = Body::Credit(Credit { bytes });
            // A peer that is gone ends the request by its Lost event.
            let _ = link.send_or_keep(&mut self.transport, &mut self.counters, id, 0, &body);
        }
    }

    /// Stops a request: CANCEL goes out, no more `Tokens` come. It ends by `Cancelled`, `Fail{WorkerLost}`, or
    /// `Fail{WorkerTimeout}` after `cancel_timeout_ms`. False where it has ended already: the event that says so is
    /// out, and nothing follows.
    pub fn cancel(&mut self, id: RequestId, reason: Reason, now: MonoNs) -> bool {
        let Some(pending) = self.requests.get_mut(&id) else { return false };
        if pending.cancelled.is_some() {
            return true;
        }
        pending.cancelled = Some(now);
        let deadline_ms = self.config.cancel_timeout_ms;
        self.cancels.push_back((now.plus_ms(u64::from(deadline_ms)), id));
        let body = Body::Cancel(Cancel { reason: reason as u16, deadline_ms });
        if let Some(link) = self.slots.get_mut(pending.slot).and_then(|slot| slot.as_mut()?.link.as_mut()) {
            // A peer that is gone ends the request by its Lost event.
            let _ = link.send_or_keep(&mut self.transport, &mut self.counters, id, 0, &body);
        }
        true
    }

    /// Makes progress: transport, order, handshakes, timers. Appends events; returns how many.
    pub fn poll(&mut self, now: MonoNs, out: &mut Vec<Event>) -> usize {
        let before = out.len();
        self.polled = now;
        out.append(&mut self.early);
        if std::mem::take(&mut self.queued) {
            self.flush();
        }
        let mut incoming = std::mem::take(&mut self.incoming);
        self.transport.poll(&mut incoming);
        for event in incoming.drain(..) {
            self.on_transport(event, now, out);
        }
        self.incoming = incoming;
        self.run_timers(now, out);
        out.len() - before
    }

    /// When `poll` wants to be called even if nothing arrives.
    pub fn next_timer(&self) -> Option<MonoNs> {
        if self.queued || !self.early.is_empty() {
            return Some(self.polled);
        }
        let limits = self.limits();
        let slots = self.slots.iter().flatten().filter_map(|slot| slot.next_timer(limits, self.polled));
        slots.chain(self.cancels.front().map(|cancel| cancel.0)).min()
    }

    /// Readable when `poll` has work, after `arm` returned true.
    pub fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        self.transport.event_fd()
    }

    /// True: sleeping on `event_fd` until `next_timer` is safe. False: poll again.
    pub fn arm(&mut self) -> bool {
        !self.queued && self.early.is_empty() && self.transport.arm()
    }

    /// Whether a request waits for `poll`, or a send is not complete: `poll` has to be called before any sleep.
    pub fn is_sending(&self) -> bool {
        self.queued || self.transport.is_sending()
    }

    /// Sends what `submit` took, and nothing else. True: there was something, all of it has left, and a sleep that
    /// `arm` allowed may go on: nothing was taken from the transport, so its descriptor still tells of what comes.
    pub fn send_queued(&mut self) -> bool {
        if !std::mem::take(&mut self.queued) {
            return false;
        }
        self.flush();
        let waiting = self.slots.iter().flatten().any(|s| s.link.as_ref().is_some_and(Link::is_waiting));
        !waiting && self.early.is_empty() && !self.transport.is_sending()
    }

    /// The state of one worker of the last `set_workers`; `None` beyond its end.
    pub fn state(&self, worker: usize) -> Option<WorkerState> {
        let slot = self.slots.get(*self.listed.get(worker)?)?.as_ref()?;
        Some(slot.state())
    }

    /// Our requests in flight to this worker where it takes requests now; `None` where it does not. For steering:
    /// it allocates nothing.
    pub fn load(&self, worker: usize) -> Option<u32> {
        let slot = self.slots.get(*self.listed.get(worker)?)?.as_ref()?;
        (slot.phase == WorkerPhase::Ready).then_some(slot.outstanding)
    }

    /// Whether no request is without an end.
    pub fn idle(&self) -> bool {
        self.requests.is_empty()
    }

    /// Requests without an end, over all workers.
    pub fn outstanding(&self) -> usize {
        self.requests.len()
    }

    /// What was counted so far.
    pub fn counters(&self) -> &SessionCounters {
        &self.counters
    }

    /// What the transport counted so far.
    pub fn transport_counters(&self) -> TransportCounters {
        self.transport.counters()
    }

    fn flush(&mut self) {
        for link in self.slots.iter_mut().flatten().filter_map(|slot| slot.link.as_mut()) {
            link.flush(&mut self.transport, &mut self.counters);
        }
    }

    fn limits(&self) -> LinkLimits {
        LinkLimits {
            ping_interval_ms: self.config.ping_interval_ms,
            peer_timeout_ms: self.config.peer_timeout_ms,
            reorder_frames_max: self.config.reorder_frames_max,
        }
    }
}

fn keys(key: &[u8], previous_key: &[u8]) -> Vec<SharedKey> {
    let second = (!previous_key.is_empty()).then_some(previous_key);
    std::iter::once(key).chain(second).map(SharedKey::new).collect()
}

fn request_body(d: &Dispatch) -> Body<'_> {
    Body::Request(Request {
        deadline_ms: d.deadline_ms,
        priority: d.priority,
        epoch: d.epoch,
        token_budget: d.token_budget,
        tenant_hash: d.tenant_hash,
        receipt_sha256: d.receipt_sha256,
        receipt_edits: d.receipt_edits,
        arm: &d.arm,
        model: &d.model,
        trace_id: d.trace.trace_id,
        span_id: d.trace.span_id,
        trace_flags: d.trace.flags,
        tracestate: d.trace.state.as_deref().unwrap_or_default(),
        body: &d.body,
    })
}
