//! One timer for everything that a connection waits for.
//!
//! A timer made for each read and each write costs a place in the runtime's wheel, and the way out of it, several times
//! a request. This one stays where it is while it rings early enough, and is moved when it has rung.

use std::future::{poll_fn, Future};
use std::pin::{pin, Pin};
use std::task::{Context, Poll};
use tokio::time::{sleep_until, Instant, Sleep};

/// A timer that is used again and again. It belongs to one task.
pub struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    /// A timer that nobody waits for yet.
    pub fn new() -> Self {
        Self(Box::pin(sleep_until(Instant::now())))
    }

    /// What `future` gives, or `None` where it is not ready at the time that `until` tells; that is asked once, and
    /// only if there is something to wait for. Dropping this loses nothing that `future` would not lose.
    pub async fn within<F: Future>(
        &mut self,
        until: impl FnOnce() -> Instant,
        future: F,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut until = Some(until);
        let mut known = None;
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            if let Some(ask) = until.take() {
                known = Some(ask());
            }
            let rung = known.is_none_or(|until| self.poll(until, context).is_ready());
            if rung {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    /// Ready at `until`.
    fn poll(&mut self, until: Instant, context: &mut Context<'_>) -> Poll<()> {
        if self.0.is_elapsed() || self.0.deadline() > until {
            self.0.as_mut().reset(until);
        }
        loop {
            if self.0.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if self.0.deadline() >= until {
                return Poll::Ready(());
            }
            // It rang for an earlier wait, which is over.
            self.0.as_mut().reset(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn nothing() {
        std::future::pending::<()>().await;
    }

    #[tokio::test]
    async fn no_wait_ends_before_its_own_time_whatever_the_one_before_asked_for() {
        let mut alarm = Alarm::new();
        for wait_ms in [20, 5, 40, 1, 0] {
            let until = Instant::now() + Duration::from_millis(wait_ms);
            assert!(alarm.within(|| until, nothing()).await.is_none());
            assert!(Instant::now() >= until);
        }
    }

    #[tokio::test]
    async fn a_wait_that_was_answered_does_not_ring_in_the_next_one() {
        let mut alarm = Alarm::new();
        let soon = Instant::now() + Duration::from_millis(20);
        let answer = alarm.within(|| soon, tokio::time::sleep(Duration::from_millis(1))).await;
        assert!(answer.is_some());
        let later = soon + Duration::from_millis(30);
        assert!(alarm.within(|| later, nothing()).await.is_none());
        assert!(Instant::now() >= later);
    }

    #[tokio::test]
    async fn what_is_ready_never_asks_for_the_time() {
        let until = || -> Instant { unreachable!("nothing to wait for") };
        assert_eq!(Alarm::new().within(until, async { 7 }).await, Some(7));
    }
}
