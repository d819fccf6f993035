//! How a plan wants workers chosen, with what outlives the plan: who waits, and which worker is warm for what.

use crate::health::HealthRules;
use crate::queue::QueueRules;
use crate::room::WaitingRoom;
use crate::warm::WarmMap;
use crate::worker::Worker;
use dpu_types::plan::Plan;
use std::sync::Arc;

/// The settings and the state that they apply to.
#[derive(Clone)]
pub struct Steering {
    /// Breakers and slow start.
    pub health: HealthRules,
    /// Bounds of the queue.
    pub queue: QueueRules,
    /// Requests for each slot of a worker that has no limit of its own.
    pub requests_per_slot: u32,
    /// A conversation unused for longer is cold.
    pub warm_ttl_ms: u64,
    /// Tokens that a warm worker may have more than the least.
    pub warm_lead_tokens_max: u64,
    /// Who met a conversation last, by indices of this plan.
    pub warm: Arc<WarmMap>,
    /// Who waits; one for the life of the process.
    pub room: Arc<WaitingRoom>,
    warm_entries_max: usize,
}

impl Steering {
    /// The settings of a checked plan; `previous` lends what outlives it. The map is made by `warmed`.
    #[must_use]
    pub fn of(plan: &Plan, previous: Option<&Self>) -> Self {
        let (steering, queue) = (dpu_policy::steering_of(plan), dpu_policy::queue_of(plan));
        let warm_entries_max = steering.warm_entries_max as usize;
        Self {
            health: HealthRules::of(&steering),
            queue: QueueRules::of(&queue),
            requests_per_slot: queue.requests_per_slot,
            warm_ttl_ms: steering.warm_ttl_ms.into(),
            warm_lead_tokens_max: steering.warm_lead_tokens_max.into(),
            warm: previous.map_or_else(|| Arc::new(WarmMap::new(warm_entries_max)), |p| Arc::clone(&p.warm)),
            room: previous.map_or_else(Arc::default, |p| Arc::clone(&p.room)),
            warm_entries_max,
        }
    }

    /// With the map's workers renumbered from the previous plan's list to this plan's, where they differ.
    #[must_use]
    pub fn warmed(mut self, previous: Option<(&Self, &[Worker])>, workers: &[Worker]) -> Self {
        let Some((before, old)) = previous else { return self };
        let same = |(a, b): (&Worker, &Worker)| Arc::ptr_eq(&a.ledger, &b.ledger);
        let unchanged = old.len() == workers.len() && old.iter().zip(workers).all(same);
        if unchanged && before.warm_entries_max == self.warm_entries_max {
            return self;
        }
        let renumber = |index: usize| {
            let ledger = &old.get(index)?.ledger;
            workers.iter().position(|worker| Arc::ptr_eq(&worker.ledger, ledger))
        };
        self.warm = Arc::new(before.warm.renumbered(self.warm_entries_max, renumber));
        self
    }
}
