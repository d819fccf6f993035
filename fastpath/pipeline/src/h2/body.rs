//! A request's whole body off an HTTP/2 stream, bounded in bytes and time, together with the others of its connection.

use super::io::Shared;
use crate::body_clock::BodyClock;
use crate::connection::LINGER_BYTES_MAX;
use crate::programmed::Limits;
use bytes::{Bytes, BytesMut};
use dpu_http::LengthCheck;
use dpu_types::{Reason, Refusal};
use h2::RecvStream;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{timeout, timeout_at, Instant};

/// How long a refused body is still read.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Bytes of one unfinished body; gives their room back when dropped.
struct Room<'s> {
    shared: &'s Shared,
    limit: usize,
    taken: usize,
}

impl Room<'_> {
    fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let all = self.shared.bodies.get() + bytes;
        if all > self.limit {
            return Err(Reason::HttpBodiesFull.into());
        }
        self.shared.bodies.set(all);
        self.taken += bytes;
        Ok(())
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.shared.bodies.set(self.shared.bodies.get() - self.taken);
    }
}

/// The whole body.
///
/// # Errors
/// Its length is not what the head says or above a limit; it did not come in time, or not to its end.
pub async fn whole(
    body: &mut RecvStream,
    declared: Option<u64>,
    limits: &Limits,
    shared: &Rc<Shared>,
) -> Result<Bytes, Refusal> {
    let mut length = LengthCheck::new(declared, limits.body_bytes_max)?;
    let mut room = Room { shared: shared.as_ref(), limit: limits.bodies_bytes_max, taken: 0 };
    let mut whole = BytesMut::new();
    let mut clock = None;
    while let Some(data) = next(body, &mut clock, whole.len(), limits, shared).await? {
        let data = data.map_err(|error| broken(&error, declared))?;
        length.add(data.len())?;
        room.take(data.len())?;
        // The window is given back at once: the bytes are ours now and bounded.
        let _ = body.flow_control().release_capacity(data.len());
        whole.extend_from_slice(&data);
    }
    length.end()?;
    Ok(whole.freeze())
}

/// The next DATA; the clock starts when one has to be waited for.
async fn next(
    body: &mut RecvStream,
    clock: &mut Option<BodyClock>,
    received: usize,
    limits: &Limits,
    shared: &Shared,
) -> Result<Option<Result<Bytes, h2::Error>>, Refusal> {
    if body.is_end_stream() {
        return Ok(None);
    }
    let clock = clock.get_or_insert_with(|| BodyClock::start(limits));
    let stream = body.stream_id().as_u32();
    loop {
        // A frame is handed over whole; what is here of it counts too.
        let (until, reason) = clock.until(received + shared.partial_data(stream));
        match timeout_at(until, body.data()).await {
            Ok(data) => return Ok(data),
            Err(_) if clock.until(received + shared.partial_data(stream)).0 > Instant::now() => {}
            Err(_) => return Err(reason.into()),
        }
    }
}

/// Why a body ended in an error. The h2 crate compares it with `content-length` too, and resets the stream at once.
fn broken(error: &h2::Error, declared: Option<u64>) -> Refusal {
    let lie = declared.is_some() && error.is_library() && error.reason() == Some(h2::Reason::PROTOCOL_ERROR);
    if lie && error.is_reset() {
        let detail = "the body is not as long as content-length says";
        return Refusal::from(Reason::HttpAmbiguousLength).because(detail);
    }
    Reason::HttpBodyIncomplete.into()
}

/// Reads and drops what is left of a body that was refused. RFC 9113, 8.1 lets us reset the stream instead, but there
/// are clients that then throw the answer away (curl 7.88).
pub async fn linger(body: &mut RecvStream) {
    let read = async {
        let mut dropped = 0;
        while let Some(Ok(data)) = body.data().await {
            dropped += data.len();
            if dropped > LINGER_BYTES_MAX || body.flow_control().release_capacity(data.len()).is_err() {
                return;
            }
        }
    };
    // Whoever is slower than that gets the reset.
    let _ = timeout(LINGER_TIME, read).await;
}
