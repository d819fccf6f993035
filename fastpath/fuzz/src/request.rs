//! A whole body through policy: normalised, with its receipt, and stable when it comes again.

use dpu_http::{HeadLimits, HeadParser};
use dpu_policy::{JsonLimits, LimitState, Policy, TenantIndex, TokenCache, BUCKETS};
use dpu_types::{plan, MonoNs, RequestHead};
use std::cell::OnceCell;

const JSON: JsonLimits = JsonLimits { depth_max: 64, body_bytes_max: 1 << 16 };
const HEAD: HeadLimits = HeadLimits { head_bytes_max: 1024, headers_max: 20 };
const PATHS: [&str; 3] = ["chat/completions", "completions", "embeddings"];
const KEY: &str = "sk-fuzz";

thread_local! {
    static POLICY: OnceCell<Policy> = const { OnceCell::new() };
}

/// The first byte chooses the endpoint, the rest is the body.
pub fn request(bytes: &[u8]) {
    let _ = accepted(bytes);
}

/// The same; whether it was accepted.
#[must_use]
pub fn accepted(bytes: &[u8]) -> bool {
    let Some((first, body)) = bytes.split_first() else { return false };
    let head = head(PATHS[usize::from(*first) % PATHS.len()]);
    POLICY.with(|cell| {
        let policy = cell.get_or_init(policy);
        let tenant = policy.authenticate(head.authorization.as_deref(), 0, &mut TokenCache::default());
        let tenant = tenant.expect("the key is the plan's");
        check(policy, tenant, &head, body)
    })
}

fn check(policy: &Policy, tenant: TenantIndex, head: &RequestHead, body: &[u8]) -> bool {
    let Ok(decision) = policy.decide(tenant, head, body, JSON, MonoNs(0)) else { return false };
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &decision.body);
    assert_eq!(sha256.as_ref(), decision.receipt_sha256, "the receipt is the body's");
    crate::json::json(&decision.body);
    let again =
        policy.decide(tenant, head, &decision.body, JSON, MonoNs(0)).expect("what we forward is accepted");
    assert_eq!(again.body, decision.body, "what is normal stays as it is");
    assert!(again.edits.is_empty(), "nothing is left to edit: {:?}", again.edits);
    true
}

fn head(path: &str) -> RequestHead {
    let text = format!(
        "POST /v1/{path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    );
    let head = HeadParser::new().parse(text.as_bytes(), &HEAD).expect("sound").expect("whole");
    head.request.expect("served")
}

/// One tenant, one model whose engine calls it by the same name, one arm, one worker.
fn policy() -> Policy {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, KEY.as_bytes());
    let arm = plan::Arm {
        name: "only".into(),
        weight: u32::try_from(BUCKETS).expect("ten thousand"),
        engine_model: "chat".into(),
        max_tokens_default: 100,
        max_tokens_max: 200,
        ..plan::Arm::default()
    };
    let model = plan::Model {
        name: "chat".into(),
        aliases: vec!["other".into()],
        arms: vec![arm],
        buckets: vec![0; BUCKETS],
        ..plan::Model::default()
    };
    let tenant = plan::Tenant {
        name: "alpha".into(),
        key_sha256: vec![digest.as_ref().to_vec()],
        models: vec!["chat".into()],
        ..plan::Tenant::default()
    };
    let worker = plan::Worker { name: "w0".into(), ..plan::Worker::default() };
    let plan = plan::Plan {
        tenants: vec![tenant],
        models: vec![model],
        workers: vec![worker],
        ..plan::Plan::default()
    };
    Policy::build(&plan, &LimitState::default()).expect("the plan is sound")
}
