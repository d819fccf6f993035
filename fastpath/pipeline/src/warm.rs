//! Which worker met a conversation last: a bounded map that all cores share and nobody locks.
//!
//! Eight entries a set, each one word: part of the key, the worker, and when it was used. The set is chosen by the key,
//! and the entry longest unused makes room. Two cores that write at the same time lose one of the two hints, which
//! costs a prefix computed twice and nothing else.

use dpu_types::MonoNs;
use std::sync::atomic::{AtomicU64, Ordering};

/// Entries of a set: one cache line.
const WAYS: usize = 8;
/// Time counts in these steps; 22 bits of them are 12 days, after which an untouched entry may look young once.
const STEP_NS: u64 = 250_000_000;
const TIME_BITS: u32 = 22;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// Workers of a plan are at most 4,096; one number more stands for an empty entry, so that a word of 0 is one.
const WORKER_BITS: u32 = 13;
const WORKER_MASK: u64 = (1 << WORKER_BITS) - 1;
const TAG_SHIFT: u32 = TIME_BITS + WORKER_BITS;

/// One set, on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// The map.
pub struct WarmMap {
    sets: Box<[Set]>,
}

impl WarmMap {
    /// At most `entries_max` entries, which take 8 bytes each; at least one set.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        let sets = (entries_max / WAYS).max(1);
        let sets = if sets.is_power_of_two() { sets } else { sets.next_power_of_two() / 2 };
        Self { sets: (0..sets).map(|_| Set::default()).collect() }
    }

    /// Entries that fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// The worker of a key that was used within `ttl_ms`.
    #[must_use]
    pub fn find(&self, key: u64, ttl_ms: u64, now: MonoNs) -> Option<usize> {
        let (set, tag) = self.place(key)?;
        let word =
            set.iter().map(|entry| entry.load(Ordering::Relaxed)).find(|word| word >> TAG_SHIFT == tag)?;
        let worker = worker_of(word)?;
        (age_ns(word, now) <= ttl_ms.saturating_mul(1_000_000)).then_some(worker)
    }

    /// Notes that a worker has a key now.
    pub fn note(&self, key: u64, worker: usize, now: MonoNs) {
        let Some((set, tag)) = self.place(key) else { return };
        let Ok(number) = u64::try_from(worker + 1) else { return };
        if number > WORKER_MASK {
            return;
        }
        let word = (tag << TAG_SHIFT) | (number << TIME_BITS) | time(now);
        let mut oldest: Option<(u64, &AtomicU64)> = None;
        for entry in set {
            let seen = entry.load(Ordering::Relaxed);
            if seen >> TAG_SHIFT == tag && worker_of(seen).is_some() {
                // Nothing to write, and no cache line to take from other cores, while a step lasts.
                if seen != word {
                    entry.store(word, Ordering::Relaxed);
                }
                return;
            }
            let age = worker_of(seen).map_or(u64::MAX, |_| age_ns(seen, now));
            if oldest.is_none_or(|(other, _)| age > other) {
                oldest = Some((age, entry));
            }
        }
        if let Some((_, entry)) = oldest {
            entry.store(word, Ordering::Relaxed);
        }
    }

    /// The same entries with other numbers for the workers; those of workers that `renumber` does not know are gone.
    #[must_use]
    pub fn renumbered(&self, entries_max: usize, renumber: impl Fn(usize) -> Option<usize>) -> Self {
        let new = Self::new(entries_max);
        if new.sets.len() != self.sets.len() {
            // Where a key stands depends on the size; a map of another size starts cold.
            return new;
        }
        let entries = self.sets.iter().zip(&new.sets).flat_map(|(old, new)| old.0.iter().zip(&new.0));
        for (old, new) in entries {
            let word = old.load(Ordering::Relaxed);
            let worker =
                worker_of(word).and_then(&renumber).and_then(|worker| u64::try_from(worker + 1).ok());
            if let Some(number) = worker.filter(|number| *number <= WORKER_MASK) {
                let kept = word & !(WORKER_MASK << TIME_BITS);
                new.store(kept | (number << TIME_BITS), Ordering::Relaxed);
            }
        }
        new
    }

    fn place(&self, key: u64) -> Option<(&[AtomicU64; WAYS], u64)> {
        let at = usize::try_from(key).unwrap_or(usize::MAX) & (self.sets.len() - 1);
        Some((&self.sets.get(at)?.0, key >> TAG_SHIFT))
    }
}

