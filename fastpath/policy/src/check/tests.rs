#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Facts about plans that are refused.

use super::*;
use crate::policy::tests::plan;
use crate::{LimitState, Policy};
use dpu_types::plan::RequestRate;

#[test]
fn the_plan_of_the_tests_has_no_problem() {
    assert_eq!(problems(&plan()), []);
    assert_eq!(problems(&Plan::default()), [], "a plan without tenants serves nobody, which is no error");
}

#[test]
fn each_wrong_plan_names_its_entries() {
    type Change = fn(&mut Plan);
    let table: [(Change, &[&str]); 24] = [
        (|p| p.models[0].buckets.truncate(9_999), &["models[0].buckets"]),
        (|p| p.models[0].buckets[0] = 2, &["models[0].buckets"]),
        (|p| p.models[0].buckets[0] = 1, &["models[0].buckets", "models[0].buckets"]),
        (|p| p.models[0].arms[0].weight = 9_001, &["models[0].arms", "models[0].buckets"]),
        (|p| p.models[1].arms.clear(), &["models[1].arms", "models[1].arms", "models[1].buckets"]),
        (|p| p.models[0].arms[1].name = "stable".into(), &["models[0].arms[1].name"]),
        (|p| p.models[0].arms[1].engine_model.clear(), &["models[0].arms[1].engine_model"]),
        (|p| p.models[0].arms[0].max_tokens_default = 0, &["models[0].arms[0].max_tokens_default"]),
        (|p| p.models[0].arms[0].max_tokens_default = 201, &["models[0].arms[0].max_tokens_default"]),
        (|p| p.workers[1].labels.clear(), &["models[0].arms[1].worker_labels"]),
        (|p| p.models[1].aliases.push("chat".into()), &["models[1].aliases[0]"]),
        (|p| p.models[0].aliases.push("gpt-4o-mini".into()), &["models[0].aliases[1]"]),
        (|p| p.models[0].aliases = vec!["a\nb".into()], &["models[0].aliases[0]"]),
        (|p| p.models[0].aliases = (0..65).map(|i| format!("a{i}")).collect(), &["models[0].aliases"]),
        (|p| p.workers[2].name = "w0".into(), &["workers[2].name"]),
        (|p| p.tenants[1].name = "alpha".into(), &["tenants[1].name"]),
        (|p| p.tenants[0].name.clear(), &["tenants[0].name"]),
        (|p| p.tenants[0].key_sha256.push(vec![0; 31]), &["tenants[0].key_sha256[1]"]),
        (|p| p.tenants[1].key_sha256 = p.tenants[0].key_sha256.clone(), &["tenants[1].key_sha256[0]"]),
        (|p| p.tenants[0].models.push("gpt-4o-mini".into()), &["tenants[0].models[2]"]),
        (|p| p.tenants[0].priority = 256, &["tenants[0].priority"]),
        (|p| p.tenants[0].request_rate = Some(RequestRate::default()), &["tenants[0].request_rate"]),
        (
            |p| {
                p.tenants[1].request_rate = Some(RequestRate { requests: 1, interval_ms: u64::MAX, burst: 1 })
            },
            &["tenants[1].request_rate"],
        ),
        (
            |p| p.workers = vec![p.workers[0].clone(); WORKERS_MAX + 1],
            &["workers", "models[0].arms[1].worker_labels"],
        ),
    ];
    for (i, (change, entries)) in table.into_iter().enumerate() {
        let mut plan = plan();
        change(&mut plan);
        let mut found = problems(&plan);
        // Thousands of equal workers are also equal names.
        found.retain(|problem| !(plan.workers.len() > WORKERS_MAX && problem.entry.ends_with(".name")));
        assert_eq!(
            found.iter().map(|problem| problem.entry.as_str()).collect::<Vec<_>>(),
            entries,
            "change {i}"
        );
        assert!(found.iter().all(|problem| !problem.what.is_empty() && !problem.fix.is_empty()));
    }
}

#[test]
fn a_wrong_plan_builds_nothing() {
    let mut plan = plan();
    plan.tenants[0].priority = 256;
    let refused = Policy::build(&plan, &LimitState::new()).map(|policy| policy.epoch());
    assert_eq!(refused.map_err(|problems| problems.len()), Err(1));
}
