//! One plan made quick to ask, and the order in which a request is judged.

mod budgets;
mod identity;

pub use budgets::TokenLevel;

use crate::auth::{sha256, Credentials, KeyFiles};
use crate::decision::{Decision, Refused};
use crate::json::{canonical, JsonLimits, Tree};
use crate::limits::{
    Ask, Bucket, Buckets, Gcra, Ledger, LimitState, Permit, Rates, Reservation, Scope, Usage,
};
use crate::rules::{self, Normalised};
use crate::steer::{self, Arm, Model};
use crate::{check, TenantIndex};
use budgets::build_shared_buckets;
use bytes::Bytes;
use dpu_types::{plan, MonoNs, OwnKeyMap, Reason, Refusal, RequestHead};
use std::sync::Arc;

/// How long a tenant at its concurrency limit is asked to wait. Nobody knows when a running request ends; a second
/// is in the order of a short answer.
const CONCURRENCY_RETRY_MS: u64 = 1_000;

/// A checked plan. Immutable: a new plan is a new `Policy`, and both can be asked at the same time.
#[derive(Debug)]
pub struct Policy {
    epoch: u64,
    credentials: Credentials,
    tenants: Vec<Tenant>,
    /// Answers for an index of another policy: may use nothing.
    nobody: Tenant,
    models: Vec<Model>,
    conversation_id_bytes_max: usize,
    /// Token buckets of the models, by their index.
    model_tokens: Vec<Option<Arc<Bucket>>>,
    /// The token bucket for all.
    all_tokens: Option<Arc<Bucket>>,
    /// Names and aliases.
    names: Names,
}

#[derive(Debug)]
struct Tenant {
    name: Arc<str>,
    hash: [u8; 16],
    priority: u8,
    queue_weight: u32,
    arm_override: bool,
    gcra: Option<Gcra>,
    concurrency_max: u32,
    usage: Arc<Usage>,
    tokens: Option<Arc<Bucket>>,
    grant_tokens_min: u32,
    /// The books for each allowed model, by its index.
    ledgers: Box<[(usize, Arc<Ledger>)]>,
    /// By model index.
    allowed: Box<[bool]>,
    /// Names and aliases of the allowed models.
    models: Vec<Arc<str>>,
}

/// Indices of models by name and alias. The names are the plan's; a caller can only look for one.
type Names = OwnKeyMap<Arc<str>, usize>;

/// A refusal before the rate of the tenant is known.
type Early = (Refusal, Option<Arc<str>>);

impl Policy {
    /// Checks the plan and builds what is asked per request. `limits` learns the tenants' names.
    ///
    /// # Errors
    /// Everything that is wrong with the plan; nothing was changed then.
    pub fn build(plan: &plan::Plan, limits: &LimitState) -> Result<Self, Vec<plan::Problem>> {
        Self::build_with(plan, limits, &KeyFiles::new())
    }

    /// The same for a plan that names JWKS files: `files` is what they hold.
    ///
    /// # Errors
    /// Everything that is wrong with the plan or the files; nothing was changed then.
    pub fn build_with(
        plan: &plan::Plan,
        limits: &LimitState,
        files: &KeyFiles,
    ) -> Result<Self, Vec<plan::Problem>> {
        let problems = check::problems(plan);
        if !problems.is_empty() {
            return Err(problems);
        }
        let credentials = Credentials::build(plan, files)?;
        let models: Vec<Model> = plan.models.iter().map(|model| build_model(model, &plan.workers)).collect();
        let names = build_names(plan);
        let tenants = build_tenants(plan, limits, &names);
        let conversation_id_bytes_max = steer::steering_of(plan).conversation_id_bytes_max as usize;
        let (model_tokens, all_tokens) = build_shared_buckets(plan, limits);
        Ok(Self {
            epoch: plan.epoch,
            credentials,
            tenants,
            nobody: nobody(),
            models,
            model_tokens,
            all_tokens,
            conversation_id_bytes_max,
            names,
        })
    }

    /// The plan's epoch.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The tenant's name, for records and metrics.
    #[must_use]
    pub fn tenant_name(&self, tenant: TenantIndex) -> &Arc<str> {
        &self.tenant(tenant).name
    }

