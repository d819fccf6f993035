//! Frames over UCX: listener and client endpoints by socket address, one active message a frame.
//!
//! Shared memory has no peer-failure detection in UCX (asked for it, UCX silently takes tcp), so peers on shared
//! memory are not watched by UCX: the session's PING finds them dead. Each gets a UCX worker of its own (a *lane*):
//! when such a peer dies with frames in flight, the whole lane is destroyed, and with it everything UCX still held.
//! All other peers share one lane, are watched by UCX, and are closed by force when they fail. `Auto` takes shared
//! memory where the address listened on, or connected to, is a loopback one; both ends must agree, so a worker on the
//! same machine listens on 127.0.0.1, not on 0.0.0.0.
//!
//! Shared memory runs without CMA: reading the peer's memory by address needs ptrace rights that a fast path without
//! privileges and core dumps does not have, and would make it unsafe to give up a buffer while the peer may live.

mod config;
mod mail;
mod options;

use crate::ffi::{Context, Endpoint, Epoll, Lane, Listener, Mail, Sent, Status};
use crate::transport::{PeerId, Transport, TransportCounters, TransportError, TransportEvent, TransportKind};
pub use config::UcxConfig;
use dpu_types::gen::worker_frame::FRAME_BYTES_MAX;
use dpu_types::OwnKeyMap;
use options::Reach;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Larger buffers go back to the allocator.
const POOL_BUFFER_BYTES_MAX: usize = 64 << 10;

/// Connections over shared memory to one address that nobody has answered yet: a process that hangs takes each of them,
/// and UCX lets none go before it answers or dies.
const CONNECTIONS_IN_VAIN_MAX: usize = 2;

/// Silent peers over RC that wait for UCX's word, see `abandon`. It comes within seconds; the oldest is closed where more
/// fall silent in that time.
const SILENT_PEERS_MAX: usize = 32;

/// How often `Drop` lets UCX work, a millisecond apart, so that closes reach the peers.
const CLOSE_ROUNDS_MAX: usize = 50;

struct Peer {
    lane: usize,
    endpoint: Endpoint,
    /// Where it was connected to; `None` where it came to us.
    address: Option<SocketAddr>,
    bytes_in_flight: usize,
    bytes_receiving: usize,
    /// A frame has come from it: the connection stands.
    heard: bool,
    closing: bool,
}

struct LaneState {
    lane: Lane,
    /// It has one peer and ends with it; the shared lanes have many.
    sole: bool,
    closing: bool,
}

/// The transport of the product. One thread drives it; it may be moved to that thread.
pub struct UcxTransport {
    // Fields are dropped in this order: listener, lanes, context.
    listener: Option<Listener>,
    lanes: Vec<Option<LaneState>>,
    /// Where the listener and the watched peers are, for each reach.
    shared: [Option<usize>; 2],
    peers: OwnKeyMap<PeerId, Peer>,
    epoll: Epoll,
    /// Made when first needed, for each reach.
    contexts: [Option<Arc<Context>>; 2],
    listening: Reach,
    config: UcxConfig,
    peers_made: u64,
    pool: Vec<Vec<u8>>,
    /// Events made between two polls.
    early: Vec<TransportEvent>,
    mail: Vec<Mail>,
    /// Lanes in the order in which they began to close.
    closing: Vec<usize>,
    /// Abandoned peers that are open for UCX.
    silent: VecDeque<PeerId>,
    counters: TransportCounters,
}

impl UcxTransport {
    /// A transport that neither listens nor is connected.
    ///
    /// # Errors
    /// `Failed` with UCX's words: most often no such device or transport.
    pub fn new(config: UcxConfig) -> Result<Self, TransportError> {
        let mut made = Self {
            listener: None,
            lanes: Vec::new(),
            shared: [None; 2],
            peers: OwnKeyMap::default(),
            epoll: Epoll::new().map_err(|error| TransportError::Failed(error.to_string()))?,
            contexts: [None, None],
            listening: Reach::Wide,
            config,
            peers_made: 0,
            pool: Vec::new(),
            early: Vec::new(),
            mail: Vec::new(),
            closing: Vec::new(),
            silent: VecDeque::new(),
            counters: TransportCounters::default(),
        };
        if config.kind != TransportKind::Auto {
            let reach = if config.kind == TransportKind::Shm { Reach::Local } else { Reach::Wide };
            made.context(reach).map_err(failed)?;
        }
        Ok(made)
    }

    fn context(&mut self, reach: Reach) -> Result<Arc<Context>, Status> {
        if let Some(context) = &self.contexts[reach as usize] {
            return Ok(Arc::clone(context));
        }
        let context = Arc::new(Context::new(&options::of(self.config.kind, reach))?);
        self.contexts[reach as usize] = Some(Arc::clone(&context));
        Ok(context)
    }

    fn lane_for(&mut self, peer: PeerId, reach: Reach) -> Result<usize, Status> {
        if reach == Reach::Wide {
            return self.shared_lane(reach);
        }
        let context = self.context(reach)?;
        let lane = Lane::new(&context, &self.epoll)?;
        lane.set_sole_peer(peer);
        Ok(self.add_lane(LaneState { lane, sole: true, closing: false }))
    }

