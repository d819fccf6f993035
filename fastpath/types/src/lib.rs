//! What crosses between the stages: reasons, worker frames, the plan, a request's head. No I/O, no clock.

#![forbid(unsafe_code)]

pub mod dispatch;
pub mod gen;
pub mod identity;
pub mod ids;
pub mod request;
pub mod trace;
pub mod wire;

/// The plan as the agent sends it (`dpu_proto/fastpath/v1/fastpath.proto`).
#[allow(missing_docs, clippy::all)]
pub mod plan {
    include!(concat!(env!("OUT_DIR"), "/dpu.fastpath.v1.rs"));
}

pub use dispatch::Dispatch;
pub use gen::reasons::{Fault, Reason, ReasonInfo};
pub use identity::ClientCertificate;
pub use ids::{MonoNs, OwnKeyMap, RequestId};
pub use request::{Endpoint, Refusal, RequestHead};
pub use trace::Trace;
