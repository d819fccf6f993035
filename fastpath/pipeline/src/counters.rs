//! What one core has counted. The core locks its own counters once a request; whoever looks locks them all.

use crate::handshakes::Handshakes;
use crate::histogram::{Histogram, CANCEL, DURATION, FIRST_TOKEN, PER_TOKEN, TOKENS};
use crate::limit_hits::Quiet;
use crate::record::{Outcome, Record};
use dpu_policy::{TokenCounts, Why};
use dpu_types::{Endpoint, MonoNs, Reason};
use dpu_ucx::SessionCounters;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Distinct label sets that one core keeps of a metric where the plan does not say: `telemetry.series_max`. Tenants, models
/// and arms come from the plan, so this is met only by a plan with very many; what is beyond is counted under `_other`.
pub const SERIES_MAX_DEFAULT: usize = 1024;
/// The label of what is beyond.
pub const OTHER: &str = "_other";

/// Labels of one series of `dpu_requests_total`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKey {
    /// `None` where nobody was authenticated.
    pub tenant: Option<Arc<str>>,
    /// `None` where the path is not served.
    pub endpoint: Option<Endpoint>,
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
    /// What was asked for.
    pub endpoint: Endpoint,
}

/// Tokens and latencies of one tenant on one arm.
#[derive(Clone, Debug)]
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
    /// From the first token to the last byte, for each further token of answers that were whole.
    pub per_token: Histogram,
    /// From head to last byte, of answers that were whole.
    pub duration: Histogram,
    /// The same of those that were not, by reason: few, and none in good times.
    pub failed: BTreeMap<Reason, Histogram>,
    /// Prompt tokens of a request.
    pub input: Histogram,
    /// Completion tokens of a request.
    pub output: Histogram,
}

/// Where the time of requests that a worker answered went: sums, so that a request costs four additions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// Requests that came to a first token.
    pub count: u64,
    /// From the accepted head to the worker: body, policy, choice; without the wait.
    pub receive_ns: u64,
    /// In our queue because all workers were busy.
    pub wait_ns: u64,
    /// In the worker's queue, by its own clock.
    pub queue_ns: u64,
    /// From the worker's slot to the first token, wires included.
    pub prefill_ns: u64,
    /// From the first token to the last byte handed to TLS.
    pub generate_ns: u64,
}

/// Everything one core counts.
#[derive(Clone, Debug, Default)]
pub struct CoreCounters {
    /// Connections taken.
    pub connections: u64,
    /// Connections that never came to a request, by reason.
    pub connection_refusals: BTreeMap<Reason, u64>,
    /// Handshakes done.
    pub handshakes: Handshakes,
    /// Verified JWTs; copied from the cache of this core.
    pub tokens: TokenCounts,
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
    /// Where the time went.
    pub stages: Stages,
    /// Label sets of a metric at most; 0 stands for the default.
    pub series_max: usize,
    /// Observations that went to `_other`: of `requests`, of `arms`.
    pub capped: [u64; 2],
    /// Edits made by normalisation.
    pub edits: u64,
    /// Requests tried on a second worker.
    pub retries: u64,
    /// Requests whose arm a tester chose.
    pub arm_overrides: u64,
    /// Requests by why their worker was chosen, in the order of `Why::ALL`.
    pub choices: [u64; Why::ALL.len()],
    /// Worker frames; copied from the client of this core.
    pub frames: SessionCounters,
    /// How long cancelled requests took to stop.
    pub cancels: CancelTimes,
}

/// From CANCEL to CANCELLED, by the clock of the worker.
#[derive(Clone, Debug)]
pub struct CancelTimes(pub Histogram);

impl Default for CancelTimes {
    fn default() -> Self {
        Self(Histogram::new(&CANCEL))
    }
}

impl CoreCounters {
    /// Counts the end of a request under its one reason.
    pub fn ended(&mut self, record: &Record, reason: Reason, now: MonoNs) {
        let series_max = if self.series_max == 0 { SERIES_MAX_DEFAULT } else { self.series_max };
        let (tenant, endpoint) = (record.tenant.clone(), record.endpoint);
        let key = RequestKey { tenant, endpoint, outcome: Outcome::of(reason), reason };
        let (count, capped) = bounded(&mut self.requests, series_max, key, RequestKey::become_other);
        *count += 1;
        self.capped[0] += u64::from(capped);
        self.edits += record.edits.len() as u64;
        if let Some(us) = record.cancel_us {
            self.cancels.0.observe(us.saturating_mul(1000));
        }
        self.retries += u64::from(record.retried);
        self.arm_overrides += u64::from(record.arm_overridden);
        for (count, why) in self.choices.iter_mut().zip(Why::ALL) {
            *count += u64::from(record.choice == Some(why));
        }
        let (Some(tenant), Some(model), Some(arm)) = (&record.tenant, &record.model, &record.arm) else {
            return;
        };
        let endpoint = record.endpoint.unwrap_or(Endpoint::ChatCompletions); // a request with an arm has one
        let key =
            ArmKey { tenant: Arc::clone(tenant), model: Arc::clone(model), arm: Arc::clone(arm), endpoint };
        let (totals, capped) = bounded(&mut self.arms, series_max, key, ArmKey::become_other);
        totals.take(record, reason, now);
        self.capped[1] += u64::from(capped);
        self.stages.take(record, now);
    }

