//! What ends an HTTP/2 connection beside its client: nothing asked for too long, a head that does not end, answers
//! that are not read, frames that bring nothing. One timer a connection, and no clock read while streams come and go.

use super::io::{Shared, WatchedIo};
use crate::programmed::Limits;
use bytes::Bytes;
use dpu_types::Reason;
use h2::server::{Connection, SendResponse};
use h2::RecvStream;
use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// After our GOAWAY, for the client's last streams to come and for it to close.
const GOODBYE_TIME: Duration = Duration::from_secs(2);
/// What a client has to read in each `write_timeout` while more waits for it: a TLS record.
const PROGRESS_BYTES: u64 = 16 * 1024;

/// A stream that the client opened, or why there will be none.
pub type Accepted = Option<Result<(http::Request<RecvStream>, SendResponse<Bytes>), h2::Error>>;

/// What is to be done next.
// Made once a request and taken apart at once: cheaper than a box.
#[allow(clippy::large_enum_variant)]
pub enum Turn {
    /// From the client.
    Accepted(Accepted),
    /// No request for too long: say goodbye.
    Idle,
    /// The goodbye was said long enough ago.
    Gone,
    /// For this reason.
    Over(Reason),
}

/// What the timer runs for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Idle,
    Head,
    Write { since: u64 },
    Goodbye,
}

pub struct Guard<'l> {
    limits: &'l Limits,
    shared: Rc<Shared>,
    timer: Pin<Box<Sleep>>,
    wait: Wait,
    /// A stream came since the timer was set.
    asked: bool,
    leaving: bool,
}

impl<'l> Guard<'l> {
    pub fn new(limits: &'l Limits, shared: Rc<Shared>) -> Self {
        let timer = Box::pin(tokio::time::sleep(limits.idle_timeout));
        Self { limits, shared, timer, wait: Wait::Idle, asked: false, leaving: false }
    }

    /// Our GOAWAY was sent: what runs may end, then the connection does.
    pub fn leave(&mut self) {
        self.leaving = true;
        self.set(Wait::Goodbye);
    }

    /// Waits for what is to be done next. Dropping the future loses nothing.
    pub async fn next(&mut self, connection: &mut Connection<WatchedIo, Bytes>) -> Turn {
        poll_fn(|context| self.poll(connection, context)).await
    }

    fn poll(
        &mut self,
        connection: &mut Connection<WatchedIo, Bytes>,
        context: &mut Context<'_>,
    ) -> Poll<Turn> {
        if let Poll::Ready(accepted) = connection.poll_accept(context) {
            if matches!(accepted, Some(Ok(_))) {
                self.shared.head_taken();
                self.asked = true;
            }
            return Poll::Ready(Turn::Accepted(accepted));
        }
        if let Some(reason) = self.shared.verdict() {
            return Poll::Ready(Turn::Over(reason));
        }
        if !self.leaving {
            self.shared.count_refused();
        }
        self.choose_wait();
        while self.timer.as_mut().poll(context).is_ready() {
            if let Some(turn) = self.time_is_over() {
                return Poll::Ready(turn);
            }
        }
        Poll::Pending
    }

    fn choose_wait(&mut self) {
        let blocked = self.shared.blocked_at();
        match (self.wait, blocked) {
            (Wait::Write { .. }, Some(_)) => {}
            (_, Some(since)) => self.set(Wait::Write { since }),
            (Wait::Head, None) if self.shared.head_is_open() => {}
            (_, None) if self.shared.head_is_open() => self.set(Wait::Head),
            (Wait::Head | Wait::Write { .. }, None) => {
                self.set(if self.leaving { Wait::Goodbye } else { Wait::Idle });
            }
            _ => {}
        }
    }

    /// What the timer's end means; `None` where it was set again.
    fn time_is_over(&mut self) -> Option<Turn> {
        match self.wait {
            Wait::Head => return Some(Turn::Over(Reason::HttpHeadTimeout)),
            Wait::Write { since } => {
                let written = self.shared.blocked_at().unwrap_or(u64::MAX);
                if written.saturating_sub(since) < PROGRESS_BYTES {
                    return Some(Turn::Over(Reason::ClientTooSlow));
                }
                self.set(Wait::Write { since: written });
            }
            // Streams may still run; only a connection without any is idle.
            Wait::Idle | Wait::Goodbye if self.asked || self.is_running() => {
                self.asked = false;
                self.set(self.wait);
            }
            Wait::Idle => return Some(Turn::Idle),
            Wait::Goodbye => return Some(Turn::Gone),
        }
        None
    }

    /// Every stream's task shares what the guard and the IO share.
    fn is_running(&self) -> bool {
        Rc::strong_count(&self.shared) > super::connection::SHARERS
    }

    fn set(&mut self, wait: Wait) {
        self.wait = wait;
        let time = match wait {
            Wait::Idle => self.limits.idle_timeout,
            Wait::Head => self.limits.head_timeout,
            Wait::Write { .. } => self.limits.write_timeout,
            Wait::Goodbye => GOODBYE_TIME,
        };
        self.timer.as_mut().reset(Instant::now() + time);
    }
}
