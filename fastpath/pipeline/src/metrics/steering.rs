//! How workers are chosen, which of them are trusted, and who waits.

use super::{histogram, single, value, Family, Sample};
use crate::counters::CoreCounters;
use crate::room::RoomView;
use crate::status::WorkerStatus;
use dpu_policy::Why;

/// What a worker can be; one series each, 1 for what it is.
const STATES: [&str; 9] =
    ["connecting", "handshaking", "ready", "slow_start", "half_open", "open", "draining", "lost", "refused"];

/// All families of steering.
pub(super) fn families(counters: &CoreCounters, workers: &[WorkerStatus], room: &RoomView) -> Vec<Family> {
    let mut all = choices(counters);
    all.extend(health(workers));
    all.extend(queue(room));
    all
}

fn choices(counters: &CoreCounters) -> Vec<Family> {
    let whys = Why::ALL.iter().zip(counters.choices);
    vec![
        Family {
            name: "dpu_worker_choice",
            kind: "counter",
            help: "Ended requests by why their worker was chosen: it is warm for the conversation, it has the least outstanding \
                   tokens, it is the only usable one, or it has to show that it works again.",
            labels: &["why"],
            samples: whys.map(|(why, count)| value([why.label()], count as f64)).collect(),
        },
        single(
            "dpu_arm_overrides",
            "counter",
            "Ended requests whose arm a tester chose with x-dpu-arm.",
            counters.arm_overrides,
        ),
    ]
}

fn health(workers: &[WorkerStatus]) -> Vec<Family> {
    let gauge = |name, help, of: fn(&WorkerStatus) -> f64| per_worker(name, "gauge", help, workers, of);
    let counter = |name, help, of: fn(&WorkerStatus) -> f64| per_worker(name, "counter", help, workers, of);
    let states = workers.iter().flat_map(|worker| {
        let is = move |state: &str| f64::from(u8::from(worker.trust == state));
        STATES.map(|state| value([&*worker.name, state], is(state)))
    });
    vec![
        Family {
            name: "dpu_worker_state",
            kind: "gauge",
            help:
                "1 for the state that the worker is in; ready, slow_start, half_open and open are connected.",
            labels: &["worker", "state"],
            samples: states.collect(),
        },
        gauge("dpu_worker_capacity_requests", "Requests that the worker may have from us now.", |w| {
            f64::from(w.requests_max)
        }),
        gauge(
            "dpu_worker_outstanding_tokens",
            "Prompt estimates and budgets of the requests that the worker has from us.",
            |w| f64::from(w.outstanding_tokens),
        ),
        counter("dpu_worker_failures", "Failures that the worker caused; a lost connection is one.", |w| {
            w.failures as f64
        }),
        counter("dpu_worker_breaker_opened", "Times that the worker's breaker opened.", |w| {
            w.breaker_opened as f64
        }),
    ]
}

fn per_worker(
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    workers: &[WorkerStatus],
    of: fn(&WorkerStatus) -> f64,
) -> Family {
    let samples = workers.iter().map(|worker| value([&worker.name], of(worker))).collect();
    Family { name, kind, help, labels: &["worker"], samples }
}

fn queue(room: &RoomView) -> Vec<Family> {
    let priorities = room.waits.keys().chain(room.depths.keys());
    let priorities: std::collections::BTreeSet<u8> = priorities.copied().collect();
    let depth = |priority: &u8| room.depths.get(priority).copied().unwrap_or(0) as f64;
    let waits = |(priority, waits)| -> Sample { histogram([&u8::to_string(priority)], waits) };
    let refusals = [
        ("queue_full", room.refusals.full),
        ("queue_full_tenant", room.refusals.full_tenant),
        ("queue_timeout", room.refusals.timeout),
        ("left", room.refusals.left),
    ];
    vec![
        Family {
            name: "dpu_queue_depth",
            kind: "gauge",
            help: "Requests that wait for a worker now, by the tenant's priority.",
            labels: &["priority"],
            samples: priorities.iter().map(|p| value([&p.to_string()], depth(p))).collect(),
        },
        Family {
            name: "dpu_queue_wait_seconds",
            kind: "histogram",
            help: "How long requests waited that came to a worker, by the tenant's priority.",
            labels: &["priority"],
            samples: room.waits.iter().map(waits).collect(),
        },
        Family {
            name: "dpu_queue_refusals",
            kind: "counter",
            help: "Requests that left the queue, or never came into it, without a worker; left: their client went away.",
            labels: &["reason"],
            samples: refusals.iter().map(|(reason, count)| value([reason], *count as f64)).collect(),
        },
    ]
}
