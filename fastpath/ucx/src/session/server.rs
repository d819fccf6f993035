//! The worker's side: connections from fast paths, requests in, answers out.

mod answers;
mod inbound;
mod peer;

use super::auth::SharedKey;
use super::counters::SessionCounters;
use super::link::LinkLimits;
use super::server_config::ServerConfig;
use super::types::{PeerState, ServerEvent, StreamKey};
use super::Random;
use crate::transport::{PeerId, Transport, TransportCounters, TransportError, TransportEvent};
use dpu_types::gen::worker_frame::{Body, Drain, Load};
use dpu_types::{MonoNs, Reason, RequestId};
use peer::{Peer, Stage};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

/// A request that has not ended.
struct Stream {
    /// When its CANCEL came.
    cancelled: Option<MonoNs>,
    tokens_sent: u32,
    /// Bytes of TOKENS that may still be sent; the last frame may have taken it below zero.
    credit: i64,
    /// It was told `NoCredit` and wants to know when there is some.
    waits: bool,
}

/// Takes requests from fast paths and sends answers. One thread drives it.
pub struct Server<T: Transport> {
    transport: T,
    config: ServerConfig,
    key: SharedKey,
    random: Random,
    peers: HashMap<PeerId, Peer>,
    streams: HashMap<StreamKey, Stream>,
    /// CANCELs that came before their REQUEST, oldest first.
    early_cancels: VecDeque<(MonoNs, StreamKey)>,
    load: Load,
    load_sent: Load,
    load_at: MonoNs,
    draining: bool,
    counters: SessionCounters,
    incoming: Vec<TransportEvent>,
    polled: MonoNs,
    /// Frames were queued since the last `poll`.
    queued: bool,
}

impl<T: Transport> Server<T> {
    /// A server that does not listen yet. `random` must be unpredictable: it makes the nonces.
    pub fn new(transport: T, config: ServerConfig, random: Random) -> Self {
        let load = Load { running: 0, queued: 0, free_kv_tokens: 0 };
        Self {
            key: SharedKey::new(&config.key),
            transport,
            config,
            random,
            peers: HashMap::new(),
            streams: HashMap::new(),
            early_cancels: VecDeque::new(),
            load: load.clone(),
            load_sent: load,
            load_at: MonoNs(0),
            draining: false,
            counters: SessionCounters::default(),
            incoming: Vec::new(),
            polled: MonoNs(0),
            queued: false,
        }
    }

    /// Accepts fast paths on `address` (port 0: any). Returns the address really bound.
    ///
    /// # Errors
    /// The transport's: the address is in use, or not ours.
    pub fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr, TransportError> {
        self.transport.listen(address)
    }

    /// Makes progress: transport, order, handshakes, timers. Appends events; returns how many.
    pub fn poll(&mut self, now: MonoNs, out: &mut Vec<ServerEvent>) -> usize {
        let before = out.len();
        self.polled = now;
        let mut incoming = std::mem::take(&mut self.incoming);
        self.transport.poll(&mut incoming);
        for event in incoming.drain(..) {
            self.on_transport(event, now, out);
        }
        self.incoming = incoming;
        self.run_timers(now, out);
        out.len() - before
    }

    /// When `poll` wants to be called even if nothing arrives.
    pub fn next_timer(&self) -> Option<MonoNs> {
        if self.queued {
            return Some(self.polled);
        }
        let limits = self.limits();
        let peers = self.peers.values().map(|peer| peer.next_timer(limits, self.polled));
        let load = (self.load != self.load_sent).then(|| self.load_at.plus_ms(self.config.load_interval_ms));
        peers.chain(load).min()
    }

