//! One HTTP/2 connection from its preface to its end.

use super::guard::{Accepted, Guard, Turn};
use super::io::{Shared, WatchedIo};
use crate::caller::Caller;
use crate::connection::Io;
use crate::core::Core;
use crate::limit_hits::Quiet;
use crate::programmed::{Limits, Listener};
use bytes::Bytes;
use dpu_types::Reason;
use h2::server::Connection;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// Flow-control window of a stream: a whole ordinary chat body without a WINDOW_UPDATE.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Flow-control window of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Answer bytes that h2 may hold for a stream whose client does not read.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// The bound that h2 is told for a head, in bounds of ours: it answers 431 without a word and without a reason, so it
/// comes second. At four times what it was told it ends the connection.
const CRATE_HEAD_BOUNDS: u32 = 2;
/// For our GOAWAY to be written and read.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Holders of a connection's shared part while no stream runs: this task, the guard, the IO.
pub(super) const SHARERS: usize = 3;

/// Serves a connection until it ends.
pub async fn serve(core: &Rc<Core>, io: Io, listener: &Arc<Listener>, caller: Caller) {
    let limits = &listener.limits;
    let shared = Rc::new(Shared::new(Rc::clone(core), Arc::clone(listener), caller));
    let io = WatchedIo::new(io, Rc::clone(&shared));
    let connection = match timeout(limits.head_timeout, builder(limits).handshake::<_, Bytes>(io)).await {
        Ok(Ok(connection)) => connection,
        // It went away before it said anything.
        Ok(Err(error)) if error.is_io() => return,
        Ok(Err(_)) => return core.refuse_connection(Reason::HttpH2Protocol),
        Err(_) => return core.refuse_connection(Reason::HttpHeadTimeout),
    };
    let guard = Guard::new(limits, Rc::clone(&shared));
    Served { core, shared, connection, guard, streams: 0, leaving: false }.run().await;
}

struct Served<'c> {
    core: &'c Rc<Core>,
    shared: Rc<Shared>,
    connection: Connection<WatchedIo, Bytes>,
    guard: Guard<'c>,
    streams: u32,
    leaving: bool,
}

impl Served<'_> {
    async fn run(mut self) {
        let mut draining = self.core.draining.clone();
        loop {
            let turn = tokio::select! {
                biased;
                turn = self.guard.next(&mut self.connection) => turn,
                _ = draining.wait_for(|on| *on), if !self.leaving => {
                    self.leave();
                    continue;
                }
            };
            match turn {
                Turn::Accepted(accepted) => {
                    if !self.take(accepted) {
                        return;
                    }
                }
                Turn::Idle => {
                    self.core.limit_hit(Quiet::IdleTimeout, 1);
                    self.leave();
                }
                Turn::Gone => return,
                Turn::Over(reason) => return self.end(reason).await,
            }
        }
    }

    /// False where the connection has ended.
    fn take(&mut self, accepted: Accepted) -> bool {
        let Some(Ok((request, answer))) = accepted else {
            // Only where it was us who ended it is there something to count.
            if let Some(reason) = self.shared.verdict() {
                self.core.refuse_connection(reason);
            }
            return false;
        };
        self.streams += 1;
        spawn_local(super::stream(Rc::clone(self.core), Rc::clone(&self.shared), request, answer));
        if self.streams == self.shared.limits().requests_per_connection_max && !self.leaving {
            self.core.limit_hit(Quiet::RequestsPerConnection, 1);
            self.leave();
        }
        true
    }

    /// The streams that run go on; no new ones come.
    fn leave(&mut self) {
        self.leaving = true;
        self.connection.graceful_shutdown();
        self.guard.leave();
    }

    /// Ends the connection and its streams for what the client did.
    async fn end(mut self, reason: Reason) {
        self.core.refuse_connection(reason);
        self.connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
        // A client that reads is told; one that does not is cut.
        let _ = timeout(CLOSE_TIME, poll_fn(|context| self.connection.poll_closed(context))).await;
    }
}

fn builder(limits: &Limits) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    let head_bytes_max = u32::try_from(limits.head.head_bytes_max).unwrap_or(u32::MAX);
    let (resets_max, errors_max) = (limits.frames.resets_max as usize, limits.frames.errors_max as usize);
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(limits.h2_streams_max)
        .max_header_list_size(head_bytes_max.saturating_mul(CRATE_HEAD_BOUNDS))
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(resets_max)
        .max_concurrent_reset_streams(resets_max)
        .max_local_error_reset_streams(Some(errors_max));
    builder
}
