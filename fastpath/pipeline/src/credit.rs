//! How far a worker may be ahead of one client that reads a stream. Arithmetic only: no clock, no lock, no allocation.

use dpu_types::gen::worker_frame::STREAM_CREDIT_BYTES;

/// The books of one stream, in bytes of its TOKENS frames.
#[derive(Debug)]
pub struct Credit {
    /// Taken from the slot to be written, since the beginning.
    pub taken: u64,
    /// What the worker may send in all.
    granted: u64,
    /// What it was last given to be ahead.
    window: u64,
}

impl Default for Credit {
    /// As every REQUEST opens a stream.
    fn default() -> Self {
        let window = STREAM_CREDIT_BYTES as u64;
        Self { taken: 0, granted: window, window }
    }
}

impl Credit {
    /// Whether half of the window is used up: then it is worth a frame.
    #[must_use]
    pub const fn is_due(&self) -> bool {
        self.granted.saturating_sub(self.taken) <= self.window / 2
    }

    /// Opens the window to `window` bytes beyond what was taken, and says how much that adds. Call it when everything
    /// taken was written.
    pub fn give(&mut self, window: u32) -> u32 {
        self.window = self.window.max(u64::from(window));
        let granted = self.granted.max(self.taken + self.window);
        let more = granted - self.granted;
        self.granted = granted;
        u32::try_from(more).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INITIAL: u64 = STREAM_CREDIT_BYTES as u64;
    const WINDOW: u32 = 262_144;

    #[test]
    fn a_short_answer_needs_no_credit() {
        let credit = Credit { taken: INITIAL / 2 - 1, ..Credit::default() };
        assert!(!credit.is_due());
    }

    #[test]
    fn half_a_window_that_was_read_opens_it_to_what_is_configured() {
        let mut credit = Credit { taken: INITIAL / 2, ..Credit::default() };
        assert!(credit.is_due());
        assert_eq!(u64::from(credit.give(WINDOW)), u64::from(WINDOW) - INITIAL / 2);
        assert!(!credit.is_due());
        credit.taken += u64::from(WINDOW) / 2;
        assert!(credit.is_due());
        assert_eq!(credit.give(WINDOW), WINDOW / 2);
    }

    #[test]
    fn the_worker_is_never_further_ahead_than_the_window() {
        let (mut credit, mut granted) = (Credit::default(), INITIAL);
        for step in 1..1000_u64 {
            credit.taken += step * 37 % 4096;
            if credit.is_due() {
                granted += u64::from(credit.give(WINDOW));
            }
            assert!(granted > credit.taken, "stuck");
            assert!(granted - credit.taken <= u64::from(WINDOW), "too far ahead");
        }
    }

    #[test]
    fn a_frame_that_took_the_credit_below_zero_is_made_good() {
        let mut credit = Credit { taken: INITIAL + 1_000_000, ..Credit::default() };
        assert!(credit.is_due());
        assert_eq!(u64::from(credit.give(WINDOW)), 1_000_000 + u64::from(WINDOW));
    }
}
