//! Prints what one decision costs, in nanoseconds, and what its parts cost: `cargo run --release --example decide_cost`.
//! With `decide` as argument only whole decisions of the first body run, for a profiler.

use dpu_policy::json::{canonical, JsonLimits, Tree};
use dpu_policy::{bucket_of, LimitState, Policy, BUCKETS};
use dpu_types::{plan, Endpoint, MonoNs, RequestHead};
use std::hint::black_box;
use std::time::Instant;

const LIMITS: JsonLimits = JsonLimits { depth_max: 64, body_bytes_max: 1 << 20 };
const ROUNDS: u32 = 500;
const REPEATS: usize = 400;

fn main() {
    let limits = LimitState::new();
    let Ok(policy) = Policy::build(&plan(), &limits) else { return eprintln!("the plan is refused") };
    if std::env::args().any(|arg| arg == "decide") {
        let body = chat(1024);
        return report("decide", || decide(&policy, body.as_bytes(), None));
    }
    for (name, body) in [("1 KiB chat", chat(1024)), ("16 KiB chat", chat(16 * 1024)), ("turns", turns())] {
        let body = body.as_bytes();
        println!("{name}: {} bytes", body.len());
        report("decide", || decide(&policy, body, None));
        report("  with x-conversation-id", || decide(&policy, body, Some(b"conversation-7")));
        let Ok(tree) = Tree::parse(body, LIMITS) else { return eprintln!("the body is refused") };
        report("  UTF-8 check alone", || std::str::from_utf8(body));
        report("  parse", || Tree::parse(black_box(body), LIMITS));
        report("  canonical form", || canonical::to_vec(&tree));
        report("  receipt (SHA-256)", || aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body));
        report("  bucket of all bytes", || bucket_of("alpha", body));
    }
    let mut tokens = dpu_policy::TokenCache::default();
    report("authenticate", || policy.authenticate(Some(b"Bearer sk-dev-alpha"), 0, &mut tokens));
}

/// Median and least over short repeats: other work on the machine must not decide.
fn report<T>(name: &str, mut work: impl FnMut() -> T) {
    let mut costs: Vec<u128> = (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            (0..ROUNDS).for_each(|_| drop(black_box(work())));
            start.elapsed().as_nanos() / u128::from(ROUNDS)
        })
        .collect();
    costs.sort_unstable();
    println!("  {name:28} {:6} ns (least {})", costs[REPEATS / 2], costs[0]);
}

fn decide(policy: &Policy, body: &[u8], conversation: Option<&[u8]>) -> bool {
    let head = RequestHead {
        endpoint: Endpoint::ChatCompletions,
        path_id: String::new(),
        host: String::new(),
        authorization: None,
        conversation_id: conversation.map(<[u8]>::to_vec),
        arm_override: None,
        traceparent: None,
    };
    let Ok(tenant) =
        policy.authenticate(Some(b"Bearer sk-dev-alpha"), 0, &mut dpu_policy::TokenCache::default())
    else {
        return false;
    };
    let decision = policy.decide(tenant, &head, black_box(body), LIMITS, MonoNs(1));
    assert!(decision.is_ok(), "{decision:?}");
    black_box(decision).is_ok()
}

fn plan() -> plan::Plan {
    let arm = |name: &str, weight| plan::Arm {
        name: name.into(),
        weight,
        engine_model: "smollm2-135m".into(),
        max_tokens_default: 256,
        max_tokens_max: 1024,
        ..plan::Arm::default()
    };
    let model = plan::Model {
        name: "chat".into(),
        aliases: vec!["gpt-4o-mini".into()],
        arms: vec![arm("stable", 9_000), arm("canary", 1_000)],
        buckets: (0..BUCKETS).map(|bucket| u8::from(bucket >= 9_000)).collect(),
        ..plan::Model::default()
    };
    let key = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"sk-dev-alpha");
    let tenant = plan::Tenant {
        name: "alpha".into(),
        key_sha256: vec![key.as_ref().to_vec()],
        models: vec!["chat".into()],
        ..plan::Tenant::default()
    };
    let worker = plan::Worker { name: "w0".into(), ..plan::Worker::default() };
    plan::Plan {
        epoch: 1,
        models: vec![model],
        tenants: vec![tenant],
        workers: vec![worker],
        ..plan::Plan::default()
    }
}

/// What an SDK sends, filled up with prose.
fn chat(bytes: usize) -> String {
    let words = "Tell me what a data processing unit does for the machine that it sits in, and why.\\n";
    let prose = words.repeat(bytes / words.len() - 2);
    format!(
        r#"{{"messages":[{{"role":"system","content":"You are brief."}},{{"role":"user","content":"{prose}"}}],"model":"gpt-4o-mini","max_tokens":64,"stream":true,"temperature":0.7}}"#
    )
}

/// A conversation of many short turns: more structure a byte.
fn turns() -> String {
    let turn = r#"{"role":"user","content":"and then?"},{"role":"assistant","content":"Then it went on."}"#;
    let turns = [turn; 10].join(",");
    format!(
        r#"{{"messages":[{turns},{{"role":"user","content":"Why?"}}],"model":"chat","max_tokens":64,"user":"u1"}}"#
    )
}
