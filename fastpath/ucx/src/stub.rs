//! An in-memory transport: deterministic, no kernel, for tests of everything above.

use crate::transport::{PeerId, Transport, TransportCounters, TransportError, TransportEvent};
use bytes::Bytes;
use dpu_types::gen::worker_frame::FRAME_BYTES_MAX;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that may wait for one peer to poll.
pub const STUB_BYTES_IN_FLIGHT_MAX: usize = 16 << 20;

/// The world that stub transports share. Cloning gives another handle on the same world.
#[derive(Clone, Default)]
pub struct StubHub(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    listeners: HashMap<SocketAddr, u64>,
    inboxes: HashMap<u64, VecDeque<TransportEvent>>,
    /// (transport, peer) -> the other end.
    links: HashMap<(u64, PeerId), Far>,
    transports: u64,
    peers: u64,
    next_port: u16,
}

#[derive(Clone, Copy)]
struct Far {
    transport: u64,
    peer: PeerId,
    /// Bytes sent to the far end that it has not polled yet.
    bytes_waiting: usize,
}

impl StubHub {
    /// An empty world.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another transport in this world.
    #[must_use]
    pub fn transport(&self) -> StubTransport {
        let mut world = self.lock();
        world.transports += 1;
        let id = world.transports;
        world.inboxes.insert(id, VecDeque::new());
        StubTransport { hub: self.clone(), id, counters: TransportCounters::default() }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        // A panic in another holder leaves plain data behind; tests then fail on their own assertion.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn new_peer(&mut self) -> PeerId {
        self.peers += 1;
        PeerId(self.peers)
    }

    fn put(&mut self, transport: u64, event: TransportEvent) {
        if let Some(inbox) = self.inboxes.get_mut(&transport) {
            inbox.push_back(event);
        }
    }

    fn cut(&mut self, transport: u64, peer: PeerId, why: &str) {
        if let Some(far) = self.links.remove(&(transport, peer)) {
            self.links.remove(&(far.transport, far.peer));
            self.put(far.transport, TransportEvent::Lost { peer: far.peer, why: why.to_owned() });
        }
    }
}

/// One end of the world: the stub twin of the UCX transport.
pub struct StubTransport {
    hub: StubHub,
    id: u64,
    counters: TransportCounters,
}

impl Transport for StubTransport {
    fn listen(&mut self, mut address: SocketAddr) -> Result<SocketAddr, TransportError> {
        let mut world = self.hub.lock();
        if address.port() == 0 {
            world.next_port += 1;
            let port = 40_000 + world.next_port;
            address.set_port(port);
        }
        if world.listeners.contains_key(&address) {
            return Err(TransportError::Failed(format!("{address} is in use")));
        }
        world.listeners.insert(address, self.id);
        Ok(address)
    }

    fn connect(&mut self, address: SocketAddr) -> Result<PeerId, TransportError> {
        let mut world = self.hub.lock();
        let near = world.new_peer();
        let Some(&server) = world.listeners.get(&address) else {
            let why = format!("nobody listens on {address}");
            world.put(self.id, TransportEvent::Lost { peer: near, why });
            return Ok(near);
        };
        let far = world.new_peer();
        world.links.insert((self.id, near), Far { transport: server, peer: far, bytes_waiting: 0 });
        world.links.insert((server, far), Far { transport: self.id, peer: near, bytes_waiting: 0 });
        world.put(self.id, TransportEvent::Connected(near));
        world.put(server, TransportEvent::Accepted(far));
        Ok(near)
    }

    fn try_send(&mut self, peer: PeerId, frame: &mut Vec<u8>) -> Result<(), TransportError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(TransportError::TooLarge);
        }
        let mut world = self.hub.lock();
        let far = world.links.get_mut(&(self.id, peer)).ok_or(TransportError::Gone)?;
        if far.bytes_waiting + frame.len() > STUB_BYTES_IN_FLIGHT_MAX {
            self.counters.sends_refused_full += 1;
            return Err(TransportError::Full);
        }
        far.bytes_waiting += frame.len();
        let (transport, peer) = (far.transport, far.peer);
        world.put(transport, TransportEvent::Frame { peer, bytes: Bytes::from(std::mem::take(frame)) });
        Ok(())
    }

    fn poll(&mut self, out: &mut Vec<TransportEvent>) -> usize {
        let mut world = self.hub.lock();
        let events = world.inboxes.get_mut(&self.id).map(std::mem::take).unwrap_or_default();
        let before = out.len();
        for event in events {
            match &event {
                TransportEvent::Frame { peer, bytes } => {
                    // The link is gone where the sender closed after it sent; the frame counts all the same.
                    if let Some(&Far { transport, peer, .. }) = world.links.get(&(self.id, *peer)) {
                        if let Some(back) = world.links.get_mut(&(transport, peer)) {
                            back.bytes_waiting = back.bytes_waiting.saturating_sub(bytes.len());
                        }
                    }
                }
                TransportEvent::Lost { .. } => self.counters.peers_lost += 1,
                _ => {}
            }
            out.push(event);
        }
        out.len() - before
    }

    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn arm(&mut self) -> bool {
        self.hub.lock().inboxes.get(&self.id).is_none_or(VecDeque::is_empty)
    }

    fn close(&mut self, peer: PeerId) {
        let mut world = self.hub.lock();
        world.cut(self.id, peer, "closed by the peer");
        if let Some(inbox) = world.inboxes.get_mut(&self.id) {
            inbox.retain(|event| event.peer() != peer);
        }
    }

    fn transport_name(&self, _peer: PeerId) -> String {
        "stub".to_owned()
    }

    fn counters(&self) -> TransportCounters {
        self.counters
    }
}

impl Drop for StubTransport {
    fn drop(&mut self) {
        let mut world = self.hub.lock();
        world.inboxes.remove(&self.id);
        world.listeners.retain(|_, owner| *owner != self.id);
        let mine: Vec<PeerId> = world.links.keys().filter(|key| key.0 == self.id).map(|key| key.1).collect();
        for peer in mine {
            world.cut(self.id, peer, "the peer's process ended");
        }
    }
}
