//! A worker as all cores share it: what it has from us, whether it is trusted, what it last said of itself.
//!
//! Everything that the choice of a worker reads is an atomic. A lock is taken by what is rare: a failure, a probe, a
//! change of the connection.

use crate::clock;
use crate::health::{Gate, Health, HealthRules, Trust, Verdict};
use crate::room::WaitingRoom;
use dpu_types::MonoNs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tokens that one request counts for at most, so that the sum over a million requests fits beside their number.
const REQUEST_TOKENS_MAX: u64 = 1 << 20;
/// The load is one word: requests above this bit, tokens below it.
const REQUEST_SHIFT: u32 = 44;
const TOKENS_MASK: u64 = (1 << REQUEST_SHIFT) - 1;
/// Cores whose connections are told apart; beyond, cores share a bit, and a place on a connection that is not ready is
/// found out when the request is handed over.
const CORES: usize = 64;

/// One worker of a plan.
pub struct Worker {
    /// Its name in the desired state.
    pub name: Arc<str>,
    /// Its UCX listener.
    pub address: SocketAddr,
    /// Requests at most; 0 for its slots times `requests_per_slot`.
    pub requests_max: u32,
    /// Requests for each slot.
    pub requests_per_slot: u32,
    /// Bytes of one stream that it may be ahead of the client's reading.
    pub stream_window_bytes: u32,
    /// Outlives the plan.
    pub ledger: Arc<Ledger>,
}

impl Worker {
    /// Requests that it may have at this share of its capacity; at least one.
    #[must_use]
    pub fn capacity(&self, share_percent: u32) -> u32 {
        let own = || self.ledger.slots.load(Ordering::Relaxed).max(1).saturating_mul(self.requests_per_slot);
        let full = if self.requests_max > 0 { self.requests_max } else { own() };
        let part = u64::from(full) * u64::from(share_percent) / 100;
        u32::try_from(part).unwrap_or(u32::MAX).max(1)
    }
}

/// What outlives a plan. On cache lines of its own.
#[repr(align(128))]
pub struct Ledger {
    load: AtomicU64,
    /// `health` as the choice needs it.
    gate: AtomicU64,
    /// Whether an answered request has to be told to `health`.
    watching: AtomicBool,
    /// One bit for each core whose connection takes requests.
    ready: AtomicU64,
    slots: AtomicU32,
    /// Requests that it has from others, by its last LOAD.
    foreign: AtomicU32,
    /// By its last LOAD; 0 where it does not know.
    free_kv_tokens: AtomicU64,
    /// When the first of the present connections was made.
    connected: AtomicU64,
    health: Mutex<Health>,
    models: Mutex<Vec<String>>,
    room: Arc<WaitingRoom>,
}

/// A worker's connection as one core sees it.
pub struct Told<'s> {
    /// It takes requests.
    pub ready: bool,
    /// It was lost, rather than closed or drained.
    pub lost: bool,
    /// Requests that it runs at the same time.
    pub slots: u32,
    /// The engine's names of its models.
    pub models: &'s [String],
    /// Requests that run and wait there, from everybody.
    pub requests: u32,
    /// Tokens that still fit into its cache; 0 where it does not know.
    pub free_kv_tokens: u64,
}

impl Ledger {
    /// Nothing is known and nothing outstanding. Whoever gives a place back wakes `room`.
    #[must_use]
    pub fn new(room: Arc<WaitingRoom>) -> Self {
        Self {
            load: AtomicU64::default(),
            gate: AtomicU64::default(),
            watching: AtomicBool::default(),
            ready: AtomicU64::default(),
            slots: AtomicU32::default(),
            foreign: AtomicU32::default(),
            free_kv_tokens: AtomicU64::default(),
            connected: AtomicU64::default(),
            health: Mutex::default(),
            models: Mutex::default(),
            room,
        }
    }

    /// Requests and tokens that it has from us, over all cores.
    #[must_use]
    pub fn outstanding(&self) -> (u32, u64) {
        split(self.load.load(Ordering::SeqCst))
    }

