//! Histograms with fixed bounds, kept per core and added up when somebody looks.

/// Buckets of the longest scale.
const BUCKETS_MAX: usize = 16;

/// Upper bounds of the buckets, in whole units of what is measured, so that taking a value needs no division.
#[derive(Debug, PartialEq, Eq)]
pub struct Scale {
    /// Ascending; at most `BUCKETS_MAX`.
    bounds: &'static [u64],
    /// How many of the units make one of the unit that is shown.
    shown: u64,
}

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;

const fn ms<const N: usize>(mut bounds: [u64; N]) -> [u64; N] {
    let mut index = 0;
    while index < N {
        bounds[index] *= NS_PER_MS;
        index += 1;
    }
    bounds
}

/// `gen_ai.server.request.duration`: the bounds that OpenTelemetry's GenAI convention advises.
pub static DURATION: Scale = Scale {
    bounds: &ms([10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_240, 20_480, 40_960, 81_920]),
    shown: NS_PER_S,
};
/// `gen_ai.server.time_to_first_token`, the same source.
pub static FIRST_TOKEN: Scale = Scale {
    bounds: &ms([1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000]),
    shown: NS_PER_S,
};
/// `gen_ai.server.time_per_output_token`, the same source.
pub static PER_TOKEN: Scale =
    Scale { bounds: &ms([10, 25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1000, 2500]), shown: NS_PER_S };
/// From CANCEL to a free slot: between two tokens where all is well, between two steps of a prefill at the worst.
pub static CANCEL: Scale =
    Scale { bounds: &ms([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]), shown: NS_PER_S };
/// `gen_ai.client.token.usage`, the same source: powers of 4.
pub static TOKENS: Scale = Scale {
    bounds: &[
        1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864,
    ],
    shown: 1,
};

/// One histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    scale: &'static Scale,
    counts: [u64; BUCKETS_MAX],
    count: u64,
    sum: u64,
}

impl Histogram {
    /// An empty one.
    #[must_use]
    pub const fn new(scale: &'static Scale) -> Self {
        Self { scale, counts: [0; BUCKETS_MAX], count: 0, sum: 0 }
    }

    /// Takes one value, in units of the scale: nanoseconds, tokens.
    pub fn observe(&mut self, value: u64) {
        let bucket = self.scale.bounds.partition_point(|bound| *bound < value);
        if let Some(slot) = self.counts.get_mut(bucket) {
            // Beyond the last bound there may be a slot that no bucket shows; `count` stands for +Inf.
            *slot += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// Adds another one of the same scale.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Upper bound as it is shown and the number of values up to it, as Prometheus wants them.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.scale.bounds.iter().zip(self.counts).scan(0, |total, (bound, count)| {
            *total += count;
            Some((*bound as f64 / self.scale.shown as f64, *total))
        })
    }

    /// How many were taken.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their sum as it is shown: seconds, tokens.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum as f64 / self.scale.shown as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_counted_once_and_a_bound_belongs_to_its_bucket() {
        let mut histogram = Histogram::new(&DURATION);
        for ms in [0, 10, 11, 1000, 100_000] {
            histogram.observe(ms * NS_PER_MS);
        }
        let cumulative: Vec<_> = histogram.cumulative().collect();
        assert_eq!(cumulative[0], (0.01, 2));
        assert_eq!(cumulative[1], (0.02, 3));
        assert_eq!(cumulative.last(), Some(&(81.92, 4)));
        assert_eq!((histogram.count(), histogram.sum()), (5, 101.021));
    }

    #[test]
    fn adding_two_is_taking_all_of_both() {
        let empty = Histogram::new(&TOKENS);
        let (mut one, mut two, mut both) = (empty.clone(), empty.clone(), empty);
        for (index, tokens) in [0, 7, 90_000_000].into_iter().enumerate() {
            if index % 2 == 0 {
                one.observe(tokens)
            } else {
                two.observe(tokens)
            }
            both.observe(tokens);
        }
        one.add(&two);
        assert_eq!(one, both);
    }

    #[test]
    fn scales_ascend_and_fit() {
        for scale in [&DURATION, &FIRST_TOKEN, &PER_TOKEN, &TOKENS] {
            assert!(
                scale.bounds.len() <= BUCKETS_MAX && scale.bounds.windows(2).all(|pair| pair[0] < pair[1])
            );
        }
    }
}
