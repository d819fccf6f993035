//! Tokens debited, given back and left: whoever adds these up sees that debited is what was sent.

use super::{value, Family};
use crate::fast_path::FastPath;

/// Token buckets that have series of their own: those for all and of the models first, then the tenants'. The rest
/// is only counted.
const BUCKETS_MAX: usize = 1024;

/// The families of token budgets.
pub fn families(fast_path: &FastPath) -> Vec<Family> {
    let mut all = books(fast_path);
    all.extend(levels(fast_path));
    all
}

fn books(fast_path: &FastPath) -> Vec<Family> {
    let totals = fast_path.token_totals();
    let family = |name, help, labels, samples| Family { name, kind: "counter", help, labels, samples };
    let debited = totals.iter().flat_map(|(tenant, model, totals)| {
        let kinds = [("prompt", totals.prompt), ("completion", totals.completion)];
        kinds.map(|(kind, tokens)| value([&**tenant, model, kind], tokens as f64))
    });
    let refunded = totals.iter().map(|(tenant, model, t)| value([&**tenant, model], t.refunded as f64));
    let cut = totals.iter().map(|(tenant, model, t)| value([&**tenant, model], t.cut as f64));
    vec![
        family(
            "dpu_tokens_debited",
            "Tokens debited. Completions are those of dpu_tokens_total once no request runs.",
            &["tenant", "model", "kind"],
            debited.collect(),
        ),
        family(
            "dpu_tokens_refunded",
            "Tokens that were reserved for a request, not used, and given back.",
            &["tenant", "model"],
            refunded.collect(),
        ),
        family(
            "dpu_budget_ended",
            "Answers that have all the tokens that the limits left for them, and were ended there.",
            &["tenant", "model"],
            cut.collect(),
        ),
    ]
}

fn levels(fast_path: &FastPath) -> Vec<Family> {
    let (mut left, mut reserved, mut burst, mut hidden) = (Vec::new(), Vec::new(), Vec::new(), 0_u32);
    fast_path.token_levels(|level| {
        if left.len() >= BUCKETS_MAX {
            hidden += 1;
            return;
        }
        let labels = [level.scope.label(), level.name];
        left.push(value(labels, level.left as f64));
        reserved.push(value(labels, level.reserved as f64));
        burst.push(value(labels, level.burst as f64));
    });
    let family =
        |name, help, samples| Family { name, kind: "gauge", help, labels: &["scope", "owner"], samples };
    vec![
        family(
            "dpu_token_bucket_left",
            "Tokens that are neither used nor reserved; below zero where an engine counted more than was reserved.",
            left,
        ),
        family("dpu_token_bucket_reserved", "Tokens that running requests hold.", reserved),
        family("dpu_token_bucket_burst", "Tokens that the bucket holds at most.", burst),
        super::single(
            "dpu_token_buckets_hidden",
            "gauge",
            "Token buckets beyond those that have series of their own.",
            u64::from(hidden),
        ),
    ]
}