    /// Names and aliases of the models that the tenant may use, in the plan's order.
    pub fn models(&self, tenant: TenantIndex) -> impl Iterator<Item = &Arc<str>> {
        self.tenant(tenant).models.iter()
    }

    /// What is left to the tenant now, whichever model it would ask.
    #[must_use]
    pub fn rate(&self, tenant: TenantIndex, now: MonoNs) -> Rates {
        self.rate_for(tenant, None, now)
    }

    /// Judges one request: parse, model and permission, arm, rules, limits, receipt. Limits come last, so that a
    /// request refused for its form uses nothing up.
    ///
    /// # Errors
    /// The one reason why it goes nowhere; nothing was taken then.
    pub fn decide(
        &self,
        tenant: TenantIndex,
        head: &RequestHead,
        body: &[u8],
        json: JsonLimits,
        now: MonoNs,
    ) -> Result<Decision, Refused> {
        let judged = self.judge(tenant, head, body, json);
        let (asked, normalised) = judged.map_err(|(refusal, model)| Refused {
            refusal,
            model,
            rate: Box::new(self.rate(tenant, now)),
        })?;
        let owner = self.tenant(tenant);
        let buckets = self.buckets(owner, Some(asked.index));
        let admitted = owner.admit(asked.index, buckets, &normalised, now).map_err(|refusal| Refused {
            refusal,
            model: Some(Arc::clone(&asked.model.name)),
            rate: Box::new(self.rate_for(tenant, Some(asked.index), now)),
        })?;
        Ok(asked.decision(tenant, owner, normalised, admitted))
    }

    fn tenant(&self, tenant: TenantIndex) -> &Tenant {
        self.tenants.get(tenant.0).unwrap_or(&self.nobody)
    }

    fn judge(
        &self,
        tenant: TenantIndex,
        head: &RequestHead,
        body: &[u8],
        json: JsonLimits,
    ) -> Result<(Asked<'_>, Normalised), Early> {
        let tree = Tree::parse(body, json).map_err(|error| (error.into(), None))?;
        let fields = rules::Fields::of(&tree, head.endpoint).map_err(|refusal| (refusal, None))?;
        let owner = self.tenant(tenant);
        let (index, model, model_asked) = self.model_of(owner, &fields)?;
        let with_model = |refusal| (refusal, Some(Arc::clone(&model.name)));
        let header = head.conversation_id.as_deref();
        if header.is_some_and(|id| id.len() > self.conversation_id_bytes_max) {
            let what = format!("at most {} bytes", self.conversation_id_bytes_max);
            return Err(with_model(Refusal::from(Reason::ConversationIdTooLong).because(what)));
        }
        let conversation = fields.conversation(&owner.name, header);
        let bucket = steer::bucket_in(conversation);
        let asked_arm = head.arm_override.as_deref();
        let arm = match asked_arm {
            Some(_) if !owner.arm_override => return Err(with_model(Reason::ArmOverrideForbidden.into())),
            Some(name) => model.arm_named(name).map_err(with_model)?,
            None => model.arm(bucket).ok_or_else(|| with_model(Reason::Internal.into()))?,
        };
        let alias = model_asked != model.name;
        let normalised = fields.normalise(arm, alias).map_err(with_model)?;
        let arm_overridden = asked_arm.is_some();
        Ok((Asked { index, model, model_asked, arm, arm_overridden, conversation }, normalised))
    }
}

impl Policy {
    fn model_of(
        &self,
        owner: &Tenant,
        fields: &rules::Fields<'_>,
    ) -> Result<(usize, &Model, Arc<str>), Early> {
        let asked = fields.model().map_err(|refusal| (refusal, None))?;
        let unknown = || (Refusal::from(Reason::ModelNotFound).at("model"), None);
        let (name, index) = self.names.get_key_value(&*asked).ok_or_else(unknown)?;
        let model = self.models.get(*index).ok_or_else(unknown)?;
        if !owner.allowed.get(*index).copied().unwrap_or(false) {
            return Err((Refusal::from(Reason::ModelForbidden).at("model"), Some(Arc::clone(&model.name))));
        }
        Ok((*index, model, Arc::clone(name)))
    }
}

