//! What is programmed and how the workers are, in the words of `StatusReply`.

use crate::clock;
use crate::health::Trust;
use crate::programmed::Programmed;
use dpu_types::MonoNs;
use dpu_ucx::{WorkerPhase, WorkerState};
use serde::Serialize;

/// `StatusReply` of `fastpath.proto`, as JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// Of the store; 0 for none.
    pub revision: u64,
    /// 0 for none.
    pub epoch: u64,
    /// Of the plan's bytes, in hex; empty for none.
    pub plan_sha256: String,
    /// Programmed, not draining, and every model has a worker for each of its arms.
    pub ready: bool,
    /// Why not, for people; empty when ready.
    pub not_ready: String,
    /// On the way out.
    pub draining: bool,
    /// In the plan's order.
    pub workers: Vec<WorkerStatus>,
    /// Addresses that are listened on.
    pub listening: Vec<String>,
}

/// One worker, over all cores.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WorkerStatus {
    /// Name in the plan.
    pub name: String,
    /// ready where every core says so; else what the first one says that does not.
    pub state: String,
    /// What UCX itself reports.
    pub transport: String,
    /// Its own id.
    pub worker_id: String,
    /// llama, echo, openai.
    pub engine: String,
    /// Requests that it has from us.
    pub outstanding: u32,
    /// Its models.
    pub models: Vec<String>,
    /// Why it is not ready.
    pub detail: String,
    /// Requests that it may have now; 0 before it told its slots.
    pub requests_max: u32,
    /// Prompt estimates and budgets of what it has from us.
    pub outstanding_tokens: u32,
    /// closed, open, half_open.
    pub breaker: String,
    /// Below 100 while it starts slowly; 0 while its breaker keeps it at rest.
    pub share_percent: u32,
    /// `state`, told apart by whether it is trusted: ready, slow_start, half_open, open.
    #[serde(skip)]
    pub trust: String,
    /// That it caused.
    #[serde(skip)]
    pub failures: u64,
    /// Times that its breaker opened.
    #[serde(skip)]
    pub breaker_opened: u64,
}

/// Adds up the views of all cores.
#[must_use]
pub fn of(plan: Option<&Programmed>, views: &[Vec<WorkerState>], draining: bool, broken: bool) -> Status {
    let Some(plan) = plan else {
        return Status { not_ready: "no plan has been applied yet".into(), draining, ..Status::default() };
    };
    let now = clock::now();
    let workers: Vec<_> =
        (0..plan.workers.len()).map(|index| trusted(plan, worker(plan, views, index), index, now)).collect();
    let not_ready = if broken {
        "a core has failed; see the log".to_owned()
    } else if draining {
        "draining".to_owned()
    } else {
        unserved(plan, &workers).unwrap_or_default()
    };
    Status {
        revision: plan.revision,
        epoch: plan.epoch,
        plan_sha256: plan.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        ready: not_ready.is_empty(),
        not_ready,
        draining,
        workers,
        listening: plan.listeners.iter().map(|listener| listener.address.to_string()).collect(),
    }
}

fn worker(plan: &Programmed, views: &[Vec<WorkerState>], index: usize) -> WorkerStatus {
    let name = plan.workers[index].name.to_string();
    // A view may be a moment older than the plan; then this worker is not in it yet.
    let seen: Vec<_> = views.iter().filter_map(|view| view.get(index)).filter(|w| w.name == name).collect();
    let outstanding = seen.iter().map(|state| state.outstanding).sum();
    let odd = seen.iter().find(|state| state.phase != WorkerPhase::Ready).or(seen.first());
    let Some(shown) = odd.filter(|_| seen.len() == views.len()) else {
        return WorkerStatus {
            name,
            state: WorkerPhase::Connecting.name().into(),
            ..WorkerStatus::default()
        };
    };
    WorkerStatus {
        name,
        state: shown.phase.name().to_owned(),
        transport: shown.transport.clone(),
        worker_id: shown.worker_id.clone(),
        engine: shown.engine.clone(),
        outstanding,
        models: shown.models.clone(),
        detail: shown.detail.clone(),
        ..WorkerStatus::default()
    }
}

/// With what all cores know of the worker together.
fn trusted(plan: &Programmed, status: WorkerStatus, index: usize, now: MonoNs) -> WorkerStatus {
    let worker = &plan.workers[index];
    let (breaker, breaker_opened, failures) = worker.ledger.circuit(now);
    let share_percent = match worker.ledger.trust(&plan.steering.health, now) {
        Trust::Share(percent) => percent,
        Trust::Probe | Trust::Rest(_) => 0,
    };
    let trust = match (status.state == WorkerPhase::Ready.name(), breaker) {
        (true, "closed") if share_percent < 100 => "slow_start",
        (true, "closed") | (false, _) => &status.state,
        (true, breaker) => breaker,
    };
    let trust = trust.to_owned();
    let known = worker.ledger.slots() > 0;
    WorkerStatus {
        requests_max: if known { worker.capacity(share_percent) } else { 0 },
        outstanding_tokens: u32::try_from(worker.ledger.outstanding().1).unwrap_or(u32::MAX),
        breaker: breaker.to_owned(),
        share_percent,
        trust,
        failures,
        breaker_opened,
        ..status
    }
}

/// The first model that has an arm without a ready worker.
fn unserved(plan: &Programmed, workers: &[WorkerStatus]) -> Option<String> {
    let serves = |index: &usize, model: &str| {
        workers.get(*index).is_some_and(|w| {
            w.state == "ready" && (w.models.is_empty() || w.models.iter().any(|m| m == "*" || m == model))
        })
    };
    for model in &plan.models {
        for (engine_model, indices) in &model.arms {
            if !indices.iter().any(|index| serves(index, engine_model)) {
                return Some(format!("model {} has no ready worker that serves {engine_model}", model.name));
            }
        }
    }
    None
}
