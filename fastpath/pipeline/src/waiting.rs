//! A request that waits for a worker, as its own task sees it: until a place, the end of its time, or a stop.

use crate::clock;
use crate::placement::Chosen;
use crate::room::Seat;
use crate::slot::{Slot, Told};
use dpu_types::{MonoNs, Reason, Refusal};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{sleep, Sleep};

/// A request in the waiting room; leaves it when dropped.
pub struct Waiting {
    seat: Seat,
    until: Pin<Box<Sleep>>,
    since: MonoNs,
}

/// What came first.
pub enum Wait {
    /// A place, which is taken.
    Granted(Chosen),
    /// The longest wait, or the request's deadline.
    TimedOut,
    /// We end it.
    Stopped(Reason),
}

impl Waiting {
    /// Waits from now on, for `wait_max_ms` and not beyond the deadline. Only who waits pays for a timer.
    #[must_use]
    pub fn new(seat: Seat, wait_max_ms: u64, deadline: MonoNs) -> Self {
        let since = clock::now();
        let longest = deadline.since(since).min(wait_max_ms.saturating_mul(1_000_000));
        Self { seat, until: Box::pin(sleep(Duration::from_nanos(longest))), since }
    }

    /// Ready when the wait is over. Dropping whoever polls loses nothing.
    pub fn poll(&mut self, slot: &Slot, context: &mut Context<'_>) -> Poll<Wait> {
        if let Poll::Ready(chosen) = self.seat.poll(context) {
            return Poll::Ready(Wait::Granted(chosen));
        }
        if let Poll::Ready(told) = slot.poll_next(context) {
            return Poll::Ready(match told {
                // The deadline is seen by the core's tick too.
                Told::Stop(Reason::WorkerTimeout) => Wait::TimedOut,
                Told::Stop(reason) => Wait::Stopped(reason),
                // Nobody has the request, so no frame of it can come.
                Told::Frame(_) => Wait::Stopped(Reason::Internal),
            });
        }
        self.until.as_mut().poll(context).map(|()| Wait::TimedOut)
    }

    /// Nanoseconds since it began to wait.
    #[must_use]
    pub fn waited_ns(&self) -> u64 {
        clock::now().since(self.since)
    }

    /// Leaves for good, with the place that came at the last moment if there is one.
    ///
    /// # Errors
    /// `queue_timeout`.
    pub fn give_up(self) -> Result<Chosen, Refusal> {
        self.seat.give_up()
    }
}
