//! Who has a slot and who waits for one. No clock, no I/O.

use super::echo::Echo;
use super::job::JobState;
use super::shared::Command;
use dpu_types::MonoNs;
use dpu_ucx::{OwnedRequest, StreamKey};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A request in a slot.
pub enum Running {
    /// An engine of another thread answers it.
    Job {
        /// Shared with the engine.
        state: Arc<JobState>,
        /// Fragments and the end that wait for the transport, in their order.
        outbox: VecDeque<Command>,
    },
    /// The echo engine answers it.
    Echo(Box<Echo>),
}

/// A request without a slot.
pub struct Waiting {
    /// Which.
    pub stream: StreamKey,
    /// What it asks.
    pub request: OwnedRequest,
    /// When it came.
    pub since: MonoNs,
}

/// The slots and the queue before them.
pub struct Books {
    slots: usize,
    queue_max: usize,
    /// In slots now.
    pub running: HashMap<StreamKey, Running>,
    queue: VecDeque<Waiting>,
}

impl Books {
    /// Empty books.
    pub fn new(slots: usize, queue_max: usize) -> Self {
        Self { slots, queue_max, running: HashMap::new(), queue: VecDeque::new() }
    }

    /// Takes a request into the queue. False: it is full, with every slot taken.
    pub fn admit(&mut self, waiting: Waiting) -> bool {
        let room = self.slots.saturating_sub(self.running.len()) + self.queue_max;
        if self.queue.len() >= room {
            return false;
        }
        self.queue.push_back(waiting);
        true
    }

    /// The oldest waiting request if a slot is free. The caller puts it into `running`, or answers it.
    pub fn next(&mut self) -> Option<Waiting> {
        if self.running.len() >= self.slots {
            None
        } else {
            self.queue.pop_front()
        }
    }

    /// Takes a request out of the queue. False: it is not there.
    pub fn unqueue(&mut self, stream: StreamKey) -> bool {
        let before = self.queue.len();
        self.queue.retain(|waiting| waiting.stream != stream);
        self.queue.len() != before
    }

    /// Requests in slots, requests waiting.
    pub fn load(&self) -> (usize, usize) {
        (self.running.len(), self.queue.len())
    }

    /// Every request that has no end yet, running ones first.
    pub fn streams(&self) -> Vec<StreamKey> {
        self.running.keys().copied().chain(self.queue.iter().map(|waiting| waiting.stream)).collect()
    }
}
