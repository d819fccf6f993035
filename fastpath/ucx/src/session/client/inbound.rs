//! What arrives at the fast path's side: transport events, then frames in their order.

use super::{Client, Event, Pending};
use crate::session::auth::{SharedKey, STRANGER_FRAME_BYTES_MAX};
use crate::session::link::Turn;
use crate::session::types::{tokens_frame_bytes, Summary, WorkerPhase};
use crate::transport::{PeerId, Transport, TransportEvent};
use bytes::Bytes;
use dpu_types::gen::worker_frame::{
    self as frame, Body, Hello, FLAG_FAIL_RETRY, FLAG_TOKENS_FINISH, VERSION,
};
use dpu_types::wire::{Frame, FrameError};
use dpu_types::{MonoNs, Reason, RequestId};

/// Tokens that an engine's chat template may add to a prompt: a system prompt of its own, instructions for tools.
const TEMPLATE_TOKENS_MAX: usize = 65_536;

impl<T: Transport> Client<T> {
    pub(super) fn on_transport(&mut self, event: TransportEvent, now: MonoNs, out: &mut Vec<Event>) {
        let Some(&at) = self.peers.get(&event.peer()) else { return };
        match event {
            TransportEvent::Connected(_) => self.on_connected(at, out),
            // A client does not listen; whoever comes is sent away.
            TransportEvent::Accepted(peer) => self.transport.close(peer),
            TransportEvent::Frame { peer, bytes } => self.on_frame(at, peer, &bytes, now, out),
            TransportEvent::Lost { why, .. } => {
                self.lose(at, WorkerPhase::Lost, Reason::WorkerLost, &why, now, out);
            }
        }
    }

    fn on_connected(&mut self, at: usize, out: &mut Vec<Event>) {
        let Some(slot) = self.slots[at].as_mut() else { return };
        slot.phase = WorkerPhase::Handshaking;
        self.hello(at, 0, [0; 32]);
        self.changed(at, out);
    }

    fn hello(&mut self, at: usize, phase: u8, proof: [u8; 32]) {
        let Some(slot) = self.slots[at].as_mut() else { return };
        let Some(link) = slot.link.as_mut() else { return };
        let body = Body::Hello(Hello {
            phase,
            protocol_version: u16::from(VERSION),
            // Who we are is for those only who have proved themselves.
            fastpath_id: if phase == 0 { "" } else { &self.config.fastpath_id },
            nonce: slot.nonce,
            proof,
        });
        // Not sent: the handshake runs into its timeout, or the transport says Lost.
        let _ = link.send(&mut self.transport, &mut self.counters, RequestId::NONE, 0, &body);
    }

    fn changed(&self, at: usize, out: &mut Vec<Event>) {
        if let Some(worker) = self.slots[at].as_ref().and_then(|slot| slot.listed) {
            out.push(Event::WorkerChanged { worker });
        }
    }

    fn on_frame(&mut self, at: usize, peer: PeerId, bytes: &Bytes, now: MonoNs, out: &mut Vec<Event>) {
        let parsed = match Frame::decode(bytes) {
            Ok(parsed) => parsed,
            Err(error) => return self.on_malformed(at, bytes.len(), error, now, out),
        };
        self.counters.count_in(parsed.body.kind(), bytes.len());
        let limits = self.limits();
        let Some(slot) = self.slots[at].as_mut() else { return };
        // Until its first proof nothing is kept for a peer that may be anybody. After it frames may overtake WELCOME.
        let stranger = !slot.proven() && slot.worker_nonce.is_none();
        let Some(link) = slot.link.as_mut() else { return };
        if stranger && bytes.len() > STRANGER_FRAME_BYTES_MAX {
            return self.stranger(at, "a large frame", now, out);
        }
        match link.turn(parsed.sequence, bytes, now, limits) {
            Turn::Now => self.on_turn(at, bytes, &parsed, now, out),
            Turn::Held if stranger => return self.stranger(at, "a frame out of turn", now, out),
            Turn::Held => self.counters.reordered += 1,
            Turn::Duplicate => self.counters.duplicates += 1,
            Turn::TooFar => {
                self.counters.out_of_order += 1;
                let why = "a frame came too far ahead of its turn";
                return self.lose(at, WorkerPhase::Lost, Reason::FrameOutOfOrder, why, now, out);
            }
        }
        // The slot may have been lost, or the peer replaced, by the frame before.
        while self.peers.get(&peer) == Some(&at) {
            let link = self.slots[at].as_mut().and_then(|slot| slot.link.as_mut());
            let Some(held) = link.and_then(super::super::link::Link::next_held) else { return };
            match Frame::decode(&held) {
                Ok(parsed) => self.on_turn(at, &held, &parsed, now, out),
                Err(error) => return self.on_malformed(at, held.len(), error, now, out),
            }
        }
    }

