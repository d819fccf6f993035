//! The plan checked again at the trust border: what the agent sends is believed only after this.

use crate::limits::{is_countable, Gcra, TOKENS_MAX};
use crate::steer::BUCKETS;
use dpu_types::plan::{Arm, Model, Plan, Problem, Tenant, TokenRate, Worker};
use std::collections::{BTreeMap, HashSet};

/// Tenants that a plan may have.
pub const TENANTS_MAX: usize = 16_384;
/// Models that a plan may have.
pub const MODELS_MAX: usize = 1_024;
/// Aliases that a model may have.
pub const ALIASES_MAX: usize = 64;
/// Workers that a plan may have.
pub const WORKERS_MAX: usize = 4_096;
/// Bytes of a name or alias; a worker frame carries names of up to 65,535.
const NAME_BYTES_MAX: usize = 256;

/// What is wrong with the plan as far as policy goes; empty means that [`crate::Policy`] can be built from it.
pub(crate) fn problems(plan: &Plan) -> Vec<Problem> {
    let mut check = Check::default();
    check.count("tenants", plan.tenants.len(), TENANTS_MAX);
    check.count("models", plan.models.len(), MODELS_MAX);
    check.count("workers", plan.workers.len(), WORKERS_MAX);
    check.workers(&plan.workers);
    check.models(&plan.models, &plan.workers);
    check.tenants(&plan.tenants, &plan.models);
    check.problems.extend(crate::steer::settings::problems(plan));
    check.token_rate("token_rate", plan.token_rate.as_ref());
    check.problems
}

/// Whether a worker has all labels that an arm asks for.
pub(crate) fn has_labels(worker: &Worker, arm: &Arm) -> bool {
    arm.worker_labels.iter().all(|(key, value)| worker.labels.get(key) == Some(value))
}

