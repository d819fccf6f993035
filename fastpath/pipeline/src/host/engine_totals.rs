//! What the engine did, for engines whose answers are made here (echo); the others count in Python, under the same names.

use super::report::{family, Ended};
use crate::histogram::{Histogram, CANCEL, FIRST_TOKEN};
use dpu_ucx::Summary;
use serde_json::{json, Value};
use std::collections::BTreeMap;

/// Names of models that are counted apart; what is beyond is `_other`. Names come from plans, so this is never met.
const MODELS_MAX: usize = 256;
const OTHER: &str = "_other";
const OUTCOMES: [(Ended, &str); 3] =
    [(Ended::Answered, "answered"), (Ended::Cancelled, "cancelled"), (Ended::Failed, "failed")];

/// Counted since the start.
#[derive(Clone, Debug)]
pub struct EngineTotals {
    /// By model: answered, cancelled, failed.
    requests: BTreeMap<String, [u64; 3]>,
    prompt: u64,
    completion: u64,
    first_token: Histogram,
    cancel: Histogram,
}

impl Default for EngineTotals {
    fn default() -> Self {
        let (first_token, cancel) = (Histogram::new(&FIRST_TOKEN), Histogram::new(&CANCEL));
        Self { requests: BTreeMap::new(), prompt: 0, completion: 0, first_token, cancel }
    }
}

impl EngineTotals {
    /// One request ended; `Lost` counts as cancelled, as it does for the other engines.
    pub fn count(&mut self, model: &str, ended: Ended) {
        let at = match ended {
            Ended::Answered => 0,
            Ended::Failed => 2,
            _ => 1,
        };
        let known = self.requests.contains_key(model) || self.requests.len() < MODELS_MAX;
        let model = if known { model } else { OTHER };
        match self.requests.get_mut(model) {
            Some(counts) => counts[at] += 1,
            None => self.requests.entry(model.to_owned()).or_default()[at] += 1,
        }
    }

    /// The figures of an answer.
    pub fn answered(&mut self, summary: &Summary) {
        self.prompt += u64::from(summary.prompt_tokens);
        self.completion += u64::from(summary.completion_tokens);
        if summary.completion_tokens > 0 {
            self.first_token.observe(summary.prefill_us.saturating_mul(1000));
        }
    }

    /// How long a cancelled request took to stop.
    pub fn stopped(&mut self, cancel_us: u64) {
        self.cancel.observe(cancel_us.saturating_mul(1000));
    }

    /// Families for `/metrics`.
    pub fn families(&self, wasted: u64) -> Vec<Value> {
        let requests = self.requests.iter().flat_map(|(model, counts)| {
            OUTCOMES.iter().zip(counts).map(move |((_, name), count)| (vec![model.as_str(), *name], *count))
        });
        let tokens =
            [("prompt", self.prompt), ("cached", 0), ("completion", self.completion), ("wasted", wasted)];
        let tokens = tokens.map(|(kind, count)| (vec![kind], count));
        vec![
            family(
                "engine_requests",
                "counter",
                "Requests that a slot took",
                &["model", "outcome"],
                &requests.collect::<Vec<_>>(),
            ),
            family("engine_tokens", "counter", "Tokens by kind", &["kind"], &tokens),
            histogram("engine_first_token_seconds", "Slot taken to first token", &self.first_token),
            histogram("engine_cancel_seconds", "CANCEL seen to slot free", &self.cancel),
        ]
    }
}

/// A family of one histogram, in seconds.
pub fn histogram(name: &str, help: &str, of: &Histogram) -> Value {
    let finite = of.cumulative().map(|(bound, count)| json!([bound, count]));
    let buckets: Vec<Value> = finite.chain([json!(["+Inf", of.count()])]).collect();
    json!({
        "name": format!("dpu_worker_{name}"),
        "type": "histogram",
        "help": help,
        "labels": [],
        "samples": [{"labels": [], "buckets": buckets, "sum": of.sum(), "count": of.count()}],
    })
}