/// What a request asks for, found in the plan.
struct Asked<'p> {
    index: usize,
    model: &'p Model,
    model_asked: Arc<str>,
    arm: &'p Arm,
    arm_overridden: bool,
    conversation: u64,
}

impl Asked<'_> {
    fn decision(
        self,
        tenant: TenantIndex,
        owner: &Tenant,
        normalised: Normalised,
        admitted: Admitted,
    ) -> Decision {
        let Admitted { permit, tokens, rate } = admitted;
        Decision {
            tenant,
            tenant_hash: owner.hash,
            model: Arc::clone(&self.model.name),
            model_asked: self.model_asked,
            arm: Arc::clone(&self.arm.name),
            engine_model: Arc::clone(&self.arm.engine_model),
            arm_overridden: self.arm_overridden,
            warm_key: self.conversation ^ self.arm.engine_hash,
            bucket: steer::bucket_in(self.conversation),
            stream: normalised.stream,
            include_usage: normalised.include_usage,
            token_budget: tokens.grant(),
            choices: normalised.choices,
            priority: owner.priority,
            queue_weight: owner.queue_weight,
            receipt_sha256: sha256(&normalised.body),
            body: Bytes::from(normalised.body),
            edits: normalised.edits,
            workers: Arc::clone(&self.arm.workers),
            rate,
            permit,
            tokens,
        }
    }
}

/// What a request has taken of the limits.
struct Admitted {
    permit: Permit,
    tokens: Reservation,
    rate: Rates,
}

impl Tenant {
    /// Takes a place, the tokens and one request of the rate, or nothing.
    ///
    /// Place and tokens are taken first because they can be given back without a trace, which a request of the rate
    /// cannot (its bucket may have filled up meanwhile). Where several are used up, the rate is the reason given.
    fn admit(
        &self,
        model: usize,
        buckets: Buckets,
        normalised: &Normalised,
        now: MonoNs,
    ) -> Result<Admitted, Refusal> {
        let permit = Permit::take(&self.usage, self.concurrency_max);
        let Some(permit) = permit else { return Err(self.at_concurrency_limit(now)) };
        let ask = Ask {
            prompt_bytes: normalised.prompt_bytes,
            tokens: normalised.tokens,
            choices: normalised.choices,
            tokens_min: self.grant_tokens_min,
        };
        let ledger = self.ledger(model).ok_or(Reason::Internal)?;
        let tokens =
            Reservation::take(buckets, ledger, ask, now).map_err(|short| self.without_tokens(short, now))?;
        let requests = self.gcra.map(|gcra| gcra.take(&self.usage, now)).transpose().map_err(rate_limited)?;
        let rate = Rates { requests, tokens: tokens.view_held(now) };
        Ok(Admitted { permit, tokens, rate })
    }

    /// There for every model that the tenant may use.
    fn ledger(&self, model: usize) -> Option<Arc<Ledger>> {
        let at = self.ledgers.binary_search_by_key(&model, |(index, _)| *index).ok()?;
        self.ledgers.get(at).map(|(_, ledger)| Arc::clone(ledger))
    }

    /// A request whose tokens are not there: it also has to wait for the rate, where that is longer.
    fn without_tokens(&self, mut short: Refusal, now: MonoNs) -> Refusal {
        let wait = self.gcra.and_then(|gcra| gcra.wait_ms(&self.usage, now));
        short.retry_after_ms = short.retry_after_ms.map(|ms| ms.max(wait.unwrap_or(0)));
        short
    }

    fn at_concurrency_limit(&self, now: MonoNs) -> Refusal {
        match self.gcra.and_then(|gcra| gcra.wait_ms(&self.usage, now)) {
            Some(ms) => rate_limited(ms),
            None => Refusal::from(Reason::ConcurrencyLimited).retry_after_ms(CONCURRENCY_RETRY_MS),
        }
    }
}

fn rate_limited(ms: u64) -> Refusal {
    Refusal::from(Reason::RateLimited).retry_after_ms(ms)
}

