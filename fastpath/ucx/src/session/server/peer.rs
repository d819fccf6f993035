//! One fast path's connection.

use crate::session::auth::Nonce;
use crate::session::counters::SessionCounters;
use crate::session::link::{Link, LinkLimits, Pulse};
use crate::session::types::PeerState;
use crate::transport::Transport;
use dpu_types::MonoNs;

/// How far the handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// HELLO phase 0 comes next.
    Opened,
    /// HELLO phase 1 comes next; the fast path's nonce.
    Greeted(Nonce),
    /// Proofs were exchanged.
    Ready,
}

pub struct Peer {
    pub link: Link,
    pub stage: Stage,
    pub nonce: Nonce,
    pub handshake_until: MonoNs,
    pub fastpath_id: String,
    pub transport: String,
    pub streams: u32,
}

impl Peer {
    pub fn next_timer(&self, limits: LinkLimits, polled: MonoNs) -> MonoNs {
        let timer =
            if self.stage == Stage::Ready { self.link.next_pulse(limits) } else { self.handshake_until };
        if self.link.is_waiting() {
            return timer.min(polled.plus_ms(1));
        }
        timer
    }

    /// Asks a silent peer; true where it is to be given up.
    pub fn is_lost<T: Transport>(
        &mut self,
        via: &mut T,
        counters: &mut SessionCounters,
        now: MonoNs,
        limits: LinkLimits,
    ) -> bool {
        match self.stage {
            Stage::Ready => self.link.pulse(via, counters, now, limits) == Pulse::Lost,
            _ => now >= self.handshake_until,
        }
    }

    pub fn state(&self) -> PeerState {
        PeerState {
            fastpath_id: self.fastpath_id.clone(),
            transport: self.transport.clone(),
            streams: self.streams,
        }
    }
}
