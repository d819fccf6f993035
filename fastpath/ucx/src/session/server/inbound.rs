//! What arrives at the worker's side: transport events, then frames in their order.

use super::peer::{Peer, Stage};
use super::Server;
use crate::session::auth::{receipt_matches, Nonce, STRANGER_FRAME_BYTES_MAX};
use crate::session::link::{Link, Turn};
use crate::session::types::{OwnedRequest, ServerEvent, StreamKey};
use crate::transport::{PeerId, Transport, TransportEvent};
use bytes::Bytes;
use dpu_types::gen::worker_frame::{self as frame, Body, Cancel, Drain, Hello, Welcome, VERSION};
use dpu_types::wire::{Frame, ModelInfo};
use dpu_types::{MonoNs, Reason, RequestId, Trace};

impl<T: Transport> Server<T> {
    pub(super) fn on_transport(&mut self, event: TransportEvent, now: MonoNs, out: &mut Vec<ServerEvent>) {
        match event {
            TransportEvent::Accepted(id) => self.on_accepted(id, now),
            TransportEvent::Frame { peer, bytes } => self.on_frame(peer, &bytes, now, out),
            TransportEvent::Lost { peer, .. } => self.lose(peer, out),
            TransportEvent::Connected(_) => {}
        }
    }

    fn on_accepted(&mut self, id: PeerId, now: MonoNs) {
        if self.peers.len() >= self.config.peers_max {
            self.counters.peers_refused_full += 1;
            return self.transport.close(id);
        }
        let mut nonce: Nonce = [0; 32];
        (self.random)(&mut nonce);
        let peer = Peer {
            link: Link::new(id, now),
            stage: Stage::Opened,
            nonce,
            handshake_until: now.plus_ms(self.config.handshake_timeout_ms),
            fastpath_id: String::new(),
            transport: String::new(),
            streams: 0,
        };
        self.peers.insert(id, peer);
    }

    fn on_frame(&mut self, id: PeerId, bytes: &Bytes, now: MonoNs, out: &mut Vec<ServerEvent>) {
        let limits = self.limits();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Ok(parsed) = Frame::decode(bytes) else {
            self.counters.count_in(0, bytes.len());
            return self.misplaced(id, out);
        };
        self.counters.count_in(parsed.body.kind(), bytes.len());
        // The handshake goes one step at a time: nothing is kept for somebody who may be anybody.
        let stranger = peer.stage != Stage::Ready;
        if stranger && bytes.len() > STRANGER_FRAME_BYTES_MAX {
            return self.misplaced(id, out);
        }
        match peer.link.turn(parsed.sequence, bytes, now, limits) {
            Turn::Now => self.on_turn(id, bytes, &parsed, now, out),
            Turn::Held if stranger => return self.misplaced(id, out),
            Turn::Held => self.counters.reordered += 1,
            Turn::Duplicate => self.counters.duplicates += 1,
            Turn::TooFar => {
                self.counters.out_of_order += 1;
                return self.lose(id, out);
            }
        }
        while let Some(held) = self.peers.get_mut(&id).and_then(|peer| peer.link.next_held()) {
            match Frame::decode(&held) {
                Ok(parsed) => self.on_turn(id, &held, &parsed, now, out),
                Err(_) => return self.misplaced(id, out),
            }
        }
    }

    /// Bytes that are no frame, or a frame that has no place here: told nothing, closed.
    fn misplaced(&mut self, id: PeerId, out: &mut Vec<ServerEvent>) {
        match self.peers.get(&id) {
            Some(peer) if peer.stage == Stage::Ready => self.counters.malformed += 1,
            _ => self.counters.strangers += 1,
        }
        self.lose(id, out);
    }

    fn on_turn(
        &mut self,
        id: PeerId,
        bytes: &Bytes,
        parsed: &Frame<'_>,
        now: MonoNs,
        out: &mut Vec<ServerEvent>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let stream = StreamKey { peer: id, id: parsed.request_id };
        match (peer.stage, &parsed.body) {
            (Stage::Opened, Body::Hello(hello)) if hello.phase == 0 => self.on_hello(id, hello),
            (Stage::Greeted(nonce), Body::Hello(hello)) if hello.phase == 1 => {
                self.on_proof(id, nonce, hello, out)
            }
            (Stage::Ready, Body::Request(body)) => {
                self.on_request(stream, parsed.flags, body, bytes, now, out)
            }
            (Stage::Ready, Body::Cancel(body)) => self.on_cancel(stream, body, now, out),
            (Stage::Ready, Body::Credit(body)) => self.on_credit(stream, body.bytes, out),
            (Stage::Ready, Body::Ping(body)) => {
                peer.link.answer_ping(&mut self.transport, &mut self.counters, parsed.flags, body.token);
            }
            _ => self.misplaced(id, out),
        }
    }

    fn on_hello(&mut self, id: PeerId, hello: &Hello<'_>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.stage = Stage::Greeted(hello.nonce);
        let body = Body::Welcome(Welcome {
            phase: 0,
            protocol_version: u16::from(VERSION),
            nonce: peer.nonce,
            proof: self.key.worker_proof(&hello.nonce, &peer.nonce),
            worker_id: "",
            engine: "",
            slots: 0,
            models: Vec::new(),
        });
        // Not sent: the handshake runs into its timeout, or the transport says Lost.
        let _ = peer.link.send(&mut self.transport, &mut self.counters, RequestId::NONE, 0, &body);
    }