    /// Readable when `poll` has work, after `arm` returned true.
    pub fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        self.transport.event_fd()
    }

    /// True: sleeping on `event_fd` until `next_timer` is safe. False: poll again.
    pub fn arm(&mut self) -> bool {
        !self.queued && self.transport.arm()
    }

    /// How busy the engine is. Sent when it changed, at most every `load_interval_ms`.
    pub fn load(&mut self, running: u32, queued: u32, free_kv_tokens: u64) {
        self.load = Load { running, queued, free_kv_tokens };
    }

    /// Tells every fast path, and those to come, that no new work is wanted; REQUESTs from now on are answered
    /// FAIL draining (retry). Running streams finish; `outstanding` says how many there are.
    pub fn drain(&mut self) {
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        let body = Body::Drain(Drain { reason: Reason::Draining as u16 });
        for peer in self.peers.values_mut().filter(|peer| peer.stage == Stage::Ready) {
            // A peer that is gone needs no telling.
            let _ =
                peer.link.send_or_keep(&mut self.transport, &mut self.counters, RequestId::NONE, 0, &body);
        }
    }

    /// Streams without an end, over all fast paths.
    pub fn outstanding(&self) -> usize {
        self.streams.len()
    }

    /// Whether no stream is without an end and no frame waits for the transport.
    pub fn idle(&self) -> bool {
        self.streams.is_empty()
            && self.peers.values().all(|peer| !peer.link.is_waiting())
            && self.transport.counters().bytes_in_flight == 0
    }

    /// The fast paths that have proved themselves.
    pub fn peers(&self) -> Vec<PeerState> {
        let ready = self.peers.values().filter(|peer| peer.stage == Stage::Ready);
        ready.map(Peer::state).collect()
    }

    /// What was counted so far.
    pub fn counters(&self) -> &SessionCounters {
        &self.counters
    }

    /// What the transport counted so far.
    pub fn transport_counters(&self) -> TransportCounters {
        self.transport.counters()
    }

    fn limits(&self) -> LinkLimits {
        LinkLimits {
            ping_interval_ms: self.config.ping_interval_ms,
            peer_timeout_ms: self.config.peer_timeout_ms,
            reorder_frames_max: self.config.reorder_frames_max,
        }
    }

    /// Ends a connection and its streams.
    fn lose(&mut self, id: PeerId, out: &mut Vec<ServerEvent>) {
        let Some(peer) = self.peers.remove(&id) else { return };
        if peer.link.is_silent() {
            self.transport.abandon(id);
        } else {
            self.transport.close(id);
        }
        self.early_cancels.retain(|(_, key)| key.peer != id);
        if peer.stage != Stage::Ready {
            self.counters.handshake_failures += 1;
            return;
        }
        self.counters.peers_lost += 1;
        let streams: Vec<StreamKey> = self.streams.keys().filter(|key| key.peer == id).copied().collect();
        for stream in &streams {
            self.streams.remove(stream);
        }
        out.push(ServerEvent::PeerLost { streams });
    }

    fn run_timers(&mut self, now: MonoNs, out: &mut Vec<ServerEvent>) {
        self.queued = false;
        let limits = self.limits();
        let mut gone = Vec::new();
        for (id, peer) in &mut self.peers {
            peer.link.flush(&mut self.transport, &mut self.counters);
            let full = peer.link.backlog_bytes() > self.config.backlog_bytes_max;
            self.counters.backlog_full += u64::from(full);
            if full || peer.is_lost(&mut self.transport, &mut self.counters, now, limits) {
                gone.push(*id);
            }
        }
        for id in gone {
            self.lose(id, out);
        }
        let forget = |at: &MonoNs| now >= at.plus_ms(self.config.early_cancel_ms);
        while self.early_cancels.front().is_some_and(|(at, _)| forget(at)) {
            self.early_cancels.pop_front();
        }
        self.send_load(now);
    }

    fn send_load(&mut self, now: MonoNs) {
        if self.load == self.load_sent || now < self.load_at.plus_ms(self.config.load_interval_ms) {
            return;
        }
        self.load_at = now;
        self.load_sent = self.load.clone();
        let body = Body::Load(self.load.clone());
        for peer in self.peers.values_mut().filter(|peer| peer.stage == Stage::Ready) {
            // A LOAD that finds the transport full is old news by the time it would go.
            let _ = peer.link.send(&mut self.transport, &mut self.counters, RequestId::NONE, 0, &body);
        }
    }
}
