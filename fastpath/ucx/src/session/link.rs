//! One connection: sequence numbers both ways, reordering, liveness. The same on both sides.

use super::counters::SessionCounters;
use crate::transport::{PeerId, Transport, TransportError};
use bytes::Bytes;
use dpu_types::gen::worker_frame::{Body, Ping, FLAG_PING_ANSWER};
use dpu_types::wire::{Frame, FrameError};
use dpu_types::{MonoNs, RequestId};
use std::collections::{BTreeMap, VecDeque};

/// Where the sequence number stands in the header (`abi/tables/worker_frame.toml`).
const SEQUENCE_AT: std::ops::Range<usize> = 8..16;

/// PINGs that a peer leaves unanswered before it can be given up, however long the silence.
const UNANSWERED_MIN: u32 = 2;

/// Why a frame was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    Full,
    Gone,
    TooLarge,
}

/// What becomes of a received frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is this frame's turn.
    Now,
    /// Kept until its turn.
    Held,
    /// Seen before.
    Duplicate,
    /// Too far ahead.
    TooFar,
}

/// Liveness says what is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Pulse {
    Alive,
    Lost,
}

/// Bounds of a link.
#[derive(Clone, Copy)]
pub struct LinkLimits {
    pub ping_interval_ms: u64,
    pub peer_timeout_ms: u64,
    pub reorder_frames_max: usize,
}

pub struct Link {
    pub peer: PeerId,
    next_out: u64,
    next_in: u64,
    held: BTreeMap<u64, Bytes>,
    heard: MonoNs,
    asked: MonoNs,
    /// When it was asked first since it was heard.
    unanswered_since: Option<MonoNs>,
    /// PINGs since then.
    unanswered: u32,
    /// Frames on their way to the transport; numbered when they go.
    backlog: VecDeque<Vec<u8>>,
    backlog_bytes: usize,
    /// Those among them that were kept because the transport was full.
    kept: usize,
    /// A frame that was taken could not be sent.
    broken: bool,
}

impl Link {
    pub fn new(peer: PeerId, now: MonoNs) -> Self {
        Self {
            peer,
            next_out: 0,
            next_in: 0,
            held: BTreeMap::new(),
            heard: now,
            asked: now,
            unanswered_since: None,
            unanswered: 0,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            kept: 0,
            broken: false,
        }
    }

    /// Sends one frame, numbered. Nothing is sent and no number used on error.
    pub fn send<T: Transport>(
        &mut self,
        via: &mut T,
        counters: &mut SessionCounters,
        id: RequestId,
        flags: u16,
        body: &Body<'_>,
    ) -> Result<(), SendError> {
        if !self.backlog.is_empty() {
            counters.send_queue_full += 1;
            return Err(SendError::Full);
        }
        let mut bytes = via.buffer();
        encode(&mut bytes, self.next_out, id, flags, body).map_err(|_| SendError::TooLarge)?;
        let size = bytes.len();
        match via.send(self.peer, bytes) {
            Ok(()) => {
                self.next_out += 1;
                counters.count_out(body.kind(), size);
                Ok(())
            }
            Err(TransportError::Full) => {
                counters.send_queue_full += 1;
                Err(SendError::Full)
            }
            Err(TransportError::TooLarge) => Err(SendError::TooLarge),
            Err(TransportError::Gone | TransportError::Failed(_)) => Err(SendError::Gone),
        }
    }

    /// Puts one frame behind those that wait for the next `flush`. A peer that sleeps is woken once for all of them:
    /// that costs more than everything else about a small frame.
    pub fn queue<T: Transport>(
        &mut self,
        via: &mut T,
        counters: &mut SessionCounters,
        id: RequestId,
        flags: u16,
        body: &Body<'_>,
        bytes_max: usize,
    ) -> Result<(), SendError> {
        if self.backlog_bytes >= bytes_max {
            counters.send_queue_full += 1;
            return Err(SendError::Full);
        }
        self.keep(via, id, flags, body)
    }

