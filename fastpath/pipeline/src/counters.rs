//! What one core has counted. The core locks its own counters once a request; whoever looks locks them all.

use crate::histogram::Histogram;
use crate::limit_hits::Quiet;
use crate::record::{Outcome, Record};
use dpu_types::{Endpoint, MonoNs, Reason};
use dpu_ucx::SessionCounters;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Distinct label sets that one core keeps for requests and for tokens. Tenants, models and arms come from the
/// plan, so this is met only by a plan with very many of them; what is beyond is counted under `_other`.
pub const SERIES_MAX: usize = 4096;
/// The label of what is beyond.
pub const OTHER: &str = "_other";

/// Labels of one series of `dpu_requests_total`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKey {
    /// Empty where nobody was authenticated.
    pub tenant: Arc<str>,
    /// Empty where the path is not served.
    pub endpoint: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
}

/// Labels of the token and latency series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArmKey {
    /// Tenant's name.
    pub tenant: Arc<str>,
    /// Our name of the model.
    pub model: Arc<str>,
    /// Canary arm.
    pub arm: Arc<str>,
}

/// Tokens and latencies of one tenant on one arm.
#[derive(Clone, Debug, Default)]
pub struct ArmTotals {
    /// Prompt tokens by the engine's count.
    pub prompt: u64,
    /// Of these from the prefix cache.
    pub cached: u64,
    /// Completion tokens handed to TLS.
    pub completion: u64,
    /// Generated for clients that had gone.
    pub wasted: u64,
    /// From head to first token.
    pub first_token: Histogram,
    /// From head to last byte.
    pub duration: Histogram,
}

/// Everything one core counts.
#[derive(Clone, Debug, Default)]
pub struct CoreCounters {
    /// Connections taken.
    pub connections: u64,
    /// Connections that never came to a request, by reason.
    pub connection_refusals: BTreeMap<Reason, u64>,
    /// Handshakes done, by protocol: h1, h2.
    pub handshakes: [u64; 2],
    /// Heads that were not accepted, by reason: no request began.
    pub head_refusals: BTreeMap<Reason, u64>,
    /// Limits that were hit without a refusal.
    pub quiet_limits: BTreeMap<Quiet, u64>,
    /// Requests begun.
    pub received: u64,
    /// Requests ended, by how.
    pub requests: BTreeMap<RequestKey, u64>,
    /// Tokens and latencies.
    pub arms: BTreeMap<ArmKey, ArmTotals>,
    /// Edits made by normalisation.
    pub edits: u64,
    /// Requests tried on a second worker.
    pub retries: u64,
    /// Worker frames; copied from the client of this core.
    pub frames: SessionCounters,
}

impl CoreCounters {
    /// Counts the end of a request under its one reason.
    pub fn ended(&mut self, record: &Record, reason: Reason, now: MonoNs) {
        let key = RequestKey {
            tenant: record.tenant.clone().unwrap_or_else(|| Arc::from("")),
            endpoint: record.endpoint.map_or("", Endpoint::label),
            outcome: Outcome::of(reason),
            reason,
        };
        *bounded(&mut self.requests, key, |key| key.tenant = Arc::from(OTHER)) += 1;
        self.edits += record.edits.len() as u64;
        self.retries += u64::from(record.retried);
        let (Some(tenant), Some(model), Some(arm)) = (&record.tenant, &record.model, &record.arm) else {
            return;
        };
        let key = ArmKey { tenant: Arc::clone(tenant), model: Arc::clone(model), arm: Arc::clone(arm) };
        bounded(&mut self.arms, key, |key| key.tenant = Arc::from(OTHER)).take(record, now);
    }

    /// Adds what another core has counted.
    pub fn add(&mut self, core: &Self) {
        self.connections += core.connections;
        self.received += core.received;
        self.edits += core.edits;
        self.retries += core.retries;
        self.frames.add(&core.frames);
        for (mine, theirs) in self.handshakes.iter_mut().zip(core.handshakes) {
            *mine += theirs;
        }
        add_all(&mut self.connection_refusals, &core.connection_refusals);
        add_all(&mut self.head_refusals, &core.head_refusals);
        add_all(&mut self.quiet_limits, &core.quiet_limits);
        add_all(&mut self.requests, &core.requests);
        for (key, totals) in &core.arms {
            self.arms.entry(key.clone()).or_default().add(totals);
        }
    }

    /// Requests ended in any way.
    #[must_use]
    pub fn ended_count(&self) -> u64 {
        self.requests.values().sum()
    }
}

impl ArmTotals {
    fn take(&mut self, record: &Record, now: MonoNs) {
        self.prompt += u64::from(record.prompt_tokens);
        self.cached += u64::from(record.cached_tokens);
        self.completion += u64::from(record.completion_tokens);
        self.wasted += u64::from(record.tokens_wasted);
        self.duration.observe(now.since(record.started));
        if let Some(first) = record.first_token {
            self.first_token.observe(first.since(record.started));
        }
    }

    fn add(&mut self, other: &Self) {
        self.prompt += other.prompt;
        self.cached += other.cached;
        self.completion += other.completion;
        self.wasted += other.wasted;
        self.first_token.add(&other.first_token);
        self.duration.add(&other.duration);
    }
}

/// The value of `key`, which becomes another one where the map is full and `key` is new.
fn bounded<K: Ord, V: Default>(
    map: &mut BTreeMap<K, V>,
    mut key: K,
    to_other: impl FnOnce(&mut K),
) -> &mut V {
    if map.len() >= SERIES_MAX && !map.contains_key(&key) {
        to_other(&mut key);
    }
    map.entry(key).or_default()
}

fn add_all<K: Ord + Clone>(mine: &mut BTreeMap<K, u64>, theirs: &BTreeMap<K, u64>) {
    for (key, count) in theirs {
        *mine.entry(key.clone()).or_default() += count;
    }
}

/// Counters that a core shares with whoever looks.
#[derive(Clone, Debug, Default)]
pub struct SharedCounters(Arc<Mutex<CoreCounters>>);

impl SharedCounters {
    /// The counters, locked. Never hold this over an await.
    pub fn lock(&self) -> MutexGuard<'_, CoreCounters> {
        // A panic while they were locked leaves plain numbers; they are still the best there is.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_in_a_full_map_is_counted_under_the_other_one() {
        let mut map: BTreeMap<u32, u64> = (1..=SERIES_MAX as u32).map(|key| (key, 1)).collect();
        *bounded(&mut map, 1, |key| *key = 0) += 1;
        *bounded(&mut map, 9_999, |key| *key = 0) += 1;
        *bounded(&mut map, 8_888, |key| *key = 0) += 1;
        assert_eq!(map.len(), SERIES_MAX + 1);
        assert_eq!((map[&1], map[&0]), (2, 2));
    }
}
