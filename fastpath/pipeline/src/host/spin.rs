//! Whether the worker's thread looks again before it sleeps. To sleep and be woken costs both sides more than a short
//! look around, and a look around that finds nothing is lost: so it is short, and only taken where it paid last time.

use dpu_types::MonoNs;

/// How long the thread looks for more before it sleeps, at most: about what going to sleep and being woken take.
pub const SPIN_NS_MAX: u64 = 50_000;

/// Remembers how long the last pause was. The first one after a busy time that is longer than `SPIN_NS_MAX` costs that
/// much; those after it nothing, until a pause was short again.
#[derive(Debug, Default)]
pub struct Spin {
    /// Since when there is nothing to do.
    idle_since: Option<MonoNs>,
    /// The last pause was short: another look would have found something.
    pays: bool,
    spun_ns: u64,
}

impl Spin {
    /// Something came.
    pub fn worked(&mut self, now: MonoNs) {
        if let Some(since) = self.idle_since.take() {
            let pause = now.since(since);
            if self.pays {
                self.spun_ns += pause.min(SPIN_NS_MAX);
            }
            self.pays = pause < SPIN_NS_MAX;
        }
    }

    /// Nothing came. True: look again, at once.
    pub fn goes_on(&mut self, now: MonoNs) -> bool {
        let since = *self.idle_since.get_or_insert(now);
        self.pays && now.since(since) < SPIN_NS_MAX
    }

    /// Nanoseconds spent looking.
    pub const fn spun_ns(&self) -> u64 {
        self.spun_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it looked again at the start of each pause of so many microseconds, and how long it looked in all.
    fn pauses(us: &[u64]) -> (Vec<bool>, u64) {
        let (mut spin, mut now) = (Spin::default(), MonoNs(0));
        let looked = us.iter().map(|pause| {
            let first = spin.goes_on(now);
            let end = MonoNs(now.0 + pause * 1_000);
            assert!(!spin.goes_on(MonoNs(now.0 + SPIN_NS_MAX)), "longer than it may");
            now = end;
            spin.worked(now);
            first
        });
        let looked = looked.collect();
        (looked, spin.spun_ns())
    }

    #[test]
    fn it_looks_again_only_after_a_short_pause_and_never_for_longer_than_its_bound() {
        assert_eq!(pauses(&[1_000, 1_000, 10, 10, 1_000, 1_000]).0, [false, false, false, true, true, false]);
    }

    #[test]
    fn rare_frames_cost_nothing_and_the_end_of_a_busy_time_one_bound() {
        assert_eq!(pauses(&[20_000; 100]).1, 0);
        assert_eq!(pauses(&[10, 1_000_000, 1_000_000]).1, SPIN_NS_MAX);
    }

    #[test]
    fn work_without_a_pause_changes_nothing() {
        let mut spin = Spin::default();
        assert!(!spin.goes_on(MonoNs(0)));
        spin.worked(MonoNs(10));
        spin.worked(MonoNs(1_000_000));
        assert!(spin.goes_on(MonoNs(1_000_000)));
    }
}
