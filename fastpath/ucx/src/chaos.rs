//! A transport that misbehaves by a seeded schedule: the fault-injecting twin of any transport.

use crate::transport::{PeerId, Transport, TransportCounters, TransportError, TransportEvent};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

/// How often something goes wrong, in 1/65536 per received frame; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChaosConfig {
    /// The same seed gives the same faults for the same frames.
    pub seed: u64,
    /// The peer is dropped instead of its frame delivered.
    pub drop_peer: u16,
    /// The frame is held back for one to `delay_polls_max` polls; others overtake it.
    pub delay: u16,
    /// Longest delay in polls.
    pub delay_polls_max: u32,
    /// Frames that may overtake a delayed one: the bound of the reordering.
    pub overtakers_max: u64,
    /// The frame is cut short.
    pub truncate: u16,
    /// The frame is delivered twice.
    pub duplicate: u16,
}

impl ChaosConfig {
    /// Faults that a session must survive without anybody noticing: delay, reordering, doubles.
    #[must_use]
    pub const fn survivable(seed: u64) -> Self {
        Self {
            seed,
            drop_peer: 0,
            delay: 16_384,
            delay_polls_max: 3,
            overtakers_max: 32,
            truncate: 0,
            duplicate: 8192,
        }
    }
}

/// Wraps a transport and spoils what it delivers.
pub struct ChaosTransport<T> {
    inner: T,
    config: ChaosConfig,
    random: u64,
    poll_count: u64,
    /// Frames delivered so far.
    frame_count: u64,
    held: VecDeque<Held>,
    incoming: Vec<TransportEvent>,
}

/// A delayed frame.
struct Held {
    /// Poll at which it is due.
    poll: u64,
    /// Frame count at which it is due, whichever comes first.
    frame: u64,
    event: TransportEvent,
}

impl<T: Transport> ChaosTransport<T> {
    /// A misbehaving `inner`.
    pub fn new(inner: T, config: ChaosConfig) -> Self {
        // Xorshift never leaves 0.
        let random = config.seed | 1;
        Self {
            inner,
            config,
            random,
            poll_count: 0,
            frame_count: 0,
            held: VecDeque::new(),
            incoming: Vec::new(),
        }
    }

    /// xorshift64*: repeatable, and nothing here needs more.
    fn dice(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn hits(&mut self, chance: u16) -> bool {
        self.dice() % 65_536 < u64::from(chance)
    }

    fn spoil(&mut self, peer: PeerId, bytes: Bytes, out: &mut Vec<TransportEvent>) {
        if self.hits(self.config.drop_peer) {
            self.close(peer);
            return out.push(TransportEvent::Lost { peer, why: "chaos dropped the peer".to_owned() });
        }
        let bytes = if self.hits(self.config.truncate) {
            let size = self.dice() as usize % bytes.len().max(1);
            bytes.slice(..size)
        } else {
            bytes
        };
        if self.hits(self.config.duplicate) {
            self.deliver(peer, bytes.clone(), out);
        }
        if self.hits(self.config.delay) && self.config.delay_polls_max > 0 {
            let poll = self.poll_count + 1 + self.dice() % u64::from(self.config.delay_polls_max);
            let frame = self.frame_count + self.config.overtakers_max;
            self.held.push_back(Held { poll, frame, event: TransportEvent::Frame { peer, bytes } });
        } else {
            self.deliver(peer, bytes, out);
        }
    }

    fn deliver(&mut self, peer: PeerId, bytes: Bytes, out: &mut Vec<TransportEvent>) {
        out.push(TransportEvent::Frame { peer, bytes });
        self.frame_count += 1;
        self.release(out);
    }

    fn release(&mut self, out: &mut Vec<TransportEvent>) {
        for _ in 0..self.held.len() {
            match self.held.pop_front() {
                Some(held) if held.poll <= self.poll_count || held.frame <= self.frame_count => {
                    out.push(held.event)
                }
                Some(later) => self.held.push_back(later),
                None => {}
            }
        }
    }
}

impl<T: Transport> Transport for ChaosTransport<T> {
    fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr, TransportError> {
        self.inner.listen(address)
    }

    fn connect(&mut self, address: SocketAddr) -> Result<PeerId, TransportError> {
        self.inner.connect(address)
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.inner.buffer()
    }

    fn try_send(&mut self, peer: PeerId, frame: &mut Vec<u8>) -> Result<(), TransportError> {
        self.inner.try_send(peer, frame)
    }

    fn poll(&mut self, out: &mut Vec<TransportEvent>) -> usize {
        let before = out.len();
        self.poll_count += 1;
        self.release(out);
        let mut incoming = std::mem::take(&mut self.incoming);
        self.inner.poll(&mut incoming);
        for event in incoming.drain(..) {
            match event {
                TransportEvent::Frame { peer, bytes } => self.spoil(peer, bytes, out),
                TransportEvent::Lost { peer, .. } => {
                    // What was held comes before the loss, as from a real wire.
                    let (now, later) = self.held.drain(..).partition(|held| held.event.peer() == peer);
                    self.held = later;
                    let now: VecDeque<Held> = now;
                    out.extend(now.into_iter().map(|held| held.event));
                    out.push(event);
                }
                other => out.push(other),
            }
        }
        self.incoming = incoming;
        out.len() - before
    }

    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.event_fd()
    }

    fn arm(&mut self) -> bool {
        self.held.is_empty() && self.inner.arm()
    }

    fn close(&mut self, peer: PeerId) {
        self.held.retain(|held| held.event.peer() != peer);
        self.inner.close(peer);
    }

    fn abandon(&mut self, peer: PeerId) {
        self.held.retain(|held| held.event.peer() != peer);
        self.inner.abandon(peer);
    }

    fn transport_name(&self, peer: PeerId) -> String {
        format!("chaos({})", self.inner.transport_name(peer))
    }

    fn counters(&self) -> TransportCounters {
        self.inner.counters()
    }
}
