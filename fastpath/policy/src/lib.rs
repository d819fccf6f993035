//! What may pass, as what, and where to: authenticate, normalise, limit and steer one request at a time.
//!
//! Pure: no I/O, no clock, no threads. A [`Policy`] is one plan, checked and made quick to ask; it is immutable and
//! replaced whole. What has to outlive it (how much of its rate a tenant has used) is the [`LimitState`].

#![forbid(unsafe_code)]

mod auth;
mod check;
mod decision;
pub mod json;
mod limits;
mod policy;
pub mod rules;
mod steer;

pub use auth::{KeyFiles, TenantIndex, TokenCache, TokenCounts, FILE_BYTES_MAX as KEY_FILE_BYTES_MAX};
pub use check::{ALIASES_MAX, MODELS_MAX, TENANTS_MAX, WORKERS_MAX};
pub use decision::{Decision, Edit, Refused};
pub use json::JsonLimits;
pub use limits::{
    LimitState, Permit, RateView, Rates, Reservation, Scope, Settled, TokenView, Totals, LEDGERS_MAX,
};
pub use policy::{Policy, TokenLevel};
pub use steer::{bucket_of, choose, queue_of, steering_of, Candidate, Warmth, Why, BUCKETS};
