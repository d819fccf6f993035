//! The waiting room: requests of all cores that wait for a worker. Touched only while somebody waits.
//!
//! Whoever frees a place at a worker hands it to whoever is next, on whatever core that is: the place is taken for them
//! under the room's lock, so that nobody who comes later can take it first. Nothing that gives a place back may be
//! dropped under that lock.

use crate::clock;
use crate::histogram::{self, Histogram};
use crate::placement::{Chosen, Search};
use crate::queue::{FairQueue, Full, Place, QueueRules, Who};
use dpu_types::{MonoNs, Reason, Refusal};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Bounds of `retry-after`: shorter would be noise, longer nobody can promise.
const RETRY_AFTER_MS: std::ops::RangeInclusive<u64> = 100..=60_000;
/// Said where no place has become free yet, and so nobody knows how long it takes.
const RETRY_AFTER_UNKNOWN_MS: u64 = 1_000;

/// Rounds of handing out in which another core may be quicker.
const ROUNDS_LOST_MAX: usize = 64;

/// One request that waits.
pub struct Ticket {
    /// What it looks for.
    search: Search,
    state: Mutex<State>,
}

enum State {
    Waiting(Option<Waker>),
    Granted(Chosen),
    /// The place was taken over.
    Taken,
}

impl Ticket {
    /// Ready with the place once there is one; never again after that.
    pub fn poll(&self, context: &Context<'_>) -> Poll<Chosen> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Granted(chosen) => Poll::Ready(chosen),
            State::Waiting(_) => {
                *state = State::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
            State::Taken => Poll::Pending,
        }
    }

    fn grant(&self, chosen: Chosen) -> Option<Waker> {
        match std::mem::replace(&mut *self.state(), State::Granted(chosen)) {
            State::Waiting(waker) => waker,
            State::Granted(_) | State::Taken => None,
        }
    }

