//! Token buckets: what a tenant, a model or everybody together may still use. Whole tokens, exactly, without locks.
//!
//! A bucket fills along a [`Line`]: R(now) tokens since ever. Its `mark` says on the same scale up to where it was
//! emptied, so used = max(0, mark - R(now)) and left = burst - used. Taking moves the mark on from max(mark, R), giving
//! back moves it back by as much as was not used: nothing is rounded, so left = burst + refilled - debited holds to the
//! token, and what is given back to a bucket that has filled up meanwhile adds nothing to its burst.

use dpu_types::{plan, MonoNs};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const NS_PER_MS: u64 = 1_000_000;

/// Tokens of an interval and of a burst at most; far above any model, far below what 63 bits count.
pub(crate) const TOKENS_MAX: u64 = 1_000_000_000;
/// At this rate 63 bits last for 290 years.
const TOKENS_PER_NS_MAX: u64 = 1;

/// Whose tokens a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One tenant's, over all models.
    Tenant,
    /// One model's, over all tenants.
    Model,
    /// Everybody's.
    All,
}

impl Scope {
    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Model => "model",
            Self::All => "all",
        }
    }
}

/// A bucket's tokens, for `x-ratelimit-{limit,remaining,reset}-tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenView {
    /// Tokens in one interval.
    pub limit: u64,
    /// Tokens that are neither used nor reserved now, at most `limit`.
    pub remaining: u64,
    /// Milliseconds until the bucket is full, rounded up.
    pub reset_ms: u64,
}

/// How a bucket fills: `base + tokens x (now - origin) / interval`, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    tokens: u64,
    interval_ns: u64,
    base: i64,
    origin: MonoNs,
}

impl Line {
    fn refilled(&self, now: MonoNs) -> i64 {
        let elapsed = now.since(self.origin);
        // 64 bits nearly always do; dividing 128 is several times slower.
        let tokens = match elapsed.checked_mul(self.tokens) {
            Some(product) => product / self.interval_ns,
            None => {
                let wide = u128::from(elapsed) * u128::from(self.tokens) / u128::from(self.interval_ns);
                u64::try_from(wide).unwrap_or(u64::MAX)
            }
        };
        self.base.saturating_add(i64::try_from(tokens).unwrap_or(i64::MAX))
    }

    /// Nanoseconds from now until `refilled` is `target`.
    fn until(&self, target: i64, now: MonoNs) -> u64 {
        let missing = u128::try_from(i128::from(target) - i128::from(self.base)).unwrap_or(0);
        let elapsed = (missing * u128::from(self.interval_ns)).div_ceil(u128::from(self.tokens));
        let at = u128::from(self.origin.0) + elapsed;
        u64::try_from(at.saturating_sub(u128::from(now.0))).unwrap_or(u64::MAX)
    }
}

/// What is used of one bucket; outlives the plans. On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Level {
    mark: AtomicI64,
    /// Taken by requests that have not ended.
    reserved: AtomicI64,
    /// How it fills by the plan in force; only plans look here.
    line: Mutex<Option<Line>>,
}

impl Level {
    fn line(&self) -> MutexGuard<'_, Option<Line>> {
        // It is replaced whole.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bucket as one plan sees it: its rate, and the level that all plans share.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) scope: Scope,
    pub(crate) name: Arc<str>,
    tokens: u64,
    burst: i64,
    line: Line,
    level: Arc<Level>,
}

impl Bucket {
    /// None where a number is zero or too large. The line goes on from that of the plan in force, so that the tokens
    /// that count as used stay the same number.
    pub(crate) fn new(
        scope: Scope,
        name: Arc<str>,
        rate: &plan::TokenRate,
        level: Arc<Level>,
        now: MonoNs,
    ) -> Option<Self> {
        let (tokens, interval_ns, burst) = checked(rate)?;
        let line = {
            let mut known = level.line();
            let fresh = |base| Line { tokens, interval_ns, base, origin: now };
            match *known {
                Some(line) if (line.tokens, line.interval_ns) == (tokens, interval_ns) => line,
                Some(line) => fresh(line.refilled(now)),
                None => *known.insert(fresh(0)),
            }
        };
        Some(Self { scope, name, tokens, burst, line, level })
    }

    /// The plan of this bucket is in force. Where its burst is smaller, at most a whole burst counts as used beside
    /// what running requests hold: nobody waits for a debt of another time.
    pub(crate) fn adopt(&self, now: MonoNs) {
        *self.level.line() = Some(self.line);
        let held = self.level.reserved.load(Ordering::Relaxed);
        let highest = self.line.refilled(now).saturating_add(self.burst).saturating_add(held);
        self.level.mark.fetch_min(highest, Ordering::Relaxed);
    }

