//! Requests per interval (GCRA) and requests at once, per tenant; tokens per interval, per tenant, per model and for
//! all. Time is told, never asked for.
//!
//! How much a tenant has used lives in [`LimitState`] and outlives a plan; how much it may use is the plan's. Each
//! tenant has one theoretical arrival time (TAT, nanoseconds): the time at which all that was taken is paid off. A
//! request moves it on by the emission interval T = interval / requests, and may do so while it stays within
//! burst x T of now (ITU-T I.371 annex A, "virtual scheduling").

mod bucket;
mod ledger;
mod reservation;

pub(crate) use bucket::{is_countable, Bucket, Level, TOKENS_MAX};
pub use bucket::{Scope, TokenView};
pub(crate) use ledger::Ledger;
pub use ledger::{Totals, LEDGERS_MAX};
pub(crate) use reservation::{tightest, Ask, Buckets};
pub use reservation::{Reservation, Settled};

use dpu_types::MonoNs;
use ledger::Ledgers;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Tenants whose use is remembered. Above it, tenants that no policy holds any more are forgotten.
pub(crate) const TENANTS_KEPT_MAX: usize = 65_536;

const NS_PER_MS: u64 = 1_000_000;

/// What tenants have used, by name; shared by all policies of a process.
#[derive(Debug, Default)]
pub struct LimitState {
    tenants: Mutex<HashMap<Arc<str>, Arc<Usage>>>,
    models: Mutex<HashMap<Arc<str>, Arc<Level>>>,
    all: Arc<Level>,
    ledgers: Ledgers,
    now_ns: AtomicU64,
}

impl LimitState {
    /// Nobody has used anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The use of each of these tenants, kept from earlier plans where there is one. Forgets tenants that are in no
    /// living policy when more than `TENANTS_KEPT_MAX` are known.
    pub(crate) fn usage_of(&self, names: &[Arc<str>]) -> Vec<Arc<Usage>> {
        // A panic elsewhere leaves the map whole: entries are only inserted or removed.
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let usages =
            names.iter().map(|name| Arc::clone(tenants.entry(Arc::clone(name)).or_default())).collect();
        if tenants.len() > TENANTS_KEPT_MAX {
            let wanted: HashSet<&Arc<str>> = names.iter().collect();
            tenants.retain(|name, usage| wanted.contains(name) || Arc::strong_count(usage) > 1);
        }
        usages
    }

    /// The level of each of these models, kept from earlier plans where there is one; forgets as `usage_of` does.
    pub(crate) fn levels_of(&self, names: &[Arc<str>]) -> Vec<Arc<Level>> {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let levels =
            names.iter().map(|name| Arc::clone(models.entry(Arc::clone(name)).or_default())).collect();
        if models.len() > TENANTS_KEPT_MAX {
            let wanted: HashSet<&Arc<str>> = names.iter().collect();
            models.retain(|name, level| wanted.contains(name) || Arc::strong_count(level) > 1);
        }
        levels
    }

    /// The level of the bucket for all.
    pub(crate) fn level_of_all(&self) -> Arc<Level> {
        Arc::clone(&self.all)
    }

    /// The ledger of a tenant for a model.
    pub(crate) fn ledger_of(&self, tenant: &Arc<str>, model: &Arc<str>) -> Arc<Ledger> {
        self.ledgers.of(tenant, model)
    }

    /// Tokens debited and refunded since the start: tenant, model, sums. Bounded by `LEDGERS_MAX`.
    #[must_use]
    pub fn totals(&self) -> Vec<(Arc<str>, Arc<str>, Totals)> {
        self.ledgers.totals()
    }

    /// Tells the time to the plans that are built from here on: a bucket whose rate changes goes on from now.
    pub fn set_now(&self, now: MonoNs) {
        self.now_ns.store(now.0, Ordering::Relaxed);
    }

    /// The time that was told last.
    pub(crate) fn now(&self) -> MonoNs {
        MonoNs(self.now_ns.load(Ordering::Relaxed))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.tenants.lock().map_or(0, |tenants| tenants.len())
    }
}

/// What one tenant has used. On cache lines of its own: threads that serve different tenants do not disturb each
/// other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Usage {
    /// Theoretical arrival time, nanoseconds of the monotonic clock.
    tat_ns: AtomicU64,
    /// The emission interval that `tat_ns` was counted with; 0 before the first request.
    emission_ns: AtomicU64,
    in_flight: AtomicU32,
    /// Apart, so that a tenant without a token limit touches none of it.
    pub(crate) tokens: Arc<Level>,
}

/// What is left to a tenant, for `x-ratelimit-*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests; None where they are not limited.
    pub requests: Option<RateView>,
    /// Tokens of the tightest bucket; None where there is none.
    pub tokens: Option<TokenView>,
}

/// A tenant's request rate, for `x-ratelimit-{limit,remaining,reset}-requests`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateView {
    /// Requests in one interval.
    pub limit: u32,
    /// Requests that may come at once now.
    pub remaining: u32,
    /// Milliseconds until nothing counts as used, rounded up.
    pub reset_ms: u64,
}

/// Requests per interval as the plan says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gcra {
    requests: u32,
    burst: u32,
    emission_ns: u64,
    /// burst x T: how far the TAT may be ahead.
    ahead_max_ns: u64,
}