    /// `queue` for a frame that must not be lost: never `Full`.
    pub fn keep<T: Transport>(
        &mut self,
        via: &mut T,
        id: RequestId,
        flags: u16,
        body: &Body<'_>,
    ) -> Result<(), SendError> {
        let mut bytes = via.buffer();
        encode(&mut bytes, 0, id, flags, body).map_err(|_| SendError::TooLarge)?;
        self.backlog_bytes += bytes.len();
        self.backlog.push_back(bytes);
        Ok(())
    }

    /// Like `send`, but keeps the frame for later where the transport is full.
    pub fn send_or_keep<T: Transport>(
        &mut self,
        via: &mut T,
        counters: &mut SessionCounters,
        id: RequestId,
        flags: u16,
        body: &Body<'_>,
    ) -> Result<(), SendError> {
        // Behind what waits for the next flush anyway: nothing is full, and nothing is to be counted.
        if self.is_waiting() {
            self.kept += 1;
            return self.keep(via, id, flags, body);
        }
        match self.send(via, counters, id, flags, body) {
            Err(SendError::Full) => {
                self.kept += 1;
                self.keep(via, id, flags, body)
            }
            other => other,
        }
    }

    /// Sends what waits, as far as the transport takes it.
    pub fn flush<T: Transport>(&mut self, via: &mut T, counters: &mut SessionCounters) {
        while let Some(bytes) = self.backlog.front_mut() {
            bytes[SEQUENCE_AT].copy_from_slice(&self.next_out.to_le_bytes());
            let (kind, size) = (bytes[1], bytes.len());
            match via.try_send(self.peer, bytes) {
                Ok(()) => {}
                Err(TransportError::Full) => return,
                // What waits was promised to somebody: the connection ends, and with it each request by its reason.
                Err(_) => {
                    self.broken = true;
                    return;
                }
            }
            self.next_out += 1;
            counters.count_out(kind, size);
            self.backlog_bytes -= size;
            self.backlog.pop_front();
        }
        self.kept = 0;
    }

    /// Whether anything waits.
    pub fn is_waiting(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Frames that were kept since the transport was last seen to take everything.
    pub fn kept_frames(&self) -> usize {
        self.kept
    }

    pub fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }

    /// Takes note of a frame and says whether it is its turn.
    pub fn turn(&mut self, sequence: u64, bytes: &Bytes, now: MonoNs, limits: LinkLimits) -> Turn {
        self.heard = now;
        self.unanswered_since = None;
        self.unanswered = 0;
        if sequence == self.next_in {
            self.next_in += 1;
            return Turn::Now;
        }
        if sequence < self.next_in || self.held.contains_key(&sequence) {
            return Turn::Duplicate;
        }
        if sequence - self.next_in > limits.reorder_frames_max as u64 {
            return Turn::TooFar;
        }
        self.held.insert(sequence, bytes.clone());
        Turn::Held
    }

    /// The next held frame whose turn has come.
    pub fn next_held(&mut self) -> Option<Bytes> {
        if self.held.is_empty() {
            return None;
        }
        let bytes = self.held.remove(&self.next_in)?;
        self.next_in += 1;
        Some(bytes)
    }

    /// Asks a silent peer, and gives up on one that was silent for too long.
    pub fn pulse<T: Transport>(
        &mut self,
        via: &mut T,
        counters: &mut SessionCounters,
        now: MonoNs,
        limits: LinkLimits,
    ) -> Pulse {
        if self.broken {
            return Pulse::Lost;
        }
        if self.lost_at(limits).is_some_and(|at| now >= at) {
            counters.pings_lost += 1;
            return Pulse::Lost;
        }
        if now >= self.heard.max(self.asked).plus_ms(limits.ping_interval_ms) {
            self.asked = now;
            self.unanswered_since.get_or_insert(now);
            self.unanswered += 1;
            // A full transport is busy sending; the peer's silence is then judged by the timeout alone.
            let _ = self.send(via, counters, RequestId::NONE, 0, &Body::Ping(Ping { token: now.0 }));
        }
        Pulse::Alive
    }

