#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Facts about decisions.

use super::*;
use crate::limits::{RateView, Rates};
use crate::steer::BUCKETS;
use crate::Edit;
use dpu_types::Endpoint;

pub(crate) const JSON: JsonLimits = JsonLimits { depth_max: 32, body_bytes_max: 1 << 16 };
pub(super) const BODY: &str =
    r#"{"model":"gpt-4o-mini","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#;

fn arm(name: &str, weight: u32, label: &str) -> plan::Arm {
    plan::Arm {
        name: name.into(),
        weight,
        engine_model: format!("engine-{name}"),
        worker_labels: [("pool".into(), label.into())].into(),
        max_tokens_default: 100,
        max_tokens_max: 200,
    }
}

fn worker(name: &str, label: &str) -> plan::Worker {
    plan::Worker {
        name: name.into(),
        address: String::new(),
        labels: [("pool".into(), label.into())].into(),
        ..plan::Worker::default()
    }
}

fn tenant(name: &str, models: &[&str]) -> plan::Tenant {
    plan::Tenant {
        name: name.into(),
        key_sha256: vec![sha256(format!("sk-{name}").as_bytes()).to_vec()],
        models: models.iter().map(|model| (*model).into()).collect(),
        ..plan::Tenant::default()
    }
}

/// Tenant alpha without limits, beta with 60 a minute, 3 at once, 2 concurrent; gamma may use nothing.
pub(crate) fn plan() -> plan::Plan {
    let mut beta = tenant("beta", &["chat"]);
    beta.request_rate = Some(plan::RequestRate { requests: 60, interval_ms: 60_000, burst: 3 });
    beta.concurrency_max = 2;
    beta.priority = 7;
    plan::Plan {
        revision: 1,
        epoch: 5,
        tenants: vec![tenant("alpha", &["chat", "other"]), beta, tenant("gamma", &[])],
        models: vec![
            plan::Model {
                name: "chat".into(),
                aliases: vec!["gpt-4o-mini".into()],
                arms: vec![arm("stable", 9_000, "a"), arm("canary", 1_000, "b")],
                buckets: (0..BUCKETS).map(|bucket| u8::from(bucket % 10 == 3)).collect(),
                ..plan::Model::default()
            },
            plan::Model {
                name: "other".into(),
                aliases: vec![],
                arms: vec![arm("only", 10_000, "a")],
                buckets: vec![0; BUCKETS],
                ..plan::Model::default()
            },
        ],
        workers: vec![worker("w0", "a"), worker("w1", "b"), worker("w2", "a")],
        ..plan::Plan::default()
    }
}

fn policy(limits: &LimitState) -> Policy {
    Policy::build(&plan(), limits).unwrap()
}

pub(super) fn key(policy: &Policy, name: &str) -> TenantIndex {
    policy
        .authenticate(Some(format!("Bearer sk-{name}").as_bytes()), 0, &mut crate::TokenCache::default())
        .unwrap()
}

fn head(conversation: Option<&str>) -> RequestHead {
    RequestHead {
        endpoint: Endpoint::ChatCompletions,
        path_id: String::new(),
        host: "localhost".into(),
        authorization: None,
        conversation_id: conversation.map(|id| id.as_bytes().to_vec()),
        arm_override: None,
        traceparent: None,
    }
}

pub(super) fn ask(policy: &Policy, name: &str, body: &str, now_ms: u64) -> Result<Decision, Refused> {
    let now = MonoNs(1_000_000_000_000 + now_ms * 1_000_000);
    policy.decide(key(policy, name), &head(None), body.as_bytes(), JSON, now)
}

