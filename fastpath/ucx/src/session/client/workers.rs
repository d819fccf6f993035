//! The list of workers, their connections and timers.

use super::slot::Slot;
use super::{Client, Event, Pending};
use crate::session::link::Pulse;
use crate::session::types::WorkerPhase;
use crate::transport::Transport;
use dpu_types::{MonoNs, Reason, RequestId};
use std::net::SocketAddr;

impl<T: Transport> Client<T> {
    pub(super) fn relist(&mut self, workers: &[(String, SocketAddr)], now: MonoNs) {
        for slot in self.slots.iter_mut().flatten() {
            slot.listed = None;
        }
        self.listed.clear();
        for (index, (name, address)) in workers.iter().enumerate() {
            let at = self.find_or_add(name, *address, index, now);
            self.listed.push(at);
        }
        self.retire(now);
    }

    /// A slot serves one index: a list that names the same worker twice gets two connections.
    fn find_or_add(&mut self, name: &str, address: SocketAddr, index: usize, now: MonoNs) -> usize {
        let same = |slot: &Slot| slot.listed.is_none() && slot.name == name && slot.address == address;
        let found = self.slots.iter().position(|slot| slot.as_ref().is_some_and(same));
        let at = found.or_else(|| self.slots.iter().position(Option::is_none)).unwrap_or(self.slots.len());
        if at == self.slots.len() {
            self.slots.push(None);
        }
        let slot = self.slots[at].get_or_insert_with(|| Slot::new(name.to_owned(), address, index, now));
        slot.listed = Some(index);
        if slot.link.is_none() && slot.connect_at.is_none() {
            slot.connect_at = Some(now);
        }
        at
    }

    /// Lets unlisted workers go: idle ones at once, and the first ones where too many drain.
    fn retire(&mut self, now: MonoNs) {
        let unlisted = |slot: &&Slot| slot.listed.is_none();
        let mut excess = self
            .slots
            .iter()
            .flatten()
            .filter(unlisted)
            .count()
            .saturating_sub(self.config.draining_workers_max);
        for at in 0..self.slots.len() {
            let Some(slot) = self.slots[at].as_ref().filter(unlisted) else { continue };
            if slot.outstanding == 0 {
                self.remove(at);
            } else if excess > 0 {
                excess -= 1;
                self.counters.peers_refused_full += 1;
                let mut early = std::mem::take(&mut self.early);
                self.lose(at, WorkerPhase::Lost, Reason::WorkerLost, "no longer listed", now, &mut early);
                self.early = early;
            }
        }
    }

    pub(super) fn remove(&mut self, at: usize) {
        if let Some(link) = self.slots[at].take().and_then(|slot| slot.link) {
            self.peers.remove(&link.peer);
            self.transport.close(link.peer);
        }
    }

