//! Histograms with fixed bounds, kept per core and added up when somebody looks.

/// Upper bounds in seconds for request durations (OpenTelemetry's GenAI advice, one step finer at the start:
/// the fast path itself takes well under a millisecond).
pub const DURATION_BOUNDS_S: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 20.48, 81.92];

/// One histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    counts: [u64; DURATION_BOUNDS_S.len()],
    count: u64,
    sum_ns: u64,
}

impl Histogram {
    /// Takes one duration.
    pub fn observe(&mut self, ns: u64) {
        let seconds = ns as f64 / 1e9;
        if let Some(slot) = DURATION_BOUNDS_S.iter().position(|bound| seconds <= *bound) {
            self.counts[slot] += 1;
        }
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// Adds another one of the same bounds.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    /// Upper bound and the number of durations up to it, as Prometheus wants them; `count` stands for +Inf.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        DURATION_BOUNDS_S.iter().zip(self.counts).scan(0, |total, (bound, count)| {
            *total += count;
            Some((*bound, *total))
        })
    }

    /// How many were taken.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their sum in seconds.
    #[must_use]
    pub fn sum_s(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_counted_once_and_the_last_bucket_is_the_count_or_less() {
        let mut histogram = Histogram::default();
        for ns in [0, 500_000, 500_001, 1_000_000_000, 100_000_000_000] {
            histogram.observe(ns);
        }
        let cumulative: Vec<_> = histogram.cumulative().collect();
        assert_eq!(cumulative[0], (0.0005, 2));
        assert_eq!(cumulative[1], (0.001, 3));
        assert_eq!(cumulative.last(), Some(&(81.92, 4)));
        assert_eq!(histogram.count(), 5);
    }

    #[test]
    fn adding_two_is_taking_all_of_both() {
        let (mut one, mut two, mut both) = <(Histogram, Histogram, Histogram)>::default();
        for (index, ns) in [1_000, 7_000_000, 90_000_000].into_iter().enumerate() {
            if index % 2 == 0 {
                one.observe(ns)
            } else {
                two.observe(ns)
            }
            both.observe(ns);
        }
        one.add(&two);
        assert_eq!(one, both);
    }
}
