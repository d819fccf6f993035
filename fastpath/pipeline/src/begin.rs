//! The first half of a request: policy over its head and whole body, and the way to a worker.

use crate::answer::{extra_fields, refusal_answer, Answer, Answered, Ending};
use crate::caller::Caller;
use crate::clock;
use crate::core::Core;
use crate::exchange::place::Ground;
use crate::exchange::{Exchange, Held, Open};
use crate::placement::Avoid;
use crate::programmed::Programmed;
use crate::record::{Protocol, Record};
use crate::slot::Slot;
use dpu_http::answer;
use dpu_policy::{Decision, Rates, TenantIndex};
use dpu_types::{Endpoint, Reason, Refusal, RequestHead};
use std::rc::Rc;
use std::sync::Arc;

/// What policy made of a request.
pub enum Begun {
    /// Answered already: refused, or nothing a worker is needed for.
    Answered(Box<Answered>),
    /// A worker has it.
    Running(Box<Exchange>),
}

impl Begun {
    /// With the `allow` field of a 405.
    #[must_use]
    pub fn allowing(mut self, methods: Option<&'static str>) -> Self {
        if let (Self::Answered(answered), Some(methods)) = (&mut self, methods) {
            answered.answer.extra.allow(methods);
        }
        self
    }
}
/// A request that may be read on: who asks, and the plan that judges it.
pub struct Admitted {
    plan: Arc<Programmed>,
    tenant: TenantIndex,
}

/// Judges a head before its body is read: nobody sends us megabytes before we know who it is.
///
/// # Errors
/// The answer that says no, to be written in place of reading the body.
pub fn admit(
    core: &Rc<Core>,
    record: &mut Record,
    head: &RequestHead,
    caller: &Caller,
) -> Result<Admitted, Refusal> {
    record.join(head.traceparent.as_deref());
    let plan = core.programmed.borrow().clone().ok_or(Reason::NotProgrammed)?;
    record.epoch = plan.epoch;
    if core.is_draining.is_up() {
        return Err(Reason::Draining.into());
    }
    caller.check_host(&head.host)?;
    let (authorization, now_s) = (head.authorization.as_deref(), record.started_unix_ms / 1000);
    let tenant = caller.tenant(&plan, authorization, now_s, &mut core.tokens.borrow_mut())?;
    record.tenant = Some(Arc::clone(plan.policy.tenant_name(tenant)));
    record.owner = Some(tenant);
    Ok(Admitted { plan, tenant })
}

/// Runs policy over an admitted request whose body is whole.
pub fn begin(
    core: &Rc<Core>,
    mut record: Record,
    admitted: Admitted,
    head: &RequestHead,
    body: &[u8],
    limits: &crate::Limits,
) -> Begun {
    let Admitted { plan, tenant } = admitted;
    if !head.endpoint.takes_body() {
        let rate = plan.policy.rate(tenant, record.started);
        return list_models(core, record, &plan, tenant, head, rate);
    }
    match plan.policy.decide(tenant, head, body, limits.json, record.started) {
        Err(refused) => {
            record.model = refused.model;
            refuse(core, record, &refused.refusal, Some(*refused.rate))
        }
        // What is full here is full for every tenant: it is not theirs to pay.
        Ok(decision) if core.running() >= limits.requests_running_max => {
            decision.permit.refund_request();
            record.note_decision(&decision);
            refuse_decided(core, record, decision, &Reason::RequestsFull.into())
        }
        Ok(decision) => dispatch(core, record, plan, decision, head.endpoint, limits.request_timeout_ms),
    }
}

/// An answer that says no. `rate` None: what is left to the record's tenant now, if it has one.
pub fn refuse(core: &Rc<Core>, mut record: Record, refusal: &Refusal, rate: Option<Rates>) -> Begun {
    let rate = rate.or_else(|| rate_now(core, &record));
    let answer = refusal_answer(refusal, record.request_id, rate);
    record.status = answer.status;
    answered(core, answer, record, refusal.reason)
}