impl Gcra {
    /// `requests` in `interval_ms`, `burst` of them at once; None where a number is zero or the product overflows.
    pub(crate) fn new(requests: u32, interval_ms: u64, burst: u32) -> Option<Self> {
        if requests == 0 || interval_ms == 0 || burst == 0 {
            return None;
        }
        // Rounded up: the rate is at most what the plan says.
        let emission_ns = interval_ms.checked_mul(NS_PER_MS)?.div_ceil(u64::from(requests));
        let ahead_max_ns = emission_ns.checked_mul(u64::from(burst))?;
        Some(Self { requests, burst, emission_ns, ahead_max_ns })
    }

    /// Takes one request.
    ///
    /// No overshoot: the new TAT is written only by a compare-exchange from the very value that was judged, so the
    /// successful writes of all threads form one sequence in which each was allowed by the one before it. A loser
    /// judges again with what the winner wrote. `tat_ns` guards nothing but itself, hence `Relaxed`: the
    /// modification order of one atomic is total by itself. Clocks of threads may differ by their scheduling; an
    /// earlier `now` only makes a thread stricter.
    ///
    /// # Errors
    /// The time in milliseconds (rounded up, at least 1) after which one request fits.
    pub(crate) fn take(&self, usage: &Usage, now: MonoNs) -> Result<RateView, u64> {
        self.rescale(usage, now);
        let mut tat = usage.tat_ns.load(Ordering::Relaxed);
        loop {
            let next = tat.max(now.0).saturating_add(self.emission_ns);
            let ahead = next - now.0;
            if ahead > self.ahead_max_ns {
                return Err((ahead - self.ahead_max_ns).div_ceil(NS_PER_MS).max(1));
            }
            match usage.tat_ns.compare_exchange_weak(tat, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(self.view_at(next, now)),
                Err(seen) => tat = seen,
            }
        }
    }

    /// What is left, taking nothing.
    pub(crate) fn view(&self, usage: &Usage, now: MonoNs) -> RateView {
        self.rescale(usage, now);
        self.view_at(usage.tat_ns.load(Ordering::Relaxed), now)
    }

    /// Milliseconds until one request fits, taking nothing; None where one fits now.
    pub(crate) fn wait_ms(&self, usage: &Usage, now: MonoNs) -> Option<u64> {
        self.rescale(usage, now);
        let next = usage.tat_ns.load(Ordering::Relaxed).max(now.0).saturating_add(self.emission_ns);
        let over = (next - now.0).checked_sub(self.ahead_max_ns)?;
        (over > 0).then(|| over.div_ceil(NS_PER_MS))
    }

    fn view_at(&self, tat: u64, now: MonoNs) -> RateView {
        let ahead = tat.saturating_sub(now.0);
        let left = self.ahead_max_ns.saturating_sub(ahead) / self.emission_ns;
        // left <= burst, which is an u32.
        let remaining = u32::try_from(left).unwrap_or(self.burst).min(self.requests);
        RateView { limit: self.requests, remaining, reset_ms: ahead.div_ceil(NS_PER_MS) }
    }

    /// After a plan changed the rate: the requests that count as used stay the same number (at most a whole burst).
    ///
    /// `swap` lets exactly one thread see the old interval and convert; a thread that judges between its swap and
    /// its conversion judges once by the old scale. That is the only effect of the race, once per change of rate.
    fn rescale(&self, usage: &Usage, now: MonoNs) {
        if usage.emission_ns.load(Ordering::Relaxed) == self.emission_ns {
            return;
        }
        let old_ns = usage.emission_ns.swap(self.emission_ns, Ordering::Relaxed);
        if old_ns == 0 || old_ns == self.emission_ns {
            return;
        }
        let convert = |tat: u64| {
            let ahead = u128::from(tat.saturating_sub(now.0));
            let scaled = ahead * u128::from(self.emission_ns) / u128::from(old_ns);
            let capped = u64::try_from(scaled).map_or(self.ahead_max_ns, |ns| ns.min(self.ahead_max_ns));
            Some(now.0.saturating_add(capped))
        };
        // The closure never gives None, so this never fails.
        let _ = usage.tat_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, convert);
    }
}

/// A place among the requests that a tenant may have at once; given back on drop.
#[derive(Debug)]
pub struct Permit {
    usage: Arc<Usage>,
}

impl Permit {
    /// Takes a place; `max` 0 is no limit, but the place counts all the same, for the plan that brings a limit.
    pub(crate) fn take(usage: &Arc<Usage>, max: u32) -> Option<Self> {
        let free = |held: u32| (max == 0 || held < max).then(|| held.checked_add(1)).flatten();
        // Relaxed: the counter guards nothing but itself. A failed compare-exchange judges again.
        usage.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok()?;
        Some(Self { usage: Arc::clone(usage) })
    }

    /// Requests that the tenant has in flight now, this one included.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.usage.in_flight.load(Ordering::Relaxed)
    }

    /// Gives one request of the tenant's rate back, for an answer that we failed to give (no worker, drain).
    ///
    /// Where the bucket has filled up since, the caller gains at most this one request, which nobody answered.
    pub fn refund_request(&self) {
        let step = self.usage.emission_ns.load(Ordering::Relaxed);
        let back = |tat: u64| Some(tat.saturating_sub(step));
        // The closure never gives None, so this never fails.
        let _ = self.usage.tat_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, back);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.usage.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