#[test]
fn a_decision_says_all_that_the_next_stage_needs() {
    let policy = policy(&LimitState::new());
    let beta = key(&policy, "beta");
    let now = MonoNs(9_000_000_000);
    let decision = policy.decide(beta, &head(Some("conversation-1")), BODY.as_bytes(), JSON, now).unwrap();
    assert_eq!(policy.epoch(), 5);
    assert_eq!(&**policy.tenant_name(decision.tenant), "beta");
    assert_eq!(decision.tenant_hash, sha256(b"beta")[..16]);
    assert_eq!((&*decision.model, &*decision.model_asked), ("chat", "gpt-4o-mini"));
    assert_eq!(decision.bucket, crate::bucket_of("beta", b"conversation-1"));
    let arm = if decision.bucket % 10 == 3 { "canary" } else { "stable" };
    assert_eq!((&*decision.arm, &*decision.engine_model), (arm, format!("engine-{arm}").as_str()));
    assert_eq!(
        (decision.stream, decision.include_usage, decision.token_budget, decision.priority),
        (false, false, 9, 7)
    );
    let body =
        format!(r#"{{"max_tokens":9,"messages":[{{"content":"Hi","role":"user"}}],"model":"engine-{arm}"}}"#);
    assert_eq!(decision.body, body);
    assert_eq!(decision.receipt_sha256, sha256(body.as_bytes()));
    assert_eq!(decision.edits, [Edit { field: "model", what: "alias" }]);
    assert_eq!(decision.rate.requests, Some(RateView { limit: 60, remaining: 2, reset_ms: 1_000 }));
    assert_eq!(decision.permit.in_flight(), 1);
}

#[test]
fn arms_are_sticky_and_shared_out_by_the_buckets() {
    let policy = policy(&LimitState::new());
    let alpha = key(&policy, "alpha");
    let arm_of =
        |id: &str| policy.decide(alpha, &head(Some(id)), BODY.as_bytes(), JSON, MonoNs(1)).unwrap().arm;
    let ids: Vec<String> = (0..2_000).map(|i| format!("c{i}")).collect();
    let canary = ids.iter().filter(|id| &*arm_of(id) == "canary").count();
    // 200 expected; five standard deviations are 67.
    assert!(canary.abs_diff(200) < 67, "{canary}");
    assert!(ids.iter().all(|id| arm_of(id) == arm_of(id)));
}

#[test]
fn workers_have_the_arms_labels() {
    let policy = policy(&LimitState::new());
    let body = BODY.replace("gpt-4o-mini", "other");
    let decision = ask(&policy, "alpha", &body, 0).unwrap();
    assert_eq!(&*decision.workers, [0, 2]);
}

#[test]
fn models_are_listed_and_allowed_per_tenant() {
    let policy = policy(&LimitState::new());
    let models =
        |name: &str| policy.models(key(&policy, name)).map(|model| model.to_string()).collect::<Vec<_>>();
    assert_eq!(models("alpha"), ["chat", "gpt-4o-mini", "other"]);
    assert_eq!(models("beta"), ["chat", "gpt-4o-mini"]);
    assert!(models("gamma").is_empty());
    let table = [
        ("beta", "other", Reason::ModelForbidden, Some("other")),
        ("gamma", "chat", Reason::ModelForbidden, Some("chat")),
        ("gamma", "gpt-4o-mini", Reason::ModelForbidden, Some("chat")),
        ("alpha", "gpt-5", Reason::ModelNotFound, None),
    ];
    for (tenant, model, reason, known) in table {
        let refused = ask(&policy, tenant, &BODY.replace("gpt-4o-mini", model), 0).unwrap_err();
        assert_eq!((refused.refusal.reason, refused.model.as_deref()), (reason, known));
        assert_eq!(refused.refusal.param.as_deref(), Some("model"));
    }
}

#[test]
fn the_rate_is_refused_with_the_time_to_wait() {
    let policy = policy(&LimitState::new());
    for _ in 0..3 {
        drop(ask(&policy, "beta", BODY, 0).unwrap());
    }
    let refused = ask(&policy, "beta", BODY, 250).unwrap_err();
    assert_eq!((refused.refusal.reason, refused.refusal.retry_after_ms), (Reason::RateLimited, Some(750)));
    assert_eq!(refused.rate.requests, Some(RateView { limit: 60, remaining: 0, reset_ms: 2_750 }));
    assert_eq!(refused.model.as_deref(), Some("chat"));
    assert_eq!(
        policy.rate(key(&policy, "beta"), MonoNs(1_000_000_000_000)).requests,
        Some(RateView { limit: 60, remaining: 0, reset_ms: 3_000 })
    );
    assert!(ask(&policy, "beta", BODY, 1_000).is_ok());
    assert_eq!(policy.rate(key(&policy, "alpha"), MonoNs(1)), Rates::default());
}

#[test]
fn a_refused_rate_holds_no_place_and_a_full_house_uses_no_rate() {
    let policy = policy(&LimitState::new());
    let held = [ask(&policy, "beta", BODY, 0).unwrap(), ask(&policy, "beta", BODY, 0).unwrap()];
    let refused = ask(&policy, "beta", BODY, 0).unwrap_err();
    assert_eq!(
        (refused.refusal.reason, refused.refusal.retry_after_ms),
        (Reason::ConcurrencyLimited, Some(1_000))
    );
    assert_eq!(refused.rate.requests.map(|rate| rate.remaining), Some(1));
    drop(held);
    let last = ask(&policy, "beta", BODY, 0).unwrap();
    assert_eq!(ask(&policy, "beta", BODY, 0).unwrap_err().refusal.reason, Reason::RateLimited);
    assert_eq!(last.permit.in_flight(), 1);
    let second = ask(&policy, "beta", BODY, 1_000).unwrap();
    assert_eq!(
        ask(&policy, "beta", BODY, 1_000).unwrap_err().refusal.reason,
        Reason::RateLimited,
        "the rate comes first"
    );
    assert_eq!(second.permit.in_flight(), 2);
}

#[test]
fn a_request_refused_for_its_form_uses_nothing_up() {
    let policy = policy(&LimitState::new());
    for body in ["{", r#"{"model":"chat"}"#, r#"{"model":"nope","messages":[]}"#] {
        let refused = ask(&policy, "beta", body, 0).unwrap_err();
        assert_eq!(refused.rate.requests, Some(RateView { limit: 60, remaining: 3, reset_ms: 0 }), "{body}");
    }
}

#[test]
fn what_was_used_outlives_the_plan() {
    let limits = LimitState::new();
    let first = policy(&limits);
    let running = ask(&first, "beta", BODY, 0).unwrap();
    let mut changed = plan();
    changed.epoch = 6;
    changed.tenants[1].concurrency_max = 1;
    let second = Policy::build(&changed, &limits).unwrap();
    assert_eq!(ask(&second, "beta", BODY, 0).unwrap_err().refusal.reason, Reason::ConcurrencyLimited);
    assert_eq!(
        second.rate(key(&second, "beta"), MonoNs(1_000_000_000_000)).requests.map(|rate| rate.remaining),
        Some(2)
    );
    drop((first, running));
    assert!(ask(&second, "beta", BODY, 0).is_ok());
}

#[test]
fn a_parse_error_says_where_but_not_what() {
    let policy = policy(&LimitState::new());
    let refused = ask(&policy, "alpha", r#"{"model":"secret",}"#, 0).unwrap_err();
    assert_eq!(
        (refused.refusal.reason, refused.refusal.detail.as_deref()),
        (Reason::JsonSyntax, Some("at byte 18"))
    );
    assert!(refused.model.is_none() && *refused.rate == Rates::default());
}

#[test]
fn an_index_of_another_policy_may_use_nothing() {
    let policy = policy(&LimitState::new());
    let stranger = TenantIndex(99);
    assert_eq!(&**policy.tenant_name(stranger), "_unknown");
    let refused = policy.decide(stranger, &head(None), BODY.as_bytes(), JSON, MonoNs(1)).unwrap_err();
    assert_eq!(refused.refusal.reason, Reason::ModelForbidden);
}

fn override_with(policy: &Policy, tenant: &str, arm: &str) -> Result<Decision, Refused> {
    let asked = RequestHead { arm_override: Some(arm.into()), ..head(Some("conversation-1")) };
    policy.decide(key(policy, tenant), &asked, BODY.as_bytes(), JSON, MonoNs(1))
}

#[test]
fn a_tester_chooses_the_arm_and_the_decision_says_so() {
    let mut tested = plan();
    tested.tenants[0].arm_override = true;
    let policy = Policy::build(&tested, &LimitState::new()).unwrap();
    for arm in ["stable", "canary"] {
        let decision = override_with(&policy, "alpha", arm).unwrap();
        assert_eq!((&*decision.arm, decision.arm_overridden), (arm, true));
        assert_eq!(
            decision.bucket,
            crate::bucket_of("alpha", b"conversation-1"),
            "the bucket stays what it was"
        );
    }
    assert!(!ask(&policy, "alpha", BODY, 0).unwrap().arm_overridden);
}

#[test]
fn an_override_is_refused_where_the_tenant_may_not_and_where_there_is_no_such_arm() {
    let mut tested = plan();
    tested.tenants[0].arm_override = true;
    let policy = Policy::build(&tested, &LimitState::new()).unwrap();
    let forbidden = override_with(&policy, "beta", "canary").unwrap_err();
    assert_eq!(forbidden.refusal.reason, Reason::ArmOverrideForbidden);
    assert_eq!(forbidden.refusal.detail, None, "who may not choose learns no names");
    for name in ["nope", "", "Canary"] {
        let unknown = override_with(&policy, "alpha", name).unwrap_err();
        assert_eq!(unknown.refusal.reason, Reason::ArmUnknown);
        assert_eq!(unknown.refusal.detail.as_deref(), Some("chat has: stable, canary"));
    }
}

#[test]
fn a_conversation_id_has_a_length_and_a_longer_one_is_refused() {
    let policy = policy(&LimitState::new());
    let asks =
        |id: &str| policy.decide(key(&policy, "alpha"), &head(Some(id)), BODY.as_bytes(), JSON, MonoNs(1));
    assert!(asks(&"x".repeat(256)).is_ok());
    assert_eq!(asks(&"x".repeat(257)).unwrap_err().refusal.reason, Reason::ConversationIdTooLong);
}

#[test]
fn steering_that_is_zero_where_it_may_not_be_is_a_problem_and_none_is_the_default() {
    let mut zero = plan();
    zero.steering = Some(plan::Steering { slow_start_ms: 0, ..crate::steering_of(&zero) });
    zero.queue = Some(plan::Queue { requests_max: 0, ..crate::queue_of(&zero) });
    let problems = Policy::build(&zero, &LimitState::new()).unwrap_err();
    let entries: Vec<_> = problems.iter().map(|problem| problem.entry.as_str()).collect();
    assert_eq!(entries, ["queue.requests_max"]);
}
