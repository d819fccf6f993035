//! What a decision is: everything that the next stage and the record of the request need.

use crate::limits::{Permit, Rates, Reservation};
use crate::TenantIndex;
use bytes::Bytes;
use dpu_types::Refusal;
use std::sync::Arc;

/// One change that normalisation made to the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The field, by the name that the caller gave it (or that we added).
    pub field: &'static str,
    /// `alias`, `engine_name`, `renamed`, `clamped`, `defaulted`, `smaller_of_two`, `dropped`, `engine_key`,
    /// `null` or `consumed`.
    pub what: &'static str,
}

/// A request that may go to a worker. Its place among the tenant's concurrent requests lasts until it is dropped.
#[derive(Debug)]
pub struct Decision {
    /// Whose it is; valid with the policy that decided.
    pub tenant: TenantIndex,
    /// First half of SHA-256 of the tenant's name.
    pub tenant_hash: [u8; 16],
    /// Our name of the model.
    pub model: Arc<str>,
    /// The name or alias that the caller used; answers carry it.
    pub model_asked: Arc<str>,
    /// The arm's name.
    pub arm: Arc<str>,
    /// The engine's name of the model.
    pub engine_model: Arc<str>,
    /// A tester chose the arm with the header `x-dpu-arm`.
    pub arm_overridden: bool,
    /// Hash of tenant, conversation key and engine model: what a worker's prefix cache is remembered by.
    pub warm_key: u64,
    /// 0 to 9,999.
    pub bucket: u16,
    /// The caller wants server-sent events.
    pub stream: bool,
    /// The caller wants usage in the stream (`stream_options.include_usage`).
    pub include_usage: bool,
    /// Completion tokens at most, over all choices: what was asked for, or what the token limits left of it; 0 where
    /// the endpoint generates none (embeddings).
    pub token_budget: u32,
    /// Choices of the answer.
    pub choices: u32,
    /// 0 is lowest.
    pub priority: u8,
    /// Turns in the queue beside tenants of the same priority.
    pub queue_weight: u32,
    /// RFC 8785 canonical JSON for the engine.
    pub body: Bytes,
    /// SHA-256 of `body`.
    pub receipt_sha256: [u8; 32],
    /// What was changed, in the order of the field names.
    pub edits: Vec<Edit>,
    /// Workers of the arm, as indices into the plan's list; never empty.
    pub workers: Arc<[usize]>,
    /// What is left to the tenant after this request.
    pub rate: Rates,
    /// The request's tokens: settle it when the request ends; dropped, it settles by itself.
    pub tokens: Reservation,
    /// Gives the tenant's place back when it is dropped: keep it until the last byte of the answer.
    pub permit: Permit,
}

/// A request that goes nowhere, with what is known about it for the answer and the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Our name of the model, where it was known by then.
    pub model: Option<Arc<str>>,
    /// What is left to the tenant; a refusal uses nothing up.
    pub rate: Box<Rates>,
}
