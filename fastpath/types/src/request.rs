//! A request's head as HTTP hands it to policy, whichever HTTP version it came over.

use crate::{Reason, Trace};

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`
    ChatCompletions,
    /// `POST /v1/completions`
    Completions,
    /// `POST /v1/embeddings`
    Embeddings,
    /// `GET /v1/models`
    Models,
    /// `GET /v1/models/{id}`
    Model,
}

impl Endpoint {
    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat_completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Models => "models",
            Self::Model => "model",
        }
    }

    /// Whether a JSON body belongs to it.
    #[must_use]
    pub const fn takes_body(self) -> bool {
        !matches!(self, Self::Models | Self::Model)
    }
}

/// The head of a request whose framing is sound. Everything policy may look at, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// What is asked for.
    pub endpoint: Endpoint,
    /// The part of the path after `/v1/models/`, percent-decoded; empty elsewhere.
    pub path_id: String,
    /// Host or `:authority`, lower case, without the port.
    pub host: String,
    /// Value of `authorization`, if there is exactly one.
    pub authorization: Option<Vec<u8>>,
    /// Value of `x-conversation-id`.
    pub conversation_id: Option<Vec<u8>>,
    /// Value of `x-dpu-arm`, the tester's override.
    pub arm_override: Option<Vec<u8>>,
    /// `traceparent` with its `tracestate`, if it is valid (W3C Trace Context): the caller's span.
    pub traceparent: Option<Box<Trace>>,
}

/// A reason with what only this case knows: for the answer's body, headers and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Counted and logged.
    pub reason: Reason,
    /// JSON path of the field at fault ("messages[0].role"), the OpenAI error `param`.
    pub param: Option<String>,
    /// More than the reason's own message, for people. Never prompt text.
    pub detail: Option<String>,
    /// For `retry-after`: when a retry may succeed.
    pub retry_after_ms: Option<u64>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, param: None, detail: None, retry_after_ms: None }
    }
}

impl Refusal {
    /// With the field at fault.
    #[must_use]
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// With a sentence for people.
    #[must_use]
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With the time after which a retry may succeed.
    #[must_use]
    pub const fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}