const fn time(now: MonoNs) -> u64 {
    (now.0 / STEP_NS) & TIME_MASK
}

fn age_ns(word: u64, now: MonoNs) -> u64 {
    let steps = time(now).wrapping_sub(word) & TIME_MASK;
    // Another core may have read its clock a moment later than this one: what lies ahead is new.
    if steps > TIME_MASK / 2 {
        return 0;
    }
    steps * STEP_NS
}

fn worker_of(word: u64) -> Option<usize> {
    usize::try_from((word >> TIME_BITS) & WORKER_MASK).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> MonoNs {
        MonoNs(seconds * 1_000_000_000)
    }

    /// Keys of one set: they differ only above the bits that choose it.
    const fn key(number: u64) -> u64 {
        number << 40
    }

    #[test]
    fn what_was_noted_is_found_until_it_is_too_old() {
        let map = WarmMap::new(64);
        assert_eq!(map.find(key(1), 10_000, s(1)), None);
        map.note(key(1), 0, s(1));
        map.note(key(2), 4_095, s(1));
        assert_eq!((map.find(key(1), 10_000, s(11)), map.find(key(2), 10_000, s(2))), (Some(0), Some(4_095)));
        assert_eq!(map.find(key(1), 10_000, s(12)), None);
        map.note(key(1), 3, s(12));
        assert_eq!(map.find(key(1), 10_000, s(12)), Some(3));
        assert_eq!(map.find(key(3), 10_000, s(12)), None);
    }

    #[test]
    fn the_entry_longest_unused_makes_room() {
        let map = WarmMap::new(8);
        assert_eq!(map.capacity(), 8);
        for number in 0..8 {
            map.note(key(number), 1, s(number));
        }
        map.note(key(0), 1, s(9));
        map.note(key(100), 2, s(10));
        assert_eq!(map.find(key(1), 60_000, s(10)), None, "the oldest");
        let kept = [0, 2, 3, 4, 5, 6, 7, 100];
        assert!(kept.iter().all(|number| map.find(key(*number), 60_000, s(10)).is_some()));
    }

    #[test]
    fn the_bound_is_kept_and_rounded_down_to_a_power_of_two() {
        for (asked, capacity) in [(0, 8), (64, 64), (100, 64), (1_000, 512), (65_536, 65_536)] {
            assert_eq!(WarmMap::new(asked).capacity(), capacity, "{asked}");
        }
    }

    #[test]
    fn a_new_plan_renumbers_workers_and_forgets_those_that_went() {
        let map = WarmMap::new(64);
        map.note(key(1), 0, s(1));
        map.note(key(2), 1, s(1));
        let new = map.renumbered(64, |worker| (worker == 1).then_some(5));
        assert_eq!((new.find(key(1), 9_000, s(1)), new.find(key(2), 9_000, s(1))), (None, Some(5)));
        assert_eq!(map.renumbered(128, Some).find(key(2), 9_000, s(1)), None);
    }

    #[test]
    fn time_that_wraps_does_not_make_an_entry_of_a_second_ago_old() {
        let map = WarmMap::new(64);
        let wrap = MonoNs((TIME_MASK + 1) * STEP_NS);
        map.note(key(1), 7, MonoNs(wrap.0 - 1_000_000_000));
        assert_eq!(map.find(key(1), 2_000, MonoNs(wrap.0 + 500_000_000)), Some(7));
    }
}