fn nobody() -> Tenant {
    Tenant {
        name: Arc::from("_unknown"),
        hash: [0; 16],
        priority: 0,
        queue_weight: 1,
        arm_override: false,
        gcra: None,
        concurrency_max: 1,
        usage: Arc::default(),
        tokens: None,
        grant_tokens_min: 1,
        ledgers: Box::default(),
        allowed: Box::default(),
        models: Vec::new(),
    }
}

fn build_names(plan: &plan::Plan) -> Names {
    let mut names = Names::default();
    for (i, model) in plan.models.iter().enumerate() {
        names.insert(Arc::from(model.name.as_str()), i);
        names.extend(model.aliases.iter().map(|alias| (Arc::from(alias.as_str()), i)));
    }
    names
}

fn build_model(model: &plan::Model, workers: &[plan::Worker]) -> Model {
    Model {
        name: Arc::from(model.name.as_str()),
        arms: model.arms.iter().map(|arm| build_arm(arm, workers)).collect(),
        buckets: model.buckets.as_slice().into(),
    }
}

fn build_arm(arm: &plan::Arm, workers: &[plan::Worker]) -> Arm {
    let mut engine_model_json = Vec::new();
    canonical::write_string(&mut engine_model_json, &arm.engine_model);
    let fits = |(_, worker): &(usize, &plan::Worker)| check::has_labels(worker, arm);
    Arm {
        name: Arc::from(arm.name.as_str()),
        engine_model: Arc::from(arm.engine_model.as_str()),
        engine_hash: steer::engine_hash(&arm.engine_model),
        engine_model_json: engine_model_json.into(),
        max_tokens_default: arm.max_tokens_default,
        max_tokens_max: arm.max_tokens_max,
        workers: workers.iter().enumerate().filter(fits).map(|(i, _)| i).collect(),
    }
}

fn build_tenants(plan: &plan::Plan, limits: &LimitState, names: &Names) -> Vec<Tenant> {
    let tenant_names: Vec<Arc<str>> =
        plan.tenants.iter().map(|tenant| Arc::from(tenant.name.as_str())).collect();
    let usages = limits.usage_of(&tenant_names);
    let each = plan.tenants.iter().zip(tenant_names).zip(usages);
    each.map(|((tenant, name), usage)| build_tenant(plan, tenant, (name, usage), names, limits)).collect()
}

fn build_tenant(
    plan: &plan::Plan,
    tenant: &plan::Tenant,
    (name, usage): (Arc<str>, Arc<Usage>),
    names: &Names,
    limits: &LimitState,
) -> Tenant {
    let may = |model: &plan::Model| tenant.models.contains(&model.name);
    let called = |model: &plan::Model| std::iter::once(model.name.clone()).chain(model.aliases.clone());
    let models = plan.models.iter().filter(|model| may(model)).flat_map(called);
    let bucket =
        |rate| Bucket::new(Scope::Tenant, Arc::clone(&name), rate, Arc::clone(&usage.tokens), limits.now());
    let ledger = |(index, model): (usize, &plan::Model)| {
        (index, limits.ledger_of(&name, &Arc::from(model.name.as_str())))
    };
    let [hash @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = sha256(name.as_bytes());
    Tenant {
        hash,
        priority: u8::try_from(tenant.priority).unwrap_or(u8::MAX),
        queue_weight: tenant.queue_weight.max(1),
        arm_override: tenant.arm_override,
        gcra: tenant.request_rate.and_then(|rate| Gcra::new(rate.requests, rate.interval_ms, rate.burst)),
        concurrency_max: tenant.concurrency_max,
        tokens: tenant.token_rate.as_ref().and_then(bucket).map(Arc::new),
        grant_tokens_min: tenant.grant_tokens_min.max(1),
        ledgers: plan.models.iter().enumerate().filter(|(_, model)| may(model)).map(ledger).collect(),
        allowed: plan.models.iter().map(may).collect(),
        models: models
            .filter_map(|called| names.get_key_value(called.as_str()).map(|(name, _)| name.clone()))
            .collect(),
        name,
        usage,
    }
}

#[cfg(test)]
mod budget_tests;
#[cfg(test)]
pub(crate) mod tests;
