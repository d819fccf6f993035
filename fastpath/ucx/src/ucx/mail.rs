//! What UCX's callbacks left, turned into events.

use super::options::Reach;
use super::{UcxTransport, POOL_BUFFER_BYTES_MAX};
use crate::ffi::{ConnectionRequest, Mail, RendezvousHandle, Status};
use crate::transport::{PeerId, TransportEvent};
use bytes::Bytes;
use dpu_types::gen::worker_frame::FRAME_BYTES_MAX;

impl UcxTransport {
    fn on_asked(&mut self, request: ConnectionRequest) {
        if self.peers.len() >= self.config.peers_max {
            self.counters.receives_refused += 1;
            if let Some(listener) = &self.listener {
                listener.reject(request);
            }
            return;
        }
        let watched = self.listening == Reach::Wide;
        let id = self.new_peer();
        let Ok(at) = self.lane_for(id, self.listening) else { return };
        let accepted = self.lanes[at].as_ref().map(|state| state.lane.accept(id, request, watched));
        match accepted {
            Some(Ok(endpoint)) => {
                self.adopt(id, at, endpoint, None);
                self.early.push(TransportEvent::Accepted(id));
            }
            _ if watched => {}
            _ => self.drop_lane(at),
        }
    }

    pub(super) fn on_mail(&mut self, mail: Mail) {
        match mail {
            Mail::Frame { peer, bytes } => self.deliver(peer, bytes),
            Mail::Announced { peer, handle } => self.on_announced(peer, &handle),
            Mail::TooLarge { peer, size } => {
                self.counters.receives_refused += 1;
                self.lose(peer, &format!("a frame of {size} bytes, {FRAME_BYTES_MAX} are allowed"));
            }
            Mail::Sent { peer, buffer, status } => self.on_sent(peer, buffer, status),
            Mail::Fetched { peer, bytes, status } => self.on_fetched(peer, bytes, status),
            Mail::Failed { peer, status } => self.lose(peer, &status.to_string()),
            Mail::Closed { peer } => self.on_closed(peer),
            Mail::Asked(request) => self.on_asked(request),
        }
    }

    fn deliver(&mut self, peer: PeerId, bytes: Vec<u8>) {
        if let Some(state) = self.peers.get_mut(&peer).filter(|state| !state.closing) {
            state.heard = true;
            self.early.push(TransportEvent::Frame { peer, bytes: Bytes::from(bytes) });
        }
    }

    fn on_announced(&mut self, id: PeerId, handle: &RendezvousHandle) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.closing) else { return };
        if peer.bytes_receiving + handle.size > self.config.peer_bytes_receiving_max {
            self.counters.receives_refused += 1;
            return self.lose(id, "too many bytes announced at once");
        }
        peer.bytes_receiving += handle.size;
        if let Some(state) = &self.lanes[peer.lane] {
            state.lane.receive(id, handle);
        }
    }

    fn on_fetched(&mut self, id: PeerId, bytes: Vec<u8>, status: Status) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.bytes_receiving = peer.bytes_receiving.saturating_sub(bytes.len());
        }
        if status.is_ok() {
            self.deliver(id, bytes);
        } else {
            self.lose(id, &format!("a large frame did not come: {status}"));
        }
    }

    fn on_sent(&mut self, id: PeerId, buffer: Vec<u8>, status: Status) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.bytes_in_flight -= buffer.len().min(peer.bytes_in_flight);
        }
        self.counters.bytes_in_flight -= (buffer.len() as u64).min(self.counters.bytes_in_flight);
        self.recycle(buffer);
        if !status.is_ok() {
            self.lose(id, &format!("a frame was not sent: {status}"));
        }
    }

    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.pool.len() < self.config.pool_buffers_max && buffer.capacity() <= POOL_BUFFER_BYTES_MAX {
            buffer.clear();
            self.pool.push(buffer);
        }
    }

    pub(super) fn on_closed(&mut self, id: PeerId) {
        let Some(peer) = self.peers.remove(&id) else { return };
        let Some(state) = &self.lanes[peer.lane] else { return };
        state.lane.forget(&peer.endpoint);
        if state.sole {
            self.drop_lane(peer.lane);
        }
    }
}