    /// Takes `want` tokens, or as many as there are, but not fewer than `min`. None: nothing was taken.
    ///
    /// No overshoot: the mark is moved only by a compare-exchange from the very value that was judged. It guards
    /// nothing but itself, hence `Relaxed`: the modification order of one atomic is total by itself. A thread whose
    /// clock is a little behind sees fewer tokens.
    pub(crate) fn take(&self, min: i64, want: i64, now: MonoNs) -> Option<i64> {
        let refilled = self.line.refilled(now);
        let mut mark = self.level.mark.load(Ordering::Relaxed);
        loop {
            let from = mark.max(refilled);
            let left = refilled.saturating_add(self.burst) - from;
            if left < min {
                return None;
            }
            let got = want.min(left);
            match self.level.mark.compare_exchange_weak(
                mark,
                from + got,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.level.reserved.fetch_add(got, Ordering::Relaxed);
                    return Some(got);
                }
                Err(seen) => mark = seen,
            }
        }
    }

    /// Gives tokens back that were taken and not used.
    pub(crate) fn give_back(&self, tokens: i64) {
        if tokens > 0 {
            self.level.reserved.fetch_sub(tokens, Ordering::Relaxed);
            self.level.mark.fetch_sub(tokens, Ordering::Relaxed);
        }
    }

    /// Of `taken` tokens `used` are gone for good and the rest comes back. More used than taken is owed: the bucket
    /// may go below zero, and its next tokens pay that off. `now` None: not known, which only matters to a debt.
    pub(crate) fn settle(&self, taken: i64, used: i64, now: Option<MonoNs>) {
        self.level.reserved.fetch_sub(taken, Ordering::Relaxed);
        if used <= taken {
            if used < taken {
                self.level.mark.fetch_sub(taken - used, Ordering::Relaxed);
            }
            return;
        }
        let refilled = now.map_or(i64::MIN, |now| self.line.refilled(now));
        let owe = |mark: i64| Some(mark.max(refilled).saturating_add(used - taken));
        // The closure never gives None, so this never fails.
        let _ = self.level.mark.fetch_update(Ordering::Relaxed, Ordering::Relaxed, owe);
    }

    /// Tokens that are neither used nor reserved; below zero where tokens are owed.
    pub(crate) fn left(&self, now: MonoNs) -> i64 {
        let refilled = self.line.refilled(now);
        self.burst - (self.level.mark.load(Ordering::Relaxed) - refilled).max(0)
    }

    /// Tokens that running requests hold.
    pub(crate) fn reserved(&self) -> i64 {
        self.level.reserved.load(Ordering::Relaxed)
    }

    /// Tokens that it holds at most.
    pub(crate) const fn burst(&self) -> i64 {
        self.burst
    }

    /// Milliseconds (rounded up) until `need` tokens are left, 0 where they are; None where it never holds so many.
    pub(crate) fn wait_ms(&self, need: i64, now: MonoNs) -> Option<u64> {
        if need > self.burst {
            return None;
        }
        let mark = self.level.mark.load(Ordering::Relaxed);
        let target = mark.saturating_add(need).saturating_sub(self.burst);
        let ready = self.line.refilled(now) >= target;
        Some(if ready { 0 } else { self.line.until(target, now).div_ceil(NS_PER_MS).max(1) })
    }

    /// What is left once `coming` more tokens are given back.
    pub(crate) fn view(&self, coming: i64, now: MonoNs) -> TokenView {
        let mark = self.level.mark.load(Ordering::Relaxed) - coming;
        let left = self.burst - (mark - self.line.refilled(now)).max(0);
        let reset_ms = self.line.until(mark, now).div_ceil(NS_PER_MS);
        let remaining = u64::try_from(left).unwrap_or(0).min(self.tokens);
        TokenView { limit: self.tokens, remaining, reset_ms }
    }
}

/// Tokens, interval in nanoseconds and burst, where they can be counted.
fn checked(rate: &plan::TokenRate) -> Option<(u64, u64, i64)> {
    let interval_ns = rate.interval_ms.checked_mul(NS_PER_MS)?;
    let fits = (1..=TOKENS_MAX).contains(&rate.tokens) && (1..=TOKENS_MAX).contains(&rate.burst);
    let countable = interval_ns > 0 && rate.tokens <= interval_ns.saturating_mul(TOKENS_PER_NS_MAX);
    (fits && countable).then_some((rate.tokens, interval_ns, i64::try_from(rate.burst).ok()?))
}

/// Whether the rate of a plan can be counted.
pub(crate) fn is_countable(rate: &plan::TokenRate) -> bool {
    checked(rate).is_some()
}

#[cfg(test)]
mod tests;