    fn take(&self) -> Option<Chosen> {
        match std::mem::replace(&mut *self.state(), State::Taken) {
            State::Granted(chosen) => Some(chosen),
            State::Waiting(_) | State::Taken => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why requests left without a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// `queue_full`
    pub full: u64,
    /// `queue_full_tenant`
    pub full_tenant: u64,
    /// `queue_timeout`
    pub timeout: u64,
    /// The client went away, or the request was ended for another reason.
    pub left: u64,
}

/// What the room counts.
#[derive(Clone, Debug, Default)]
pub struct RoomView {
    /// Waiting now, by priority.
    pub depths: BTreeMap<u8, usize>,
    /// Time from coming to the place, by priority.
    pub waits: BTreeMap<u8, Histogram>,
    /// Why others left.
    pub refusals: Refusals,
}

#[derive(Default)]
struct Inner {
    fair: FairQueue<Arc<Ticket>>,
    passes_max: u32,
    waits: BTreeMap<u8, Histogram>,
    refusals: Refusals,
    /// When a place was given last, and the mean time between two, an eighth new.
    granted: Option<MonoNs>,
    interval_ns: Option<u64>,
}

/// The room.
#[derive(Default)]
pub struct WaitingRoom {
    waiting: AtomicUsize,
    inner: Mutex<Inner>,
}

/// A request in the room; leaves it when dropped.
pub struct Seat {
    room: Arc<WaitingRoom>,
    ticket: Arc<Ticket>,
    place: Place,
}

impl Seat {
    /// Ready with the place once there is one.
    pub fn poll(&self, context: &Context<'_>) -> Poll<Chosen> {
        self.ticket.poll(context)
    }

    /// Its time is over: the place that came at the last moment, or the refusal.
    ///
    /// # Errors
    /// `queue_timeout`, with the time after which a place may be free.
    pub fn give_up(self) -> Result<Chosen, Refusal> {
        self.room.leave(self.place, |refusals| refusals.timeout += 1);
        match self.ticket.take() {
            Some(chosen) => Ok(chosen),
            None => Err(self.room.refusal(Reason::QueueTimeout)),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.leave(self.place, |refusals| refusals.left += 1);
        // A place that nobody took over is given to the next, outside of the room's lock.
        drop(self.ticket.take());
    }
}

impl WaitingRoom {
    /// Whether somebody waits.
    ///
    /// SeqCst here, where the number is written and where places are counted: of one who comes and finds no place and
    /// one who frees a place and finds nobody waiting, at least one sees the other.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Lets a request wait for a place.
    ///
    /// # Errors
    /// `queue_full` or `queue_full_tenant`, with the time after which a place may be free.
    pub fn join(
        self: &Arc<Self>,
        rules: &QueueRules,
        who: Who,
        bytes: u64,
        search: Search,
        now: MonoNs,
    ) -> Result<Seat, Refusal> {
        let ticket = Arc::new(Ticket { search, state: Mutex::new(State::Waiting(None)) });
        let mut inner = self.inner();
        inner.passes_max = rules.passes_max;
        match inner.fair.push(rules, who, bytes, now, Arc::clone(&ticket)) {
            Ok(place) => {
                self.publish(&inner);
                drop(inner);
                self.pump(now);
                Ok(Seat { room: Arc::clone(self), ticket, place })
            }
            Err(full) => {
                let (count, reason) = match full {
                    Full::Queue => (&mut inner.refusals.full, Reason::QueueFull),
                    Full::Tenant => (&mut inner.refusals.full_tenant, Reason::QueueFullTenant),
                };
                *count += 1;
                drop(inner);
                Err(self.refusal(reason))
            }
        }
    }

    /// A place may be free: hands it to who is next. Costs one load where nobody waits.
    pub fn freed(&self) {
        if self.is_waiting() {
            self.pump(clock::now());
        }
    }

    /// Hands out every place that there is for those who wait.
    pub fn pump(&self, now: MonoNs) {
        let mut wake = Vec::new();
        let mut inner = self.inner();
        let passes_max = inner.passes_max;
        // Each round either serves somebody or has seen another core take a place; more rounds than that mean a fault
        // of ours, and the next place that is freed looks again.
        for _ in 0..inner.fair.len() + ROUNDS_LOST_MAX {
            let Some(selected) = inner.fair.select(passes_max, |ticket| ticket.search.fits(now)) else {
                break;
            };
            let Some(chosen) = inner.fair.peek(&selected).and_then(|ticket| ticket.search.take(now)) else {
                // Another core took the last place by the way that does not wait; look again.
                continue;
            };
            let Some(left) = inner.fair.take(&selected) else { break };
            inner
                .waits
                .entry(left.priority)
                .or_insert_with(|| Histogram::new(&histogram::DURATION))
                .observe(now.since(left.since));
            inner.note_grant(now);
            wake.push(left.item.grant(chosen));
        }
        inner.rest();
        self.publish(&inner);
        drop(inner);
        wake.into_iter().flatten().for_each(Waker::wake);
    }

    /// What there is to see.
    #[must_use]
    pub fn view(&self) -> RoomView {
        let inner = self.inner();
        RoomView {
            depths: inner.fair.depths().collect(),
            waits: inner.waits.clone(),
            refusals: inner.refusals,
        }
    }

    fn leave(&self, place: Place, count: impl FnOnce(&mut Refusals)) {
        let mut inner = self.inner();
        if inner.fair.remove(place).is_some() {
            count(&mut inner.refusals);
            inner.rest();
            self.publish(&inner);
        }
    }

    /// A refusal with a `retry-after` that is as true as the last places were: the time in which as many places became
    /// free as there are requests waiting.
    fn refusal(&self, reason: Reason) -> Refusal {
        let inner = self.inner();
        let ms = inner.interval_ns.map_or(RETRY_AFTER_UNKNOWN_MS, |interval| {
            interval.saturating_mul(inner.fair.len() as u64 + 1) / 1_000_000
        });
        Refusal::from(reason).retry_after_ms(ms.clamp(*RETRY_AFTER_MS.start(), *RETRY_AFTER_MS.end()))
    }

    fn publish(&self, inner: &Inner) {
        self.waiting.store(inner.fair.len(), Ordering::SeqCst);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The time in which nobody waits says nothing about how fast places become free.
    fn rest(&mut self) {
        if self.fair.len() == 0 {
            self.granted = None;
        }
    }

    fn note_grant(&mut self, now: MonoNs) {
        if let Some(before) = self.granted.replace(now) {
            let new = now.since(before);
            self.interval_ns = Some(self.interval_ns.map_or(new, |mean| mean - mean / 8 + new / 8));
        }
    }
}

#[cfg(test)]
mod tests;