    fn shared_lane(&mut self, reach: Reach) -> Result<usize, Status> {
        if let Some(at) = self.shared[reach as usize] {
            return Ok(at);
        }
        let context = self.context(reach)?;
        let lane = Lane::new(&context, &self.epoll)?;
        let at = self.add_lane(LaneState { lane, sole: false, closing: false });
        self.shared[reach as usize] = Some(at);
        Ok(at)
    }

    fn add_lane(&mut self, state: LaneState) -> usize {
        let at = self.lanes.iter().position(Option::is_none).unwrap_or(self.lanes.len());
        if at == self.lanes.len() {
            self.lanes.push(None);
        }
        self.lanes[at] = Some(state);
        at
    }

    fn new_peer(&mut self) -> PeerId {
        self.peers_made += 1;
        PeerId(self.peers_made)
    }

    fn adopt(&mut self, id: PeerId, lane: usize, endpoint: Endpoint, address: Option<SocketAddr>) {
        let peer = Peer {
            lane,
            endpoint,
            address,
            bytes_in_flight: 0,
            bytes_receiving: 0,
            heard: false,
            closing: false,
        };
        self.peers.insert(id, peer);
    }

    /// Destroys a lane that has no use any more.
    fn drop_lane(&mut self, at: usize) {
        let Some(state) = self.lanes[at].take() else { return };
        self.closing.retain(|closing| *closing != at);
        self.counters.buffers_stranded += state.lane.operations() as u64;
        let unconnected = self.is_unconnected(at);
        let peers = &mut self.peers;
        peers.retain(|_, peer| peer.lane != at);
        if unconnected && state.sole {
            // UCX aborts the process when a worker is destroyed whose connection never came about and was written to.
            // Nothing lets go of it: it stays, and `connect` keeps these few.
            std::mem::forget(state);
        }
    }

    /// Whether a peer on this lane never said anything.
    fn is_unconnected(&self, lane: usize) -> bool {
        self.peers.values().any(|peer| peer.lane == lane && !peer.heard)
    }

    /// Connections to an address that never came about and that UCX does not let go before they do.
    fn in_vain(&self, address: SocketAddr) -> usize {
        let in_vain = |peer: &&Peer| peer.closing && !peer.heard && peer.address == Some(address);
        self.peers.values().filter(in_vain).count()
    }

    /// A peer that failed by itself; one that we close already is not worth a word.
    fn lose(&mut self, id: PeerId, why: &str) {
        if let Some(at) = self.silent.iter().position(|silent| *silent == id) {
            self.silent.remove(at);
            return self.end_endpoint(id, true);
        }
        if self.peers.get(&id).is_some_and(|peer| !peer.closing) {
            self.counters.peers_lost += 1;
            self.early.push(TransportEvent::Lost { peer: id, why: why.to_owned() });
            self.end(id, true);
        }
    }

    /// Closes an endpoint; what is in flight is given up by force where that is possible.
    fn end(&mut self, id: PeerId, force: bool) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !std::mem::replace(&mut peer.closing, true) {
            self.end_endpoint(id, force);
        }
    }

    fn end_endpoint(&mut self, id: PeerId, force: bool) {
        let Some(peer) = self.peers.get(&id) else { return };
        let at = peer.lane;
        let Some(state) = self.lanes[at].as_mut() else { return };
        // UCX aborts the process when a rendezvous is under way in either direction and the close is not by force.
        let busy = peer.bytes_in_flight > 0 || peer.bytes_receiving > 0;
        // It also aborts when the worker ends while a close waits for a connection that never came about.
        let unconnected = !peer.heard;
        let pending = state.lane.close(&peer.endpoint, force || busy || unconnected);
        if !pending {
            return self.on_closed(id);
        }
        if state.sole {
            state.closing = true;
            self.closing.push(at);
        }
        if self.closing.len() > self.config.closing_lanes_max {
            let connected = self.closing.iter().copied().find(|lane| !self.is_unconnected(*lane));
            self.drop_lane(connected.unwrap_or(self.closing[0]));
        }
    }

    fn progress(&mut self) {
        let mut mail = std::mem::take(&mut self.mail);
        for state in self.lanes.iter().flatten() {
            state.lane.progress();
            state.lane.take_mail(&mut mail);
        }
        for letter in mail.drain(..) {
            self.on_mail(letter);
        }
        self.mail = mail;
    }
}

impl Transport for UcxTransport {
    fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr, TransportError> {
        options::check_family(self.config.kind, address)?;
        self.listening = Reach::of(self.config.kind, address);
        let at = self.shared_lane(self.listening).map_err(failed)?;
        let Some(state) = &self.lanes[at] else { return Err(TransportError::Gone) };
        let listener = Listener::new(&state.lane, address)
            .map_err(|status| TransportError::Failed(format!("cannot listen on {address}: {status}")))?;
        let bound = listener.address().unwrap_or(address);
        self.listener = Some(listener);
        Ok(bound)
    }