    /// Ends the connection of a slot: its requests fail, and it is tried again later where it is listed.
    pub(super) fn lose(
        &mut self,
        at: usize,
        phase: WorkerPhase,
        reason: Reason,
        detail: &str,
        now: MonoNs,
        out: &mut Vec<Event>,
    ) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        if let Some(link) = slot.link.take() {
            self.peers.remove(&link.peer);
            if link.is_silent() {
                self.transport.abandon(link.peer);
            } else {
                self.transport.close(link.peer);
            }
        }
        if slot.proven() {
            self.counters.peers_lost += 1;
        } else if slot.phase == WorkerPhase::Handshaking {
            self.counters.handshake_failures += 1;
        }
        slot.phase = phase;
        slot.outstanding = 0;
        detail.clone_into(&mut slot.detail);
        let (failures, listed) = (slot.failures, slot.listed);
        slot.failures = failures.saturating_add(1);
        self.fail_requests(at, reason, detail, out);
        let wait_ms = self.back_off_ms(phase, failures);
        match (listed, self.slots[at].as_mut()) {
            (Some(worker), Some(slot)) => {
                slot.connect_at = Some(now.plus_ms(wait_ms));
                out.push(Event::WorkerChanged { worker });
            }
            _ => self.slots[at] = None,
        }
    }

    fn fail_requests(&mut self, at: usize, reason: Reason, detail: &str, out: &mut Vec<Event>) {
        let lost = |(id, pending): (&RequestId, &Pending)| {
            (pending.slot == at).then_some((*id, !pending.received && pending.cancelled.is_none()))
        };
        let ended: Vec<(RequestId, bool)> = self.requests.iter().filter_map(lost).collect();
        for (id, retry) in ended {
            self.requests.remove(&id);
            out.push(Event::Fail { id, reason, detail: detail.to_owned(), retry });
        }
    }

    /// Doubles with each failure, half of it random so that fast paths do not come back in step.
    fn back_off_ms(&mut self, phase: WorkerPhase, failures: u32) -> u64 {
        let longest = self.config.reconnect_max_ms.max(1);
        if phase == WorkerPhase::Refused {
            return longest;
        }
        let doubled = self.config.reconnect_min_ms.max(1).saturating_mul(1 << failures.min(20));
        let base = doubled.min(longest);
        let mut dice = [0; 8];
        (self.random)(&mut dice);
        base - u64::from_le_bytes(dice) % (base / 2 + 1)
    }

    pub(super) fn run_timers(&mut self, now: MonoNs, out: &mut Vec<Event>) {
        for at in 0..self.slots.len() {
            self.run_slot_timers(at, now, out);
        }
        while let Some(&(until, id)) = self.cancels.front() {
            if until > now {
                break;
            }
            self.cancels.pop_front();
            self.give_up_cancel(id, now, out);
        }
    }

    fn run_slot_timers(&mut self, at: usize, now: MonoNs, out: &mut Vec<Event>) {
        let limits = self.limits();
        let Some(slot) = self.slots[at].as_mut() else { return };
        if slot.connect_at.is_some_and(|when| now >= when) {
            return self.connect(at, now, out);
        }
        let proven = slot.proven();
        let Some(link) = slot.link.as_mut() else { return };
        link.flush(&mut self.transport, &mut self.counters);
        if link.kept_frames() > self.config.control_backlog_frames_max {
            self.counters.backlog_full += 1;
            return self.lose(at, WorkerPhase::Lost, Reason::WorkerLost, "too many frames wait", now, out);
        }
        if !proven && now >= slot.handshake_until {
            return self.lose(at, WorkerPhase::Lost, Reason::WorkerLost, "no handshake in time", now, out);
        }
        if proven && link.pulse(&mut self.transport, &mut self.counters, now, limits) == Pulse::Lost {
            return self.lose(at, WorkerPhase::Lost, Reason::WorkerLost, "no answer to PING", now, out);
        }
        if slot.listed.is_none() && slot.outstanding == 0 {
            self.remove(at);
        }
    }

    fn connect(&mut self, at: usize, now: MonoNs, out: &mut Vec<Event>) {
        let Some(slot) = self.slots[at].as_mut() else { return };
        slot.connect_at = None;
        slot.worker_nonce = None;
        slot.handshake_until = now.plus_ms(self.config.connect_timeout_ms);
        (self.random)(&mut slot.nonce);
        self.counters.reconnects += u64::from(slot.failures > 0);
        match self.transport.connect(slot.address) {
            Ok(peer) => {
                slot.phase = WorkerPhase::Connecting;
                slot.link = Some(super::super::link::Link::new(peer, now));
                self.peers.insert(peer, at);
            }
            Err(error) => {
                let why = error.to_string();
                self.lose(at, WorkerPhase::Lost, Reason::WorkerLost, &why, now, out);
            }
        }
    }

    fn give_up_cancel(&mut self, id: RequestId, now: MonoNs, out: &mut Vec<Event>) {
        // An id that ended meanwhile may have been minted again only by breaking its promise to be unique.
        let overdue = |pending: &Pending| {
            let timeout_ms = u64::from(self.config.cancel_timeout_ms);
            pending.cancelled.is_some_and(|at| now >= at.plus_ms(timeout_ms))
        };
        if !self.requests.get(&id).is_some_and(overdue) {
            return;
        }
        self.counters.cancels_timed_out += 1;
        self.end(id);
        let detail = "the worker did not confirm that it stopped".to_owned();
        out.push(Event::Fail { id, reason: Reason::WorkerTimeout, detail, retry: false });
    }

    /// Forgets a request that has ended.
    pub(super) fn end(&mut self, id: RequestId) -> Option<Pending> {
        let pending = self.requests.remove(&id)?;
        if let Some(slot) = self.slots.get_mut(pending.slot).and_then(Option::as_mut) {
            slot.outstanding = slot.outstanding.saturating_sub(1);
        }
        Some(pending)
    }
}