    /// Adds what another core has counted, but the maps that the plan makes long: `SharedCounters::add_to` does those.
    fn add_short(&mut self, core: &Self) {
        self.connections += core.connections;
        self.received += core.received;
        self.edits += core.edits;
        self.retries += core.retries;
        self.arm_overrides += core.arm_overrides;
        for (mine, theirs) in self.choices.iter_mut().zip(core.choices) {
            *mine += theirs;
        }
        self.frames.add(&core.frames);
        self.cancels.0.add(&core.cancels.0);
        self.stages.add(&core.stages);
        for (mine, theirs) in self.capped.iter_mut().zip(core.capped) {
            *mine += theirs;
        }
        self.handshakes.add(&core.handshakes);
        self.tokens.hits += core.tokens.hits;
        self.tokens.misses += core.tokens.misses;
        self.tokens.evicted += core.tokens.evicted;
        add_all(&mut self.connection_refusals, &core.connection_refusals);
        add_all(&mut self.head_refusals, &core.head_refusals);
        add_all(&mut self.quiet_limits, &core.quiet_limits);
    }

    /// Requests ended in any way.
    #[must_use]
    pub fn ended_count(&self) -> u64 {
        self.requests.values().sum()
    }
}

impl RequestKey {
    fn become_other(&mut self) {
        self.tenant = Some(Arc::from(OTHER));
    }
}

impl ArmKey {
    /// All that comes from the plan: else a plan with many models would still make many of these.
    fn become_other(&mut self) {
        let other: Arc<str> = Arc::from(OTHER);
        (self.tenant, self.model, self.arm) = (Arc::clone(&other), Arc::clone(&other), other);
    }
}

impl Default for ArmTotals {
    fn default() -> Self {
        let (input, output) = (Histogram::new(&TOKENS), Histogram::new(&TOKENS));
        Self {
            prompt: 0,
            cached: 0,
            completion: 0,
            wasted: 0,
            first_token: Histogram::new(&FIRST_TOKEN),
            per_token: Histogram::new(&PER_TOKEN),
            duration: Histogram::new(&DURATION),
            failed: BTreeMap::new(),
            input,
            output,
        }
    }
}

impl ArmTotals {
    fn take(&mut self, record: &Record, reason: Reason, now: MonoNs) {
        self.prompt += u64::from(record.prompt_tokens);
        self.cached += u64::from(record.cached_tokens);
        self.completion += u64::from(record.completion_tokens);
        self.wasted += u64::from(record.tokens_wasted);
        if record.prompt_tokens > 0 {
            self.input.observe(record.prompt_tokens.into());
        }
        if record.completion_tokens > 0 {
            self.output.observe(record.completion_tokens.into());
        }
        if let Some(first) = record.first_token {
            self.first_token.observe(first.since(record.started));
            if reason == Reason::None && record.completion_tokens > 1 {
                self.per_token.observe(now.since(first) / u64::from(record.completion_tokens - 1));
            }
        }
        if reason == Reason::None {
            self.duration.observe(now.since(record.started));
        } else {
            let failed = self.failed.entry(reason).or_insert_with(|| Histogram::new(&DURATION));
            failed.observe(now.since(record.started));
        }
    }

    fn add(&mut self, other: &Self) {
        self.prompt += other.prompt;
        self.cached += other.cached;
        self.completion += other.completion;
        self.wasted += other.wasted;
        self.first_token.add(&other.first_token);
        self.per_token.add(&other.per_token);
        self.duration.add(&other.duration);
        self.input.add(&other.input);
        self.output.add(&other.output);
        for (reason, failed) in &other.failed {
            self.failed.entry(*reason).or_insert_with(|| Histogram::new(&DURATION)).add(failed);
        }
    }
}

impl Stages {
    /// Only times that were taken for other reasons: no clock is read for this.
    fn take(&mut self, record: &Record, now: MonoNs) {
        let (Some(given), Some(first)) = (record.given, record.first_token) else { return };
        let queue_ns = record.queue_us.saturating_mul(1000);
        self.count += 1;
        let wait_ns = record.waited_ns.unwrap_or_default();
        self.receive_ns += given.since(record.started).saturating_sub(wait_ns);
        self.wait_ns += wait_ns;
        self.queue_ns += queue_ns;
        self.prefill_ns += first.since(given).saturating_sub(queue_ns);
        self.generate_ns += now.since(first);
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.receive_ns += other.receive_ns;
        self.wait_ns += other.wait_ns;
        self.queue_ns += other.queue_ns;
        self.prefill_ns += other.prefill_ns;
        self.generate_ns += other.generate_ns;
    }
}

