//! One worker's place in the client.

use crate::session::auth::Nonce;
use crate::session::link::{Link, LinkLimits};
use crate::session::types::{WorkerPhase, WorkerState};
use dpu_types::MonoNs;
use std::net::SocketAddr;

pub struct Slot {
    pub name: String,
    pub address: SocketAddr,
    /// Index in the last list; `None` where it only drains.
    pub listed: Option<usize>,
    pub phase: WorkerPhase,
    pub link: Option<Link>,
    pub nonce: Nonce,
    /// The worker's, from WELCOME phase 0; a second one is out of place.
    pub worker_nonce: Option<Nonce>,
    /// When the handshake must be complete.
    pub handshake_until: MonoNs,
    /// When to connect; `None` while there is a connection.
    pub connect_at: Option<MonoNs>,
    /// Attempts since the worker was last ready.
    pub failures: u32,
    pub transport: String,
    pub worker_id: String,
    pub engine: String,
    pub slots: u32,
    pub models: Vec<String>,
    pub outstanding: u32,
    pub running: u32,
    pub queued: u32,
    pub free_kv_tokens: u64,
    pub detail: String,
}

impl Slot {
    /// A worker that is to be connected at once.
    pub fn new(name: String, address: SocketAddr, listed: usize, now: MonoNs) -> Self {
        Self {
            name,
            address,
            listed: Some(listed),
            phase: WorkerPhase::Connecting,
            link: None,
            nonce: [0; 32],
            worker_nonce: None,
            handshake_until: now,
            connect_at: Some(now),
            failures: 0,
            transport: String::new(),
            worker_id: String::new(),
            engine: String::new(),
            slots: 0,
            models: Vec::new(),
            outstanding: 0,
            running: 0,
            queued: 0,
            free_kv_tokens: 0,
            detail: String::new(),
        }
    }

    /// Whether proofs were exchanged on the present connection.
    pub fn proven(&self) -> bool {
        matches!(self.phase, WorkerPhase::Ready | WorkerPhase::Draining)
    }

    pub fn next_timer(&self, limits: LinkLimits, polled: MonoNs) -> Option<MonoNs> {
        let link = self.link.as_ref();
        let link_timer =
            link.map(|link| if self.proven() { link.next_pulse(limits) } else { self.handshake_until });
        let flush = link.filter(|link| link.is_waiting()).map(|_| polled.plus_ms(1));
        [self.connect_at, link_timer, flush].into_iter().flatten().min()
    }

    pub fn state(&self) -> WorkerState {
        WorkerState {
            name: self.name.clone(),
            phase: self.phase,
            transport: self.transport.clone(),
            worker_id: self.worker_id.clone(),
            engine: self.engine.clone(),
            slots: self.slots,
            models: self.models.clone(),
            outstanding: self.outstanding,
            running: self.running,
            queued: self.queued,
            free_kv_tokens: self.free_kv_tokens,
            detail: self.detail.clone(),
        }
    }
}