    /// Whether it left PINGs unanswered: what we sent last may not have arrived.
    pub fn is_silent(&self) -> bool {
        self.unanswered >= UNANSWERED_MIN
    }

    /// When `pulse` wants to be called.
    pub fn next_pulse(&self, limits: LinkLimits) -> MonoNs {
        let ask = self.heard.max(self.asked).plus_ms(limits.ping_interval_ms);
        self.lost_at(limits).map_or(ask, |lost| ask.min(lost))
    }

    /// When its silence is too long. Only one who was asked more than once, and had time to answer, is silent: a thread
    /// of ours that did not run for a while has heard nobody, and on a crowded machine the peer did not run either.
    fn lost_at(&self, limits: LinkLimits) -> Option<MonoNs> {
        let to_answer_ms = limits.peer_timeout_ms.saturating_sub(limits.ping_interval_ms);
        let first = self.unanswered_since.filter(|_| self.is_silent())?;
        let (in_all, after_last) =
            (self.heard.plus_ms(limits.peer_timeout_ms), self.asked.plus_ms(limits.ping_interval_ms));
        Some(first.plus_ms(to_answer_ms).max(in_all).max(after_last))
    }

    /// Answers a PING that asks; an answer needs none.
    pub fn answer_ping<T: Transport>(
        &mut self,
        via: &mut T,
        counters: &mut SessionCounters,
        flags: u16,
        token: u64,
    ) {
        if flags & FLAG_PING_ANSWER == 0 {
            let answer = Body::Ping(Ping { token });
            // Dropped where the transport is full: the peer hears the frames that fill it.
            let _ = self.send(via, counters, RequestId::NONE, FLAG_PING_ANSWER, &answer);
        }
    }
}

fn encode(
    out: &mut Vec<u8>,
    sequence: u64,
    id: RequestId,
    flags: u16,
    body: &Body<'_>,
) -> Result<(), FrameError> {
    // `Frame` owns its body; the clone copies references, never the payload.
    Frame { sequence, request_id: id, flags, body: body.clone() }.encode(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::StubHub;

    const LIMITS: LinkLimits =
        LinkLimits { ping_interval_ms: 250, peer_timeout_ms: 1000, reorder_frames_max: 64 };

    /// What each pulse says, at milliseconds since the peer was heard.
    fn pulses(at_ms: &[u64]) -> Vec<Pulse> {
        let hub = StubHub::new();
        let (mut server, mut via) = (hub.transport(), hub.transport());
        let address = server.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut link = Link::new(via.connect(address).unwrap(), MonoNs(0));
        let mut counters = SessionCounters::default();
        at_ms.iter().map(|ms| link.pulse(&mut via, &mut counters, MonoNs(ms * 1_000_000), LIMITS)).collect()
    }

    #[test]
    fn a_peer_that_was_asked_in_time_is_lost_at_its_timeout() {
        assert_eq!(pulses(&[249, 250, 500, 999]), [Pulse::Alive, Pulse::Alive, Pulse::Alive, Pulse::Alive]);
        assert_eq!(pulses(&[250, 500, 1000]).pop(), Some(Pulse::Lost));
    }

    #[test]
    fn a_peer_that_nobody_asked_is_not_silent_and_has_its_time_to_answer() {
        assert_eq!(pulses(&[5000, 5001, 5749]), [Pulse::Alive, Pulse::Alive, Pulse::Alive]);
        assert_eq!(pulses(&[5000, 5750, 5999]), [Pulse::Alive, Pulse::Alive, Pulse::Alive]);
        assert_eq!(pulses(&[5000, 5750, 6000]), [Pulse::Alive, Pulse::Alive, Pulse::Lost]);
    }
}
