//! Event streams as OpenAI-compatible servers send them: `data: {...}` events, `data: [DONE]` last.

use crate::answer::{self, Kind, Usage};
use crate::json;
use dpu_types::{Refusal, RequestId};

/// One stream: what is the same in all of its events is written once.
pub struct Stream {
    kind: Kind,
    /// `data: {"id":...,"model":"...","choices":`
    prefix: Vec<u8>,
    /// With `stream_options.include_usage`, every event but the last says `"usage":null`.
    usage_null: bool,
}

impl Stream {
    /// `created_s`: Unix seconds. `model`: as the client asked for it. `include_usage`: as it asked for that.
    #[must_use]
    pub fn new(kind: Kind, id: &RequestId, created_s: u64, model: &str, include_usage: bool) -> Self {
        let object = match kind {
            Kind::Chat => "chat.completion.chunk",
            Kind::Text => "text_completion",
        };
        let mut prefix = Vec::with_capacity(160 + model.len());
        prefix.extend_from_slice(b"data: ");
        answer::head(&mut prefix, kind, id, object, created_s, model);
        prefix.extend_from_slice(b",\"choices\":");
        Self { kind, prefix, usage_null: include_usage }
    }

    /// Appends one event. `choices` is the JSON array of a TOKENS frame.
    pub fn chunk(&self, out: &mut Vec<u8>, choices: &[u8]) {
        out.extend_from_slice(&self.prefix);
        json::on_one_line(out, choices);
        out.extend_from_slice(if self.usage_null { b",\"usage\":null}\n\n" } else { b"}\n\n" });
    }

    /// Appends an event with the finish reason ("stop", "length") of one choice, where the worker sent none.
    pub fn finish(&self, out: &mut Vec<u8>, index: u32, finish_reason: &str) {
        let mut choices = Vec::with_capacity(80);
        choices.extend_from_slice(b"[{\"index\":");
        json::number(&mut choices, u64::from(index));
        choices.extend_from_slice(match self.kind {
            Kind::Chat => b",\"delta\":{},\"finish_reason\":".as_slice(),
            Kind::Text => b",\"text\":\"\",\"logprobs\":null,\"finish_reason\":",
        });
        json::string(&mut choices, finish_reason);
        choices.extend_from_slice(b"}]");
        self.chunk(out, &choices);
    }

    /// Appends the event with the usage and no choices: the last one before `[DONE]`, if it was asked for.
    pub fn usage(&self, out: &mut Vec<u8>, usage: Usage) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(b"[],\"usage\":");
        usage.put(out);
        out.extend_from_slice(b"}\n\n");
    }
}

/// Appends the terminal event of a complete stream.
pub fn done(out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: [DONE]\n\n");
}

/// Appends the event that ends a stream in an error; the OpenAI SDKs raise it as `APIError`. No `[DONE]` after it.
pub fn error_event(out: &mut Vec<u8>, refusal: &Refusal) {
    out.extend_from_slice(b"data: ");
    answer::error_body(out, refusal);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests;
