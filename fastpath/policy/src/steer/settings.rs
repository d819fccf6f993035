//! How a plan wants workers to be chosen, with the defaults of an agent that does not say.

use dpu_types::plan::{Plan, Problem, Queue, Steering};

/// The plan's steering; the defaults of `dpu_app/model/steering.py` where it has none.
#[must_use]
pub fn steering_of(plan: &Plan) -> Steering {
    plan.steering.unwrap_or(Steering {
        conversation_id_bytes_max: 256,
        warm_entries_max: 65_536,
        warm_ttl_ms: 300_000,
        warm_lead_tokens_max: 2_048,
        slow_start_ms: 10_000,
        breaker_failures: 5,
        breaker_ratio_percent: 50,
        breaker_requests_min: 20,
        breaker_window_ms: 10_000,
        breaker_open_min_ms: 1_000,
        breaker_open_max_ms: 60_000,
    })
}

/// The plan's queue; the defaults of `dpu_app/model/steering.py` where it has none.
#[must_use]
pub fn queue_of(plan: &Plan) -> Queue {
    plan.queue.unwrap_or(Queue {
        requests_max: 4_096,
        requests_max_per_tenant: 1_024,
        bytes_max: 268_435_456,
        wait_max_ms: 30_000,
        passes_max: 8,
        requests_per_slot: 1,
    })
}

/// What is wrong with both: only these may be zero: `warm_lead_tokens_max` and `slow_start_ms`.
pub(crate) fn problems(plan: &Plan) -> Vec<Problem> {
    let (steering, queue) = (steering_of(plan), queue_of(plan));
    let positive = [
        ("steering.conversation_id_bytes_max", u64::from(steering.conversation_id_bytes_max)),
        ("steering.warm_entries_max", steering.warm_entries_max.into()),
        ("steering.warm_ttl_ms", steering.warm_ttl_ms.into()),
        ("steering.breaker_failures", steering.breaker_failures.into()),
        ("steering.breaker_ratio_percent", steering.breaker_ratio_percent.into()),
        ("steering.breaker_requests_min", steering.breaker_requests_min.into()),
        ("steering.breaker_window_ms", steering.breaker_window_ms.into()),
        ("steering.breaker_open_min_ms", steering.breaker_open_min_ms.into()),
        ("steering.breaker_open_max_ms", steering.breaker_open_max_ms.into()),
        ("queue.requests_max", queue.requests_max.into()),
        ("queue.requests_max_per_tenant", queue.requests_max_per_tenant.into()),
        ("queue.bytes_max", queue.bytes_max),
        ("queue.wait_max_ms", queue.wait_max_ms.into()),
        ("queue.passes_max", queue.passes_max.into()),
        ("queue.requests_per_slot", queue.requests_per_slot.into()),
    ];
    let zero = positive.into_iter().filter(|(_, value)| *value == 0);
    zero.map(|(entry, _)| Problem {
        entry: entry.to_owned(),
        what: "is zero".to_owned(),
        fix: "everything has a limit: give a positive number".to_owned(),
    })
    .collect()
}