    fn on_malformed(&mut self, at: usize, size: usize, error: FrameError, now: MonoNs, out: &mut Vec<Event>) {
        self.counters.count_in(0, size);
        let proven = self.slots[at].as_ref().is_some_and(super::slot::Slot::proven);
        *(if proven { &mut self.counters.malformed } else { &mut self.counters.strangers }) += 1;
        let phase =
            if matches!(error, FrameError::Version(_)) { WorkerPhase::Refused } else { WorkerPhase::Lost };
        self.lose(at, phase, Reason::FrameMalformed, &error.to_string(), now, out);
    }

    /// Something that a peer sent before it had proved the key, and that is not its next step of the handshake.
    fn stranger(&mut self, at: usize, name: &str, now: MonoNs, out: &mut Vec<Event>) {
        self.counters.strangers += 1;
        let why = format!("{name} before it had proved the key");
        self.lose(at, WorkerPhase::Refused, Reason::WorkerUnauthenticated, &why, now, out);
    }

    fn misplaced(&mut self, at: usize, name: &str, now: MonoNs, out: &mut Vec<Event>) {
        self.counters.malformed += 1;
        let why = format!("{name} has no place here");
        self.lose(at, WorkerPhase::Lost, Reason::FrameMalformed, &why, now, out);
    }

    fn on_turn(&mut self, at: usize, bytes: &Bytes, parsed: &Frame<'_>, now: MonoNs, out: &mut Vec<Event>) {
        let proven = self.slots[at].as_ref().is_some_and(super::slot::Slot::proven);
        let id = parsed.request_id;
        match &parsed.body {
            Body::Welcome(welcome) if !proven => self.on_welcome(at, welcome, now, out),
            body if !proven => self.stranger(at, body.name(), now, out),
            Body::Tokens(body) => self.on_tokens((at, id), parsed.flags, body, bytes, now, out),
            Body::Result(body) => {
                let choices = bytes.slice_ref(body.choices);
                self.on_answer((at, id), summary_of_result(body), Some(choices), now, out);
            }
            Body::End(body) => self.on_answer((at, id), summary_of_end(body), None, now, out),
            Body::Fail(body) => self.on_fail((at, id), parsed.flags, body, now, out),
            Body::Cancelled(body) => self.on_cancelled((at, id), body, out),
            Body::Load(body) => self.on_load(at, body, out),
            Body::Drain(_) => self.on_drain(at, out),
            Body::Ping(body) => {
                if let Some(link) = self.slots[at].as_mut().and_then(|slot| slot.link.as_mut()) {
                    link.answer_ping(&mut self.transport, &mut self.counters, parsed.flags, body.token);
                }
            }
            body => self.misplaced(at, body.name(), now, out),
        }
    }

