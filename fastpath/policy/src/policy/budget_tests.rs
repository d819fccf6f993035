//! Facts about token budgets in decisions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::tests::{ask, plan, BODY};
use super::*;

/// The plan with token limits: beta 1,000 a minute, the model chat and all with as many as given.
fn limited(model: Option<u64>, all: Option<u64>) -> plan::Plan {
    let rate = |tokens| plan::TokenRate { tokens, interval_ms: 60_000, burst: tokens };
    let mut limited = plan();
    limited.tenants[1].token_rate = Some(rate(1_000));
    limited.tenants[1].grant_tokens_min = 16;
    limited.tenants[1].request_rate = None;
    limited.models[0].token_rate = model.map(rate);
    limited.token_rate = all.map(rate);
    limited
}

/// The estimate of BODY's prompt: 32 for the template, and a third of `"messages":[{"content":"Hi","role":"user"}],`.
const PROMPT: u32 = 32 + 44 / 3;

/// Limits that know the time of `ask(.., 0)`.
fn started() -> LimitState {
    let limits = LimitState::new();
    limits.set_now(MonoNs(1_000_000_000_000));
    limits
}

#[test]
fn a_grant_is_what_was_asked_or_what_the_tightest_bucket_has_left() {
    let body = |tokens: u32| BODY.replace(":9,", &format!(":{tokens},"));
    for (model, all, asked, granted) in [
        (None, None, 200, 200),
        (Some(150), None, 200, 150 - PROMPT),
        (Some(150), Some(100), 200, 100 - PROMPT),
        (Some(100), Some(150), 200, 100 - PROMPT),
        (Some(150), Some(100), 9, 9),
    ] {
        let policy = Policy::build(&limited(model, all), &started()).unwrap();
        let decision = ask(&policy, "beta", &body(asked), 0).unwrap();
        assert_eq!((decision.token_budget, decision.tokens.grant()), (granted, granted));
        assert_eq!(decision.tokens.is_short(), granted < asked);
        let left: Vec<_> = policy.token_levels(MonoNs(1_000_000_000_000)).map(|level| level.left).collect();
        drop(decision);
        let taken = i64::from(PROMPT + granted);
        let full: Vec<_> = policy.token_levels(MonoNs(1_000_000_000_000)).map(|level| level.left).collect();
        assert_eq!(left, full.iter().map(|left| left - taken).collect::<Vec<_>>());
    }
}

#[test]
fn tokens_that_do_not_fit_are_refused_with_the_time_when_they_do_and_nothing_is_taken() {
    let policy = Policy::build(&limited(None, Some(100)), &started()).unwrap();
    let body = BODY.replace(":9,", ":200,");
    let held = ask(&policy, "beta", &body, 0).unwrap();
    let before: Vec<_> = policy.token_levels(MonoNs(1_000_000_000_000)).map(|level| level.left).collect();
    let refused = ask(&policy, "beta", &body, 0).unwrap_err();
    assert_eq!(refused.refusal.reason, Reason::TokenLimited);
    // 46 + 16 tokens at 100 a minute.
    let wait = refused.refusal.retry_after_ms.unwrap();
    assert_eq!(wait, 37_200);
    let after: Vec<_> = policy.token_levels(MonoNs(1_000_000_000_000)).map(|level| level.left).collect();
    assert_eq!(before, after);
    assert_eq!(held.permit.in_flight(), 1);
    assert_eq!(
        refused.rate.tokens.map(|view| (view.limit, view.remaining, view.reset_ms)),
        Some((100, 0, 60_000))
    );
    assert_eq!(ask(&policy, "beta", &body, wait - 1).unwrap_err().refusal.reason, Reason::TokenLimited);
    let second = ask(&policy, "beta", &body, wait).unwrap();
    assert_eq!(second.tokens.grant(), 16, "the least that makes it worth beginning");
}

#[test]
fn a_prompt_that_never_fits_is_told_so() {
    let policy = Policy::build(&limited(Some(50), None), &started()).unwrap();
    let refused = ask(&policy, "beta", &BODY.replace(":9,", ":200,"), 0).unwrap_err();
    assert_eq!((refused.refusal.reason, refused.refusal.retry_after_ms), (Reason::TokenLimitTooSmall, None));
    assert!(
        ask(&policy, "beta", &BODY.replace(":9,", ":4,"), 0).is_ok(),
        "it asks for no more than there is"
    );
}

#[test]
fn a_reload_keeps_the_levels_and_a_new_rate_goes_on_from_them() {
    let limits = started();
    let at = |ms: u64| MonoNs(1_000_000_000_000 + ms * 1_000_000);
    let left = |policy: &Policy, ms| policy.token_levels(at(ms)).next().map(|level| level.left);
    limits.set_now(at(0));
    let first = Policy::build(&limited(None, None), &limits).unwrap();
    first.adopt(at(0));
    let mut running = ask(&first, "beta", &BODY.replace(":9,", ":200,"), 0).unwrap();
    assert!(running.tokens.plan(100));
    running.tokens.sent(100);
    running.tokens.prompt_was(8);
    assert_eq!(left(&first, 0), Some(1_000 - 246));
    limits.set_now(at(6_000));
    let mut faster = limited(None, None);
    faster.tenants[1].token_rate = Some(plan::TokenRate { tokens: 6_000, interval_ms: 60_000, burst: 1_000 });
    let second = Policy::build(&faster, &limits).unwrap();
    second.adopt(at(6_000));
    assert_eq!((left(&first, 6_000), left(&second, 6_000)), (Some(854), Some(854)));
    assert_eq!((left(&first, 6_600), left(&second, 6_600)), (Some(864), Some(914)));
    drop(running);
    assert_eq!(left(&second, 6_000), Some(992), "108 used, 100 of them filled up again");
    assert_eq!(
        limits.totals().iter().map(|(.., t)| (t.prompt, t.completion, t.refunded)).max(),
        Some((8, 100, 138))
    );
}