#[derive(Default)]
struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn add(&mut self, entry: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) {
        self.problems.push(Problem { entry: entry.into(), what: what.into(), fix: fix.into() });
    }

    fn count(&mut self, entry: &str, count: usize, max: usize) {
        if count > max {
            self.add(entry, format!("{count} {entry}, at most {max} are possible"), "remove some");
        }
    }

    fn name(&mut self, entry: &str, name: &str) {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let what = format!("not a name: 1 to {NAME_BYTES_MAX} bytes without control characters");
            self.add(entry, what, "choose another name");
        }
    }

    fn unique<'n>(&mut self, seen: &mut HashSet<&'n str>, entry: &str, name: &'n str) {
        self.name(entry, name);
        if !seen.insert(name) {
            self.add(entry, format!("'{name}' is there twice"), "give each its own name");
        }
    }

    fn workers(&mut self, workers: &[Worker]) {
        let mut names = HashSet::new();
        for (i, worker) in workers.iter().enumerate() {
            self.unique(&mut names, &format!("workers[{i}].name"), &worker.name);
        }
    }

    fn models(&mut self, models: &[Model], workers: &[Worker]) {
        let mut names = HashSet::new();
        for (i, model) in models.iter().enumerate() {
            self.unique(&mut names, &format!("models[{i}].name"), &model.name);
            self.count(&format!("models[{i}].aliases"), model.aliases.len(), ALIASES_MAX);
            for (j, alias) in model.aliases.iter().enumerate() {
                self.unique(&mut names, &format!("models[{i}].aliases[{j}]"), alias);
            }
            self.arms(&format!("models[{i}]"), model, workers);
            self.token_rate(&format!("models[{i}].token_rate"), model.token_rate.as_ref());
        }
    }

    fn arms(&mut self, entry: &str, model: &Model, workers: &[Worker]) {
        if model.arms.is_empty() || model.arms.len() > 255 {
            self.add(
                format!("{entry}.arms"),
                format!("{} arms", model.arms.len()),
                "give the model 1 to 255 arms",
            );
        }
        let mut names = HashSet::new();
        for (i, arm) in model.arms.iter().enumerate() {
            self.unique(&mut names, &format!("{entry}.arms[{i}].name"), &arm.name);
            self.arm(&format!("{entry}.arms[{i}]"), arm, workers);
        }
        let weights: u64 = model.arms.iter().map(|arm| u64::from(arm.weight)).sum();
        if weights != BUCKETS as u64 {
            self.add(
                format!("{entry}.arms"),
                format!("the weights add up to {weights}"),
                "make them add up to 10,000",
            );
        }
        self.buckets(&format!("{entry}.buckets"), model);
    }

    fn arm(&mut self, entry: &str, arm: &Arm, workers: &[Worker]) {
        self.name(&format!("{entry}.engine_model"), &arm.engine_model);
        if arm.max_tokens_default == 0 || arm.max_tokens_default > arm.max_tokens_max {
            let what = format!(
                "default {} and maximum {} of max_tokens",
                arm.max_tokens_default, arm.max_tokens_max
            );
            self.add(
                format!("{entry}.max_tokens_default"),
                what,
                "make it at least 1 and at most max_tokens_max",
            );
        }
        if !workers.iter().any(|worker| has_labels(worker, arm)) {
            let labels: BTreeMap<_, _> = arm.worker_labels.iter().collect();
            let what = format!("no worker has all of these labels: {labels:?}");
            self.add(format!("{entry}.worker_labels"), what, "label a worker so, or ask for fewer labels");
        }
    }

    /// The list has to be what the weights say: one entry per 0.01 %.
    fn buckets(&mut self, entry: &str, model: &Model) {
        if model.buckets.len() != BUCKETS {
            self.add(
                entry,
                format!("{} buckets instead of 10,000", model.buckets.len()),
                "send one byte per bucket",
            );
            return;
        }
        let mut counts = [0_u32; 256];
        for arm in &model.buckets {
            counts[usize::from(*arm)] += 1;
        }
        if counts.iter().skip(model.arms.len()).any(|count| *count > 0) {
            self.add(entry, "a bucket names an arm that is not there", "send indices into arms");
            return;
        }
        for (arm, count) in model.arms.iter().zip(counts) {
            if arm.weight != count {
                let what = format!("arm '{}' has {count} buckets and the weight {}", arm.name, arm.weight);
                self.add(entry, what, "give each arm as many buckets as its weight");
            }
        }
    }

    fn tenants(&mut self, tenants: &[Tenant], models: &[Model]) {
        let models: HashSet<&str> = models.iter().map(|model| model.name.as_str()).collect();
        let (mut names, mut keys) = (HashSet::new(), HashSet::new());
        for (i, tenant) in tenants.iter().enumerate() {
            let entry = format!("tenants[{i}]");
            self.unique(&mut names, &format!("{entry}.name"), &tenant.name);
            for (j, key) in tenant.key_sha256.iter().enumerate() {
                self.key(&format!("{entry}.key_sha256[{j}]"), key, keys.insert(key.as_slice()));
            }
            for (j, model) in
                tenant.models.iter().enumerate().filter(|(_, model)| !models.contains(model.as_str()))
            {
                let what = format!("there is no model '{model}'");
                self.add(format!("{entry}.models[{j}]"), what, "name a model of the plan, not an alias");
            }
            self.tenant_limits(&entry, tenant);
        }
    }

    fn key(&mut self, entry: &str, key: &[u8], fresh: bool) {
        if key.len() != 32 {
            self.add(entry, format!("{} bytes", key.len()), "send the 32 bytes of the key's SHA-256");
        } else if !fresh {
            self.add(entry, "this key is there twice", "give each tenant keys of its own");
        }
    }

    fn token_rate(&mut self, entry: &str, rate: Option<&TokenRate>) {
        let Some(rate) = rate.filter(|rate| !is_countable(rate)) else { return };
        let what = format!("{} tokens in {} ms, burst {}", rate.tokens, rate.interval_ms, rate.burst);
        let fix = format!("make each 1 to {TOKENS_MAX}, and at most 1,000,000,000 tokens a second");
        self.add(entry, what, fix);
    }

    fn tenant_limits(&mut self, entry: &str, tenant: &Tenant) {
        if u8::try_from(tenant.priority).is_err() {
            self.add(format!("{entry}.priority"), format!("{}", tenant.priority), "use 0 (lowest) to 255");
        }
        self.token_rate(&format!("{entry}.token_rate"), tenant.token_rate.as_ref());
        let Some(rate) = &tenant.request_rate else { return };
        if Gcra::new(rate.requests, rate.interval_ms, rate.burst).is_none() {
            let what = format!("{} requests in {} ms, burst {}", rate.requests, rate.interval_ms, rate.burst);
            let fix = "make each at least 1, and interval x burst / requests less than 500 years";
            self.add(format!("{entry}.request_rate"), what, fix);
        }
    }
}

#[cfg(test)]
mod tests;