    fn on_welcome(&mut self, at: usize, welcome: &frame::Welcome<'_>, now: MonoNs, out: &mut Vec<Event>) {
        let Some(slot) = self.slots[at].as_mut() else { return };
        if welcome.protocol_version != u16::from(VERSION) {
            let why = format!("it speaks version {}", welcome.protocol_version);
            return self.lose(at, WorkerPhase::Refused, Reason::WorkerVersion, &why, now, out);
        }
        let proves = |key: &&SharedKey| key.is_worker_proof(&slot.nonce, &welcome.nonce, &welcome.proof);
        // The key that the worker proved is the one that it wants proved.
        let key = self.keys.iter().find(proves).filter(|_| welcome.phase == 0);
        match (welcome.phase, slot.worker_nonce, key) {
            (0, None, Some(key)) => {
                let proof = key.fastpath_proof(&welcome.nonce, &slot.nonce);
                slot.worker_nonce = Some(welcome.nonce);
                self.hello(at, 1, proof);
            }
            (0, None, None) => {
                self.counters.strangers += 1;
                let why = Reason::WorkerUnauthenticated.info().message;
                self.lose(at, WorkerPhase::Refused, Reason::WorkerUnauthenticated, why, now, out);
            }
            (1, Some(nonce), _) if nonce == welcome.nonce => self.on_ready(at, welcome, out),
            _ => self.stranger(at, "a second WELCOME", now, out),
        }
    }

    fn on_ready(&mut self, at: usize, welcome: &frame::Welcome<'_>, out: &mut Vec<Event>) {
        let Some(slot) = self.slots[at].as_mut() else { return };
        self.counters.handshakes += 1;
        slot.phase = WorkerPhase::Ready;
        slot.failures = 0;
        slot.detail.clear();
        slot.worker_id = welcome.worker_id.to_owned();
        slot.engine = welcome.engine.to_owned();
        slot.slots = welcome.slots;
        slot.models = welcome.models.iter().map(|model| model.name.to_owned()).collect();
        slot.transport =
            slot.link.as_ref().map(|link| self.transport.transport_name(link.peer)).unwrap_or_default();
        self.changed(at, out);
    }

    fn on_load(&mut self, at: usize, load: &frame::Load, out: &mut Vec<Event>) {
        let Some(slot) = self.slots[at].as_mut() else { return };
        (slot.running, slot.queued) = (load.running, load.queued);
        slot.free_kv_tokens = load.free_kv_tokens;
        self.changed(at, out);
    }

    fn on_drain(&mut self, at: usize, out: &mut Vec<Event>) {
        let Some(slot) = self.slots[at].as_mut() else { return };
        slot.phase = WorkerPhase::Draining;
        "the worker drains".clone_into(&mut slot.detail);
        self.changed(at, out);
    }

    /// Ends a request, if it is this worker's: one worker cannot end what another one does.
    fn end_of(&mut self, at: usize, id: RequestId) -> Option<Pending> {
        self.requests.get(&id).filter(|pending| pending.slot == at)?;
        self.end(id)
    }

    fn on_tokens(
        &mut self,
        (at, id): (usize, RequestId),
        flags: u16,
        body: &frame::Tokens<'_>,
        bytes: &Bytes,
        now: MonoNs,
        out: &mut Vec<Event>,
    ) {
        let Some(pending) = self.requests.get_mut(&id).filter(|pending| pending.slot == at) else {
            self.counters.late_frames += 1;
            return;
        };
        if pending.received_bytes >= pending.granted {
            self.counters.credit_exceeded += 1;
            let why = "a stream had more bytes than its credit";
            return self.lose(at, WorkerPhase::Lost, Reason::CreditExceeded, why, now, out);
        }
        pending.received_bytes += bytes.len() as u64;
        pending.received = true;
        let token_count = at_most(body.token_count, bytes.len(), &mut self.counters.token_lies);
        pending.tokens = pending.tokens.saturating_add(token_count);
        if pending.cancelled.is_some() {
            return;
        }
        let finish = flags & FLAG_TOKENS_FINISH != 0;
        out.push(Event::Tokens { id, token_count, choices: bytes.slice_ref(body.choices), finish });
    }

