//! Where the events of one request wait for its task: a bounded queue between the RDMA loop and the connection.

use dpu_types::Reason;
use dpu_ucx::Event;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// Bytes of answer that may wait for a client that reads slower than the engine writes, beside what the socket holds and
/// the fragment that passes it. The stream's credit (`stream_window_bytes`, half of this at most) ends well before it, so
/// only a worker that has more credit than it should comes here: then the request is cancelled.
pub const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// What a request's task is told.
#[derive(Debug)]
pub enum Told {
    /// A frame of the worker.
    Frame(Event),
    /// We end it: the deadline is over, the drain time is over, the client does not read.
    Stop(Reason),
}

/// The queue of one request. One core, one reader.
#[derive(Default)]
pub struct Slot(RefCell<Inner>);

#[derive(Default)]
struct Inner {
    /// The first thing that waits; an answer that comes whole is the only one, and needs no queue.
    first: Option<Told>,
    /// What came behind it.
    waiting: VecDeque<Told>,
    bytes: usize,
    stopped: bool,
    /// The frame that ended the request, where it came behind a `Stop`.
    last: Option<Event>,
    waker: Option<Waker>,
    /// Frames told so far.
    frames: u32,
    flowing: bool,
}

impl Slot {
    /// Puts something into the queue and wakes the task. What comes after a `Stop` is dropped.
    pub fn tell(&self, told: Told) {
        let mut inner = self.0.borrow_mut();
        inner.frames = inner.frames.wrapping_add(1);
        if inner.stopped {
            if let Told::Frame(event) = told {
                inner.last = is_last(&event).then_some(event);
            }
            return;
        }
        // One fragment alone, or an answer that is not streamed, has its own bound: the frame's.
        let overflow = matches!(&told, Told::Frame(Event::Tokens { .. })) && inner.bytes >= WAITING_BYTES_MAX;
        inner.bytes += size(&told);
        let told = if overflow { Told::Stop(Reason::ClientTooSlow) } else { told };
        inner.stopped = matches!(told, Told::Stop(_));
        if inner.first.is_none() {
            inner.first = Some(told);
        } else {
            inner.waiting.push_back(told);
        }
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }

    /// What is there already.
    pub fn try_next(&self) -> Option<Told> {
        let mut inner = self.0.borrow_mut();
        let told = inner.first.take()?;
        inner.first = inner.waiting.pop_front();
        inner.bytes -= size(&told);
        Some(told)
    }

    /// The next thing told. Dropping the future loses nothing.
    pub async fn next(&self) -> Told {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next thing told, or a note whom to wake.
    pub fn poll_next(&self, context: &Context<'_>) -> Poll<Told> {
        if let Some(told) = self.try_next() {
            return Poll::Ready(told);
        }
        self.0.borrow_mut().waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// How many things were told so far.
    pub fn frames(&self) -> u32 {
        self.0.borrow().frames
    }

    /// Notes that the worker was answering when the time was over.
    pub fn mark_flowing(&self) {
        self.0.borrow_mut().flowing = true;
    }

    /// Whether the worker was answering when the time was over.
    pub fn is_flowing(&self) -> bool {
        self.0.borrow().flowing
    }

    /// The frame that ended the request, if it has come and nobody has taken it. What came before it is dropped.
    pub fn take_last(&self) -> Option<Event> {
        while let Some(told) = self.try_next() {
            if let Told::Frame(event) = told {
                if is_last(&event) {
                    return Some(event);
                }
            }
        }
        self.0.borrow_mut().last.take()
    }

    /// Ready once there is a `Stop` in the queue. For the time of a write, when nobody waits for `next`.
    pub async fn stopped(&self) {
        poll_fn(|context| {
            let mut inner = self.0.borrow_mut();
            if inner.stopped {
                return Poll::Ready(());
            }
            inner.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// After it nothing follows for the request.
const fn is_last(event: &Event) -> bool {
    !matches!(event, Event::Tokens { .. } | Event::WorkerChanged { .. })
}

fn size(told: &Told) -> usize {
    match told {
        Told::Frame(Event::Tokens { choices, .. } | Event::Result { choices, .. }) => choices.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use dpu_types::RequestId;

    fn tokens(bytes: usize) -> Told {
        let choices = Bytes::from(vec![b'x'; bytes]);
        Told::Frame(Event::Tokens { id: RequestId::NONE, token_count: 1, choices, finish: false })
    }

    #[test]
    fn what_is_told_comes_out_in_order() {
        let slot = Slot::default();
        slot.tell(tokens(1));
        slot.tell(tokens(2));
        assert!(
            matches!(slot.try_next(), Some(Told::Frame(Event::Tokens { choices, .. })) if choices.len() == 1)
        );
        assert!(
            matches!(slot.try_next(), Some(Told::Frame(Event::Tokens { choices, .. })) if choices.len() == 2)
        );
        assert!(slot.try_next().is_none());
    }

    #[test]
    fn a_client_that_does_not_read_is_stopped_at_the_bound_and_nothing_follows() {
        let slot = Slot::default();
        slot.tell(tokens(WAITING_BYTES_MAX));
        slot.tell(tokens(1));
        slot.tell(tokens(1));
        assert!(matches!(slot.try_next(), Some(Told::Frame(_))));
        assert!(matches!(slot.try_next(), Some(Told::Stop(Reason::ClientTooSlow))));
        assert!(slot.try_next().is_none());
    }

    #[test]
    fn the_frame_that_ended_a_request_is_found_among_unread_ones_and_behind_a_stop() {
        let end = || Told::Frame(Event::End { id: RequestId::NONE, summary: dpu_ucx::Summary::default() });
        let unread = Slot::default();
        unread.tell(tokens(1));
        unread.tell(end());
        let stopped = Slot::default();
        stopped.tell(Told::Stop(Reason::WorkerTimeout));
        stopped.tell(tokens(1));
        stopped.tell(end());
        for slot in [unread, stopped] {
            assert!(matches!(slot.take_last(), Some(Event::End { .. })));
            assert!(slot.take_last().is_none());
        }
        assert!(Slot::default().take_last().is_none());
    }

    #[test]
    fn bytes_that_were_read_do_not_count() {
        let slot = Slot::default();
        for _ in 0..100 {
            slot.tell(tokens(WAITING_BYTES_MAX / 2));
            assert!(matches!(slot.try_next(), Some(Told::Frame(_))));
        }
    }
}