    fn connect(&mut self, address: SocketAddr) -> Result<PeerId, TransportError> {
        options::check_family(self.config.kind, address)?;
        let reach = Reach::of(self.config.kind, address);
        let watched = reach == Reach::Wide;
        if !watched && self.in_vain(address) >= CONNECTIONS_IN_VAIN_MAX {
            let why = format!("{address} took {CONNECTIONS_IN_VAIN_MAX} connections and answers on none");
            return Err(TransportError::Failed(why));
        }
        let id = self.new_peer();
        let at = self.lane_for(id, reach).map_err(failed)?;
        let Some(state) = &self.lanes[at] else { return Err(TransportError::Gone) };
        match state.lane.connect(id, address, watched) {
            Ok(endpoint) => {
                self.adopt(id, at, endpoint, Some(address));
                self.early.push(TransportEvent::Connected(id));
                Ok(id)
            }
            Err(status) => {
                if !watched {
                    self.drop_lane(at);
                }
                Err(TransportError::Failed(format!("cannot connect to {address}: {status}")))
            }
        }
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.pool.pop().unwrap_or_default()
    }

    fn try_send(&mut self, id: PeerId, frame: &mut Vec<u8>) -> Result<(), TransportError> {
        let size = frame.len();
        if size > FRAME_BYTES_MAX {
            return Err(TransportError::TooLarge);
        }
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.closing) else {
            return Err(TransportError::Gone);
        };
        if peer.bytes_in_flight + size > self.config.peer_bytes_in_flight_max {
            self.counters.sends_refused_full += 1;
            return Err(TransportError::Full);
        }
        let Some(state) = &self.lanes[peer.lane] else { return Err(TransportError::Gone) };
        match state.lane.send(id, &peer.endpoint, std::mem::take(frame), !state.sole) {
            Sent::Done(buffer) => self.recycle(buffer),
            Sent::Pending => {
                peer.bytes_in_flight += size;
                self.counters.bytes_in_flight += size as u64;
            }
            Sent::Failed(status) => return Err(TransportError::Failed(status.to_string())),
        }
        Ok(())
    }

    fn poll(&mut self, out: &mut Vec<TransportEvent>) -> usize {
        let before = out.len();
        self.progress();
        out.append(&mut self.early);
        out.len() - before
    }

    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.as_fd())
    }

    /// Closing lanes are not armed: what a dead peer keeps pending would never let us sleep.
    fn arm(&mut self) -> bool {
        self.early.is_empty() && self.lanes.iter().flatten().all(|state| state.closing || state.lane.arm())
    }

    fn is_sending(&self) -> bool {
        self.counters.bytes_in_flight > 0
    }

    fn close(&mut self, peer: PeerId) {
        self.end(peer, false);
        self.early.retain(|event| event.peer() != peer);
    }

    /// Over RC such a peer is left to UCX until the card has given up its retries (some seconds), and closed then: UCX
    /// 1.13 completes the flush of an earlier close a second time at that moment, and ends the process ("Assertion
    /// comp->count > 0"). Nothing is sent to it and nothing of it is heard meanwhile. One that comes back closes its own
    /// end, which UCX reports too.
    fn abandon(&mut self, id: PeerId) {
        let over_rc = |peer: &mut Peer| peer.endpoint.transport_name().starts_with("rc");
        if !self.peers.get_mut(&id).filter(|peer| !peer.closing).is_some_and(over_rc) {
            return self.close(id);
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.closing = true;
        }
        self.early.retain(|event| event.peer() != id);
        self.silent.push_back(id);
        if self.silent.len() > SILENT_PEERS_MAX {
            if let Some(oldest) = self.silent.pop_front() {
                self.end_endpoint(oldest, true);
            }
        }
    }

    fn transport_name(&self, peer: PeerId) -> String {
        self.peers.get(&peer).map(|peer| peer.endpoint.transport_name()).unwrap_or_default()
    }

    fn counters(&self) -> TransportCounters {
        let peers_closing = self.peers.values().filter(|peer| peer.closing).count() as u64;
        TransportCounters { peers_closing, ..self.counters }
    }
}

impl Drop for UcxTransport {
    /// Gives the closes a bounded number of chances to reach the peers; what is left ends with the lanes.
    fn drop(&mut self) {
        let ids: Vec<PeerId> = self.peers.keys().copied().collect();
        for id in ids {
            self.end(id, false);
        }
        for id in std::mem::take(&mut self.silent) {
            self.end_endpoint(id, true);
        }
        for _ in 0..CLOSE_ROUNDS_MAX {
            self.progress();
            if self.peers.is_empty() {
                break;
            }
            if self.lanes.iter().flatten().all(|state| state.lane.arm()) {
                self.epoll.wait(1);
            }
        }
        // Nothing may be left of the listener when its lane goes.
        self.listener = None;
        for at in 0..self.lanes.len() {
            self.drop_lane(at);
        }
    }
}

fn failed(status: Status) -> TransportError {
    TransportError::Failed(status.to_string())
}