    /// END and RESULT. One that crosses our CANCEL ends the request as cancelled: it has stopped by itself.
    fn on_answer(
        &mut self,
        (at, id): (usize, RequestId),
        mut summary: Summary,
        choices: Option<Bytes>,
        now: MonoNs,
        out: &mut Vec<Event>,
    ) {
        let Some(pending) = self.end_of(at, id) else {
            self.counters.late_frames += 1;
            return;
        };
        self.believe(&mut summary, &pending, choices.as_ref());
        out.push(match (pending.cancelled, choices) {
            (Some(since), choices) => Event::Cancelled {
                id,
                tokens_sent: pending.tokens,
                // A whole answer that nobody wants any more was never sent as tokens.
                tokens_wasted: choices.map_or(0, |_| summary.completion_tokens),
                cancel_us: now.since(since) / 1000,
            },
            (None, Some(choices)) => Event::Result { id, summary, choices },
            (None, None) => Event::End { id, summary },
        });
    }

    /// Cuts counts to what can be: a token has a byte at least, in the frames of the answer as in the prompt.
    fn believe(&mut self, summary: &mut Summary, pending: &Pending, choices: Option<&Bytes>) {
        let answer =
            choices.map_or(pending.received_bytes as usize, |choices| tokens_frame_bytes(choices.len()));
        let lies = &mut self.counters.token_lies;
        summary.completion_tokens = at_most(summary.completion_tokens, answer, lies);
        let prompt = pending.body_bytes.saturating_add(TEMPLATE_TOKENS_MAX);
        summary.prompt_tokens = at_most(summary.prompt_tokens, prompt, lies);
        summary.cached_tokens = summary.cached_tokens.min(summary.prompt_tokens);
    }

    fn on_fail(
        &mut self,
        (at, id): (usize, RequestId),
        flags: u16,
        body: &frame::Fail<'_>,
        now: MonoNs,
        out: &mut Vec<Event>,
    ) {
        let Some(pending) = self.end_of(at, id) else {
            self.counters.late_frames += 1;
            return;
        };
        if let Some(since) = pending.cancelled {
            let cancel_us = now.since(since) / 1000;
            let tokens_sent = pending.tokens;
            return out.push(Event::Cancelled { id, tokens_sent, tokens_wasted: 0, cancel_us });
        }
        let reason = Reason::from_number(body.reason).unwrap_or(Reason::WorkerFailed);
        let retry = flags & FLAG_FAIL_RETRY != 0 && !pending.received;
        out.push(Event::Fail { id, reason, detail: body.detail.to_owned(), retry });
    }

    fn on_cancelled(&mut self, (at, id): (usize, RequestId), body: &frame::Cancelled, out: &mut Vec<Event>) {
        let Some(pending) = self.end_of(at, id) else {
            self.counters.late_frames += 1;
            return;
        };
        if pending.cancelled.is_none() {
            let detail = "the worker stopped it unasked".to_owned();
            return out.push(Event::Fail { id, reason: Reason::WorkerFailed, detail, retry: false });
        }
        out.push(Event::Cancelled {
            id,
            tokens_sent: body.tokens_sent,
            tokens_wasted: body.tokens_wasted,
            cancel_us: body.cancel_us,
        });
    }
}

/// A count that cannot be is counted as a lie and cut.
fn at_most(count: u32, max: usize, lies: &mut u64) -> u32 {
    let max = u32::try_from(max).unwrap_or(u32::MAX);
    *lies += u64::from(count > max);
    count.min(max)
}

fn summary_of_result(body: &frame::Result<'_>) -> Summary {
    Summary {
        finish: body.finish.to_owned(),
        prompt_tokens: body.prompt_tokens,
        cached_tokens: body.cached_tokens,
        completion_tokens: body.completion_tokens,
        queue_us: body.queue_us,
        prefill_us: body.prefill_us,
        decode_us: body.decode_us,
    }
}

fn summary_of_end(body: &frame::End<'_>) -> Summary {
    Summary {
        finish: body.finish.to_owned(),
        prompt_tokens: body.prompt_tokens,
        cached_tokens: body.cached_tokens,
        completion_tokens: body.completion_tokens,
        queue_us: body.queue_us,
        prefill_us: body.prefill_us,
        decode_us: body.decode_us,
    }
}