    /// Requests that it runs at the same time; 0 before it has said so.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots.load(Ordering::Relaxed)
    }

    /// Requests that it has from others.
    #[must_use]
    pub fn foreign(&self) -> u32 {
        self.foreign.load(Ordering::Relaxed)
    }

    /// Whether it said that its cache has no room for so many tokens.
    #[must_use]
    pub fn is_tight(&self, tokens: u64) -> bool {
        let free = self.free_kv_tokens.load(Ordering::Relaxed);
        free > 0 && free < tokens
    }

    /// How it may be used now.
    #[must_use]
    pub fn trust(&self, rules: &HealthRules, now: MonoNs) -> Trust {
        Gate(self.gate.load(Ordering::Relaxed)).trust(rules, now)
    }

    /// Whether a core's connection takes requests.
    #[must_use]
    pub fn is_ready_on(&self, core: usize) -> bool {
        self.ready.load(Ordering::Relaxed) & bit(core) != 0
    }

    /// Whether it has a model. Takes a lock: for those who wait.
    #[must_use]
    pub fn serves(&self, engine_model: &str) -> bool {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        serves(&models, engine_model)
    }

    /// Its breaker's state, times opened, and failures.
    #[must_use]
    pub fn circuit(&self, now: MonoNs) -> (&'static str, u64, u64) {
        let health = self.health();
        let (opened, failed) = health.totals();
        (health.circuit_name(now), opened, failed)
    }

    /// Takes a place where fewer than `requests_max` are taken, with its tokens, in one compare-exchange. The probe of
    /// an open breaker takes it alone.
    #[must_use]
    pub fn try_take(
        self: &Arc<Self>,
        requests_max: u32,
        tokens: u64,
        probe: bool,
        now: MonoNs,
    ) -> Option<Outstanding> {
        let taken = (1 << REQUEST_SHIFT) + tokens.min(REQUEST_TOKENS_MAX);
        let room = |load: u64| (split(load).0 < requests_max).then_some(load + taken);
        // SeqCst: see `WaitingRoom::is_waiting`.
        self.load.fetch_update(Ordering::SeqCst, Ordering::Relaxed, room).ok()?;
        if probe && !self.change_health(|health| health.try_probe(now)) {
            // Somebody else has the probe. Nobody is woken: whoever waits saw this place as taken for an instant.
            self.load.fetch_sub(taken, Ordering::SeqCst);
            return None;
        }
        Some(Outstanding { ledger: Arc::clone(self), taken, probe, settled: false })
    }

    /// What a core sees of its connection.
    pub fn tell(&self, core: usize, told: &Told<'_>, beside_others: bool, rules: &HealthRules, now: MonoNs) {
        self.slots.store(told.slots, Ordering::Relaxed);
        let foreign = told.requests.saturating_sub(self.outstanding().0);
        self.foreign.store(if told.ready { foreign } else { 0 }, Ordering::Relaxed);
        self.free_kv_tokens.store(told.free_kv_tokens, Ordering::Relaxed);
        let before = if told.ready {
            self.set_models(told.models);
            self.ready.fetch_or(bit(core), Ordering::SeqCst)
        } else {
            self.ready.fetch_and(!bit(core), Ordering::SeqCst)
        };
        if told.ready && before == 0 {
            self.connected.store(now.0, Ordering::Relaxed);
            self.change_health(|health| health.connected(now, beside_others));
        }
        // Each core loses its own connection; the last one of them is the worker.
        if told.lost && before == bit(core) {
            self.change_health(|health| health.lost(rules, now));
        }
    }

    /// Whether it has been connected for so long.
    #[must_use]
    pub fn has_served_for(&self, ms: u64, now: MonoNs) -> bool {
        let since = MonoNs(self.connected.load(Ordering::Relaxed));
        self.ready.load(Ordering::Relaxed) != 0 && now >= since.plus_ms(ms)
    }

    fn set_models(&self, told: &[String]) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if *models != told {
            *models = told.to_vec();
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        // A panic while it was locked leaves plain numbers; they are still the best there is.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the health and publishes what the choice needs of it.
    fn change_health<R>(&self, change: impl FnOnce(&mut Health) -> R) -> R {
        let mut health = self.health();
        let result = change(&mut health);
        self.gate.store(health.gate().0, Ordering::Relaxed);
        self.watching.store(health.is_watching(), Ordering::Relaxed);
        result
    }
}

/// Whether a list of models has one; an engine that tells no model, or "*", takes every name.
#[must_use]
pub fn serves(models: &[String], engine_model: &str) -> bool {
    models.is_empty() || models.iter().any(|m| m == "*" || m == engine_model)
}

const fn bit(core: usize) -> u64 {
    1 << (core % CORES)
}

fn split(load: u64) -> (u32, u64) {
    // The number of requests has 20 bits.
    ((load >> REQUEST_SHIFT) as u32, load & TOKENS_MASK)
}

/// One request on one worker; gives its place back when dropped.
pub struct Outstanding {
    ledger: Arc<Ledger>,
    taken: u64,
    probe: bool,
    settled: bool,
}

impl Outstanding {
    /// The worker has answered it: the whole answer, or, for a probe, the first of it.
    pub fn answered(&mut self, rules: &HealthRules) {
        if self.probe || self.ledger.watching.load(Ordering::Relaxed) {
            self.settle(Verdict::Answered, rules);
        }
    }

    /// Something of the answer came. Only a probe is settled by that.
    pub fn heard(&mut self, rules: &HealthRules) {
        if self.probe && !self.settled {
            self.settle(Verdict::Answered, rules);
        }
    }

    /// It ended without its answer.
    pub fn ended(&mut self, verdict: Verdict, rules: &HealthRules) {
        if verdict != Verdict::Silent {
            self.settle(verdict, rules);
        }
    }

    fn settle(&mut self, verdict: Verdict, rules: &HealthRules) {
        // A probe that was settled is an ordinary request from then on.
        let probe = self.probe && !std::mem::replace(&mut self.settled, true);
        let now = clock::now();
        self.ledger.change_health(|health| health.ended(verdict, probe, rules, now));
        self.ledger.room.freed();
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        if self.probe && !self.settled {
            let now = clock::now();
            self.ledger.change_health(|health| health.probe_said_nothing(now));
        }
        self.ledger.load.fetch_sub(self.taken, Ordering::SeqCst);
        self.ledger.room.freed();
    }
}

#[cfg(test)]
mod tests;
