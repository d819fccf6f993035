//! The books: tokens debited and refunded, by tenant and model, for the whole life of the process.

use super::reservation::Settled;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Pairs of tenant and model that have a ledger of their own; what is beyond shares one under `_other`.
pub const LEDGERS_MAX: usize = 4096;
/// Tenant and model of what is beyond.
pub const OTHER: &str = "_other";

/// What one tenant has used of one model.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    prompt: AtomicU64,
    completion: AtomicU64,
    refunded: AtomicU64,
    cut: AtomicU64,
}

impl Ledger {
    /// Books one request that has ended. Sums only grow, each by itself: `Relaxed`.
    pub(crate) fn add(&self, settled: Settled, refunded: u64, cut: bool) {
        for (sum, tokens) in [
            (&self.prompt, u64::from(settled.prompt)),
            (&self.completion, u64::from(settled.completion)),
            (&self.refunded, refunded),
            (&self.cut, u64::from(cut)),
        ] {
            if tokens > 0 {
                sum.fetch_add(tokens, Ordering::Relaxed);
            }
        }
    }

    fn totals(&self) -> Totals {
        let of = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
        Totals {
            prompt: of(&self.prompt),
            completion: of(&self.completion),
            refunded: of(&self.refunded),
            cut: of(&self.cut),
        }
    }
}

/// Sums of one ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Prompt tokens debited.
    pub prompt: u64,
    /// Completion tokens debited.
    pub completion: u64,
    /// Tokens reserved and given back.
    pub refunded: u64,
    /// Answers that were ended because everything granted was sent.
    pub cut: u64,
}

/// Tenant and model.
type Pair = (Arc<str>, Arc<str>);

/// All ledgers. Kept for good, so that the sums never go back; bounded by `LEDGERS_MAX`.
#[derive(Debug, Default)]
pub(crate) struct Ledgers {
    by_name: Mutex<BTreeMap<Pair, Arc<Ledger>>>,
}

impl Ledgers {
    /// The ledger of a tenant for a model.
    pub(crate) fn of(&self, tenant: &Arc<str>, model: &Arc<str>) -> Arc<Ledger> {
        // Entries are only inserted: a panic elsewhere leaves the map whole.
        let mut ledgers = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (Arc::clone(tenant), Arc::clone(model));
        if ledgers.len() >= LEDGERS_MAX && !ledgers.contains_key(&key) {
            key = (Arc::from(OTHER), Arc::from(OTHER));
        }
        Arc::clone(ledgers.entry(key).or_default())
    }

    /// Tenant, model and sums of each.
    pub(crate) fn totals(&self) -> Vec<(Arc<str>, Arc<str>, Totals)> {
        let ledgers = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let each = ledgers.iter();
        each.map(|((tenant, model), ledger)| (Arc::clone(tenant), Arc::clone(model), ledger.totals()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_bound_is_booked_under_other() {
        let ledgers = Ledgers::default();
        let name = |i: usize| -> Arc<str> { Arc::from(format!("t{i}")) };
        let model: Arc<str> = Arc::from("chat");
        let settled = Settled { prompt: 1, completion: 2 };
        for i in 0..LEDGERS_MAX + 5 {
            ledgers.of(&name(i), &model).add(settled, 3, i == 0);
        }
        let totals = ledgers.totals();
        assert_eq!(totals.len(), LEDGERS_MAX + 1);
        let sum = |of: fn(&Totals) -> u64| totals.iter().map(|(_, _, totals)| of(totals)).sum::<u64>();
        let all = LEDGERS_MAX as u64 + 5;
        assert_eq!((sum(|t| t.prompt), sum(|t| t.completion), sum(|t| t.refunded)), (all, 2 * all, 3 * all));
        assert_eq!(sum(|t| t.cut), 1);
        let other = totals.iter().find(|(tenant, ..)| &**tenant == OTHER).map(|(.., totals)| totals.prompt);
        assert_eq!(other, Some(5));
    }
}
