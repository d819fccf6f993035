//! The token buckets of a plan: whose they are, what is left in them, and which of them a request is asked of.

use super::{Policy, Tenant};
use crate::limits::{tightest, Bucket, Buckets, LimitState, Rates, Scope};
use crate::TenantIndex;
use dpu_types::{plan, MonoNs};
use std::sync::Arc;

/// One token bucket now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLevel<'p> {
    /// Whose it is.
    pub scope: Scope,
    /// The tenant's or model's name; empty for the one for all.
    pub name: &'p str,
    /// Tokens that it holds at most.
    pub burst: i64,
    /// Tokens that are neither used nor reserved; below zero where tokens are owed.
    pub left: i64,
    /// Tokens that running requests hold.
    pub reserved: i64,
}

impl Policy {
    /// What is left to the tenant for one model.
    pub(super) fn rate_for(&self, tenant: TenantIndex, model: Option<usize>, now: MonoNs) -> Rates {
        let owner = self.tenant(tenant);
        let requests = owner.gcra.map(|gcra| gcra.view(&owner.usage, now));
        let tokens = tightest(&self.buckets(owner, model), |bucket| bucket.view(0, now));
        Rates { requests, tokens }
    }

    /// The plan serves from now on: token buckets whose rate it changes go on by it.
    pub fn adopt(&self, now: MonoNs) {
        self.token_buckets().for_each(|bucket| bucket.adopt(now));
    }

    /// Every token bucket: whose it is, its name, what it holds at most, what is left (below zero where tokens are
    /// owed) and what running requests hold.
    pub fn token_levels(&self, now: MonoNs) -> impl Iterator<Item = TokenLevel<'_>> {
        self.token_buckets().map(move |bucket| TokenLevel {
            scope: bucket.scope,
            name: &bucket.name,
            burst: bucket.burst(),
            left: bucket.left(now),
            reserved: bucket.reserved(),
        })
    }

    fn token_buckets(&self) -> impl Iterator<Item = &Arc<Bucket>> {
        let tenants = self.tenants.iter().map(|tenant| &tenant.tokens);
        self.model_tokens.iter().chain([&self.all_tokens]).chain(tenants).flatten()
    }

    /// The buckets of a request, in the order in which they are asked.
    pub(super) fn buckets(&self, owner: &Tenant, model: Option<usize>) -> Buckets {
        let of_model = model.and_then(|index| self.model_tokens.get(index)).cloned().flatten();
        [owner.tokens.clone(), of_model, self.all_tokens.clone()]
    }
}

/// The token buckets of the models, and the one for all.
pub(super) fn build_shared_buckets(
    plan: &plan::Plan,
    limits: &LimitState,
) -> (Vec<Option<Arc<Bucket>>>, Option<Arc<Bucket>>) {
    let names: Vec<Arc<str>> = plan.models.iter().map(|model| Arc::from(model.name.as_str())).collect();
    let levels = limits.levels_of(&names);
    let each = plan.models.iter().zip(names).zip(levels);
    let models = each.map(|((model, name), level)| {
        let bucket = |rate| Bucket::new(Scope::Model, name, rate, level, limits.now());
        model.token_rate.as_ref().and_then(bucket).map(Arc::new)
    });
    let all = plan.token_rate.as_ref();
    let all = all
        .and_then(|rate| Bucket::new(Scope::All, Arc::from(""), rate, limits.level_of_all(), limits.now()));
    (models.collect(), all.map(Arc::new))
}
