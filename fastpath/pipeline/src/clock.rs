//! The only place that reads a clock.

use dpu_types::MonoNs;
use rustix::time::{clock_gettime, ClockId};
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in nanoseconds of the monotonic clock.
#[must_use]
pub fn now() -> MonoNs {
    let time = clock_gettime(ClockId::Monotonic);
    // The monotonic clock counts from boot and is never negative.
    MonoNs((time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64))
}

/// Now, in milliseconds since 1970-01-01 UTC; 0 if the wall clock stands before that.
#[must_use]
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// `unix_ms` as RFC 3339 in UTC with milliseconds: "2026-11-23T15:26:43.120Z".
#[must_use]
pub fn rfc3339(unix_ms: u64) -> String {
    let (days, rest_ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = dpu_http::date::civil(days);
    let month = month + 1;
    let (hour, minute) = (rest_ms / 3_600_000, rest_ms / 60_000 % 60);
    let (second, ms) = (rest_ms / 1000 % 60, rest_ms % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn unix_times_are_written_as_rfc3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_447_603_120, "2026-11-23T15:26:43.120Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
        }
    }
}
