//! How long a body may take: an absolute time, and a rate that it has to keep up once its grace is over.

use crate::programmed::Limits;
use dpu_types::Reason;
use std::time::Duration;
use tokio::time::Instant;

/// Runs from the moment when more of a body has to be waited for: one that came with its head costs no clock.
#[derive(Clone, Copy)]
pub struct BodyClock {
    began: Instant,
    timeout: Duration,
    grace: Duration,
    bytes_per_s_min: u32,
}

impl BodyClock {
    /// Starts now.
    #[must_use]
    pub fn start(limits: &Limits) -> Self {
        Self {
            began: Instant::now(),
            timeout: limits.body_timeout,
            grace: limits.body_grace,
            bytes_per_s_min: limits.body_bytes_per_s_min,
        }
    }

    /// Until when the next byte has to come after so many, and the reason where it does not.
    #[must_use]
    pub fn until(&self, received: usize) -> (Instant, Reason) {
        let earned = Duration::from_secs_f64(received as f64 / f64::from(self.bytes_per_s_min.max(1)));
        let by_rate = self.grace.saturating_add(earned);
        if by_rate < self.timeout {
            return (self.began + by_rate, Reason::HttpBodyTooSlow);
        }
        (self.began + self.timeout, Reason::HttpBodyTimeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_prolongs_the_time_up_to_the_absolute_one() {
        let clock = BodyClock {
            began: Instant::now(),
            timeout: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            bytes_per_s_min: 1000,
        };
        let after = |received| {
            let (until, reason) = clock.until(received);
            (until - clock.began, reason)
        };
        assert_eq!(after(0), (Duration::from_secs(5), Reason::HttpBodyTooSlow));
        assert_eq!(after(1_500), (Duration::from_millis(6_500), Reason::HttpBodyTooSlow));
        assert_eq!(after(25_000), (Duration::from_secs(30), Reason::HttpBodyTimeout));
        assert_eq!(after(usize::MAX), (Duration::from_secs(30), Reason::HttpBodyTimeout));
    }
}