/// Refuses what policy had let through: its tokens and its place go back before the answer says what is left.
fn refuse_decided(core: &Rc<Core>, record: Record, decision: Decision, refusal: &Refusal) -> Begun {
    drop(decision);
    refuse(core, record, refusal, None)
}

fn rate_now(core: &Core, record: &Record) -> Option<Rates> {
    let plan = core.programmed.borrow();
    // An index is worth nothing to another plan.
    let plan = plan.as_ref().filter(|plan| plan.epoch == record.epoch)?;
    Some(plan.policy.rate(record.owner?, clock::now()))
}

fn answered(core: &Rc<Core>, answer: Answer, record: Record, reason: Reason) -> Begun {
    let ending = Ending::new(Rc::clone(core), record, reason);
    Begun::Answered(Box::new(Answered { answer, ending }))
}

fn list_models(
    core: &Rc<Core>,
    mut record: Record,
    plan: &Programmed,
    tenant: TenantIndex,
    head: &RequestHead,
    rate: Rates,
) -> Begun {
    let created_s = record.started_unix_ms / 1000;
    let mut body = Vec::with_capacity(256);
    if head.endpoint == Endpoint::Model {
        let Some(name) = plan.policy.models(tenant).find(|name| ***name == *head.path_id) else {
            let refusal = Refusal::from(Reason::ModelNotFound).at("model");
            return refuse(core, record, &refusal, Some(rate));
        };
        answer::model(&mut body, name, created_s);
    } else {
        answer::models_list(&mut body, plan.policy.models(tenant).map(|name| &**name), created_s);
    }
    record.status = 200;
    let answer = Answer { status: 200, body, extra: extra_fields(record.request_id, rate) };
    answered(core, answer, record, Reason::None)
}

/// Chooses a worker and gives it the request.
fn dispatch(
    core: &Rc<Core>,
    mut record: Record,
    plan: Arc<Programmed>,
    decision: Decision,
    endpoint: Endpoint,
    timeout_ms: u32,
) -> Begun {
    record.note_decision(&decision);
    let deadline = record.started.plus_ms(u64::from(timeout_ms));
    let slot = Rc::new(Slot::default());
    // What lasts until the end is large: it is made here once, and stays where it is.
    let mut open = Box::new(Open { record, decision, held: Held::Nowhere, endpoint });
    let mut avoid = Avoid::default();
    let ground = Ground { core, plan: &plan, slot: &slot, deadline };
    match ground.find_place(&mut open, &mut avoid) {
        Err(refusal) => {
            // It is not the tenant who is at fault.
            open.decision.permit.refund_request();
            let Open { record, decision, .. } = *open;
            refuse_decided(core, record, decision, &refusal)
        }
        Ok(()) => Begun::Running(Box::new(Exchange::new(Rc::clone(core), plan, slot, deadline, open, avoid))),
    }
}

impl Record {
    fn note_decision(&mut self, decision: &Decision) {
        self.model = Some(Arc::clone(&decision.model));
        self.model_asked = Some(Arc::clone(&decision.model_asked));
        self.arm = Some(Arc::clone(&decision.arm));
        self.bucket = Some(decision.bucket);
        self.arm_overridden = decision.arm_overridden;
        self.edits.clone_from(&decision.edits);
        self.receipt_sha256 = Some(decision.receipt_sha256);
        self.stream = decision.stream;
        self.tokens_granted = decision.token_budget;
    }

    /// A record for a request whose head was accepted now.
    #[must_use]
    pub fn accept(core: &Core, caller: &Caller, endpoint: Option<Endpoint>, protocol: Protocol) -> Self {
        core.counters.lock().received += 1;
        let ends = Some(Rc::clone(caller.ends()));
        Self { ends, ..Self::begin(core.mint(), endpoint, protocol, clock::now()) }
    }
}