    fn on_proof(&mut self, id: PeerId, nonce: Nonce, hello: &Hello<'_>, out: &mut Vec<ServerEvent>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let proved = self.key.is_fastpath_proof(&peer.nonce, &nonce, &hello.proof);
        if !proved || hello.nonce != nonce || hello.protocol_version < u16::from(VERSION) {
            return self.misplaced(id, out);
        }
        self.counters.handshakes += 1;
        peer.stage = Stage::Ready;
        peer.fastpath_id = hello.fastpath_id.to_owned();
        peer.transport = self.transport.transport_name(id);
        self.welcome(id);
    }

    /// Says who we are, and what a fast path that just came would have been told before.
    fn welcome(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let models = self.config.models.iter().map(|model| ModelInfo {
            name: &model.name,
            digest: model.digest,
            quantisation: &model.quantisation,
            context_tokens: model.context_tokens,
        });
        let welcome = Body::Welcome(Welcome {
            phase: 1,
            protocol_version: u16::from(VERSION),
            nonce: peer.nonce,
            proof: [0; 32],
            worker_id: &self.config.worker_id,
            engine: &self.config.engine,
            slots: self.config.slots,
            models: models.collect(),
        });
        let load = Body::Load(self.load.clone());
        let drain = Body::Drain(Drain { reason: Reason::Draining as u16 });
        let news = [Some(&welcome), Some(&load), self.draining.then_some(&drain)];
        for body in news.into_iter().flatten() {
            // A peer that is gone says so by its Lost event.
            let _ = peer.link.send_or_keep(&mut self.transport, &mut self.counters, RequestId::NONE, 0, body);
        }
    }

    fn on_request(
        &mut self,
        stream: StreamKey,
        flags: u16,
        body: &frame::Request<'_>,
        bytes: &Bytes,
        now: MonoNs,
        out: &mut Vec<ServerEvent>,
    ) {
        if self.streams.contains_key(&stream) {
            return self.misplaced(stream.peer, out);
        }
        let full = self.streams.len() >= self.config.streams_max;
        self.open(stream);
        let refusal = if self.forget_cancel(stream) {
            // It never started: nothing sent, nothing wasted.
            let _ = self.cancelled(stream, 0, now);
            return;
        } else if self.draining {
            Some((Reason::Draining, "the worker drains"))
        } else if full {
            self.counters.requests_refused_full += 1;
            Some((Reason::WorkersBusy, "the worker has as many requests as it may have"))
        } else if !receipt_matches(body.body, &body.receipt_sha256) {
            self.counters.receipts_refused += 1;
            Some((Reason::WorkerRefused, "the body does not match its receipt"))
        } else {
            None
        };
        match refusal {
            // Not sent: the peer is gone, and its Lost event follows.
            Some((reason, detail)) => drop(self.fail(stream, reason, detail, true)),
            None => out.push(ServerEvent::Request { stream, request: own(stream.id, flags, body, bytes) }),
        }
    }

    fn on_cancel(&mut self, stream: StreamKey, body: &Cancel, now: MonoNs, out: &mut Vec<ServerEvent>) {
        match self.streams.get_mut(&stream) {
            Some(state) if state.cancelled.is_none() => {
                state.cancelled = Some(now);
                let reason = Reason::from_number(body.reason).unwrap_or(Reason::Internal);
                out.push(ServerEvent::Cancel { stream, reason });
            }
            Some(_) => {}
            None => self.remember_cancel(stream, now),
        }
    }

    /// Its REQUEST may still come, or its end has crossed the CANCEL; only time tells.
    fn remember_cancel(&mut self, stream: StreamKey, now: MonoNs) {
        if self.early_cancels.len() >= self.config.early_cancels_max {
            self.counters.early_cancels_dropped += 1;
            self.early_cancels.pop_front();
        }
        self.early_cancels.push_back((now, stream));
    }

    fn forget_cancel(&mut self, stream: StreamKey) -> bool {
        let before = self.early_cancels.len();
        self.early_cancels.retain(|(_, key)| *key != stream);
        self.early_cancels.len() != before
    }
}

fn own(id: RequestId, flags: u16, body: &frame::Request<'_>, bytes: &Bytes) -> OwnedRequest {
    OwnedRequest {
        id,
        flags,
        deadline_ms: body.deadline_ms,
        priority: body.priority,
        epoch: body.epoch,
        token_budget: body.token_budget,
        tenant_hash: body.tenant_hash,
        receipt_sha256: body.receipt_sha256,
        receipt_edits: body.receipt_edits,
        arm: body.arm.to_owned(),
        model: body.model.to_owned(),
        trace: Trace {
            trace_id: body.trace_id,
            span_id: body.span_id,
            flags: body.trace_flags,
            state: (!body.tracestate.is_empty()).then(|| body.tracestate.into()),
        },
        body: bytes.slice_ref(body.body),
    }
}
