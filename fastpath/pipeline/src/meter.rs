//! The tokens of one answer on their way to TLS: planned when they are rendered, sent when TLS has their bytes.

use dpu_policy::Reservation;
use std::cell::Cell;
use std::rc::Rc;

/// Fragments of each choice that may carry no token: the one with the role, and the one with the finish reason. What
/// is beyond counts 1 a fragment: an engine without counts is trued up by its usage at the end.
const UNCOUNTED_MAX: u32 = 2;

/// Bytes of the present step that TLS has taken; whoever writes keeps it. Only looked at where the writing failed.
pub type Handed = Rc<Cell<usize>>;

/// One answer's tokens, rendered and not yet handed over.
pub struct Meter {
    /// Events of the present step: where each ends, and its tokens.
    pending: Vec<(usize, u32)>,
    handed: Handed,
    /// The engine's own count, which stands once everything was handed over.
    counted: Option<u32>,
    uncounted: u32,
    uncounted_max: u32,
}

impl Meter {
    /// Nothing planned yet.
    #[must_use]
    pub fn new(choices: u32) -> Self {
        let uncounted_max = choices.saturating_mul(UNCOUNTED_MAX);
        Self { pending: Vec::new(), handed: Handed::default(), counted: None, uncounted: 0, uncounted_max }
    }

    /// For whoever writes.
    #[must_use]
    pub fn handed(&self) -> Handed {
        Rc::clone(&self.handed)
    }

    /// Tokens of a fragment, by the worker's count where it has one.
    pub fn count(&mut self, token_count: u32) -> u32 {
        if token_count > 0 {
            return token_count;
        }
        self.uncounted = self.uncounted.saturating_add(1);
        u32::from(self.uncounted > self.uncounted_max)
    }

    /// `tokens` are in what ends at byte `end` of this step.
    pub fn rendered(&mut self, tokens: u32, end: usize) {
        if tokens > 0 {
            self.pending.push((end, tokens));
        }
    }

    /// The last event of the stream ends at byte `end`, and its engine counted so many tokens in all.
    pub fn ends(&mut self, completion_tokens: u32, end: usize) {
        self.counted = Some(completion_tokens);
        self.pending.push((end, 0));
    }

    /// Everything rendered so far was handed over; the next step begins.
    pub fn all_handed(&mut self, tokens: &mut Reservation) {
        self.handed.set(usize::MAX);
        self.commit(tokens);
        self.handed.set(0);
    }

    /// Takes what was handed over as sent.
    pub fn commit(&mut self, tokens: &mut Reservation) {
        let handed = self.handed.get();
        let count = self.pending.iter().take_while(|(end, _)| *end <= handed).count();
        for (_, sent) in self.pending.drain(..count) {
            tokens.sent(sent);
        }
        if count > 0 && self.pending.is_empty() {
            if let Some(counted) = self.counted.take() {
                tokens.true_up(counted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dpu_types::MonoNs;

    fn sent(mut tokens: Reservation) -> u32 {
        tokens.settle(MonoNs(0)).completion
    }

    #[test]
    fn only_events_that_tls_has_whole_are_sent() {
        for (handed, expected) in [(0, 0), (9, 0), (10, 1), (29, 1), (30, 3), (1_000, 3)] {
            let (mut meter, mut tokens) = (Meter::new(1), Reservation::unlimited(10));
            assert!(tokens.plan(3));
            meter.rendered(1, 10);
            meter.rendered(2, 30);
            meter.handed().set(handed);
            meter.commit(&mut tokens);
            assert_eq!(sent(tokens), expected, "{handed} bytes");
        }
    }

    #[test]
    fn the_engines_count_stands_once_the_last_event_was_handed_over() {
        for (handed, expected) in [(20, 1), (49, 1), (50, 3)] {
            let (mut meter, mut tokens) = (Meter::new(1), Reservation::unlimited(10));
            assert!(tokens.plan(1));
            meter.rendered(1, 20);
            meter.ends(3, 50);
            meter.handed().set(handed);
            meter.commit(&mut tokens);
            assert_eq!(sent(tokens), expected, "{handed} bytes");
        }
    }

    #[test]
    fn a_step_that_is_followed_by_another_was_handed_over() {
        let (mut meter, mut tokens) = (Meter::new(1), Reservation::unlimited(10));
        for _ in 0..2 {
            assert!(tokens.plan(4));
            meter.rendered(4, 99);
            meter.handed().set(50);
            meter.commit(&mut tokens);
        }
        meter.all_handed(&mut tokens);
        assert!(!tokens.plan(4) && tokens.plan(2));
        meter.rendered(2, 99);
        assert_eq!(sent(tokens), 8);
    }

    #[test]
    fn fragments_without_a_count_are_free_twice_a_choice_and_then_one_each() {
        let mut meter = Meter::new(2);
        let counts: Vec<_> = [0, 5, 0, 0, 0, 0, 0, 1].map(|count| meter.count(count)).into();
        assert_eq!(counts, [0, 5, 0, 0, 0, 1, 1, 1]);
    }
}