/// The value of `key`, and whether that became another one because the map is full and `key` is new.
fn bounded<K: Ord, V: Default>(
    map: &mut BTreeMap<K, V>,
    max: usize,
    mut key: K,
    become_other: impl FnOnce(&mut K),
) -> (&mut V, bool) {
    let capped = map.len() >= max && !map.contains_key(&key);
    if capped {
        become_other(&mut key);
    }
    (map.entry(key).or_default(), capped)
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

    /// Adds everything to `total`. The core may count between two slices of a long map, so that a scrape never holds it up
    /// for longer than a slice; what began is read last, so that nothing has ended that did not begin.
    pub fn add_to(&self, total: &mut CoreCounters) {
        self.slices(|core| &core.requests, |key, count| *total.requests.entry(key).or_default() += count);
        self.slices(|core| &core.arms, |key, totals| total.arms.entry(key).or_default().add(&totals));
        total.add_short(&self.lock());
    }

    fn slices<K: Ord + Clone, V: Clone>(
        &self,
        map: impl Fn(&CoreCounters) -> &BTreeMap<K, V>,
        mut take: impl FnMut(K, V),
    ) {
        let mut after: Option<K> = None;
        loop {
            let slice: Vec<(K, V)> = {
                let core = self.lock();
                let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                let rest = map(&core).range((from, Bound::Unbounded));
                rest.take(SLICE).map(|(key, value)| (key.clone(), value.clone())).collect()
            };
            after = slice.last().map(|(key, _)| key.clone());
            let ended = slice.len() < SLICE;
            slice.into_iter().for_each(|(key, value)| take(key, value));
            if ended {
                return;
            }
        }
    }
}

/// Series that are copied under one lock: some tens of microseconds.
const SLICE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(tenant: &str) -> Record {
        let chat = Some(Endpoint::ChatCompletions);
        let mut record =
            Record::begin(dpu_types::RequestId([1; 16]), chat, crate::record::Protocol::H2, MonoNs(0));
        record.tenant = Some(Arc::from(tenant));
        (record.model, record.arm) = (Some(Arc::from("m")), Some(Arc::from("a")));
        record
    }

    #[test]
    fn series_beyond_the_maximum_are_counted_under_other_and_as_capped() {
        let mut counters = CoreCounters { series_max: 3, ..CoreCounters::default() };
        for tenant in ["a", "b", "c", "d", "e", "a"] {
            let mut record = record(tenant);
            record.completion_tokens = 2;
            counters.ended(&record, Reason::None, MonoNs(1));
        }
        assert_eq!((counters.requests.len(), counters.arms.len(), counters.capped), (4, 4, [2, 2]));
        let other = counters.requests.iter().find(|(key, _)| key.tenant.as_deref() == Some(OTHER));
        assert_eq!(other.map(|(_, count)| *count), Some(2));
        let other = counters.arms.iter().find(|(key, _)| &*key.tenant == OTHER && &*key.model == OTHER);
        assert_eq!(other.map(|(_, totals)| totals.completion), Some(4));
        assert_eq!(counters.ended_count(), 6);
    }

    #[test]
    fn slices_together_are_the_whole() {
        let (shared, mut total) = (SharedCounters::default(), CoreCounters::default());
        for index in 0..(3 * SLICE + 5) {
            shared.lock().ended(&record(&format!("t{index}")), Reason::None, MonoNs(1));
        }
        shared.lock().received = 500;
        for _ in 0..2 {
            shared.add_to(&mut total);
        }
        assert_eq!((total.requests.len(), total.arms.len()), (3 * SLICE + 5, 3 * SLICE + 5));
        assert_eq!((total.ended_count(), total.received), (2 * (3 * SLICE as u64 + 5), 1000));
        assert!(total.arms.values().all(|totals| totals.duration.count() == 2));
    }

    #[test]
    fn an_answer_is_in_every_histogram_and_a_failure_only_in_its_own() {
        let mut counters = CoreCounters::default();
        let mut record = record("a");
        (record.given, record.first_token) = (Some(MonoNs(1_000_000)), Some(MonoNs(5_000_000)));
        (record.prompt_tokens, record.completion_tokens, record.queue_us) = (7, 3, 1000);
        record.waited_ns = Some(500_000);
        counters.ended(&record, Reason::None, MonoNs(25_000_000));
        counters.ended(&record, Reason::WorkerLost, MonoNs(9_000_000));
        let totals = counters.arms.values().next().cloned().unwrap_or_default();
        assert_eq!((totals.duration.count(), totals.failed.len()), (1, 1));
        assert_eq!((totals.per_token.count(), totals.per_token.sum()), (1, 0.01));
        assert_eq!((totals.input.sum(), totals.output.sum(), totals.first_token.count()), (14.0, 6.0, 2));
        let stages = Stages {
            count: 2,
            receive_ns: 1_000_000,
            wait_ns: 1_000_000,
            queue_ns: 2_000_000,
            prefill_ns: 6_000_000,
            generate_ns: 24_000_000,
        };
        assert_eq!(counters.stages, stages);
    }
}
