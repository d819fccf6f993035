//! Whole JSON bodies: errors, completions, model lists, embeddings, in OpenAI's shapes.

use crate::json;
use dpu_types::{Refusal, RequestId};

/// Which of the two generating endpoints an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Text,
}

impl Kind {
    pub(crate) const fn id_prefix(self) -> &'static str {
        match self {
            Self::Chat => "chatcmpl-",
            Self::Text => "cmpl-",
        }
    }

    const fn object(self) -> &'static str {
        match self {
            Self::Chat => "chat.completion",
            Self::Text => "text_completion",
        }
    }
}

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the prompt, cached ones included.
    pub prompt_tokens: u32,
    /// Of the prompt, those that came from the prefix cache.
    pub cached_tokens: u32,
    /// Generated.
    pub completion_tokens: u32,
}

impl Usage {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"prompt_tokens\":");
        json::number(out, u64::from(self.prompt_tokens));
        out.extend_from_slice(b",\"completion_tokens\":");
        json::number(out, u64::from(self.completion_tokens));
        out.extend_from_slice(b",\"total_tokens\":");
        json::number(out, u64::from(self.prompt_tokens) + u64::from(self.completion_tokens));
        out.extend_from_slice(b",\"prompt_tokens_details\":{\"cached_tokens\":");
        json::number(out, u64::from(self.cached_tokens));
        out.extend_from_slice(b"}}");
    }
}

/// Appends `{"error":{"message","type","param","code"}}`.
pub fn error_body(out: &mut Vec<u8>, refusal: &Refusal) {
    let info = refusal.reason.info();
    out.extend_from_slice(b"{\"error\":{\"message\":");
    match &refusal.detail {
        Some(detail) => json::string(out, &format!("{}: {detail}", info.message)),
        None => json::string(out, info.message),
    }
    out.extend_from_slice(b",\"type\":");
    json::string(out, if info.kind.is_empty() { "server_error" } else { info.kind });
    out.extend_from_slice(b",\"param\":");
    match &refusal.param {
        Some(param) => json::string(out, param),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"code\":");
    json::string(out, if info.code.is_empty() { info.name } else { info.code });
    out.extend_from_slice(b"}}");
}

/// Appends a whole completion. `choices` is a JSON array, written as it is; `created_s` is Unix seconds; `model`
/// is the name that the client asked for.
pub fn completion(
    out: &mut Vec<u8>,
    kind: Kind,
    id: &RequestId,
    created_s: u64,
    model: &str,
    choices: &[u8],
    usage: Usage,
) {
    out.reserve(choices.len() + 320);
    head(out, kind, id, kind.object(), created_s, model);
    out.extend_from_slice(b",\"choices\":");
    out.extend_from_slice(choices);
    out.extend_from_slice(b",\"usage\":");
    usage.put(out);
    out.push(b'}');
}

/// `{"id":"chatcmpl-...","object":"...","created":N,"model":"..."`, still open.
pub(crate) fn head(out: &mut Vec<u8>, kind: Kind, id: &RequestId, object: &str, created_s: u64, model: &str) {
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(kind.id_prefix().as_bytes());
    out.extend_from_slice(&hex(id));
    out.extend_from_slice(b"\",\"object\":\"");
    out.extend_from_slice(object.as_bytes());
    out.extend_from_slice(b"\",\"created\":");
    json::number(out, created_s);
    out.extend_from_slice(b",\"model\":");
    json::string(out, model);
}

/// The id's 32 lower-case hex digits, the same as its `Display` without the formatter's cost.
pub(crate) fn hex(id: &RequestId) -> [u8; 32] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(id.0) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    text
}

/// Appends the answer of `GET /v1/models`. `created_s`: Unix seconds, when the plan was applied.
pub fn models_list<'n>(out: &mut Vec<u8>, names: impl IntoIterator<Item = &'n str>, created_s: u64) {
    out.extend_from_slice(b"{\"object\":\"list\",\"data\":[");
    for (index, name) in names.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        model(out, name, created_s);
    }
    out.extend_from_slice(b"]}");
}

/// Appends the answer of `GET /v1/models/{id}`.
pub fn model(out: &mut Vec<u8>, name: &str, created_s: u64) {
    out.extend_from_slice(b"{\"id\":");
    json::string(out, name);
    out.extend_from_slice(b",\"object\":\"model\",\"created\":");
    json::number(out, created_s);
    out.extend_from_slice(b",\"owned_by\":\"dpu-app\"}");
}

/// Appends the answer of `/v1/embeddings`; `data` is a JSON array, written as it is.
pub fn embeddings(out: &mut Vec<u8>, model: &str, data: &[u8], usage: Usage) {
    out.reserve(data.len() + 128);
    out.extend_from_slice(b"{\"object\":\"list\",\"data\":");
    out.extend_from_slice(data);
    out.extend_from_slice(b",\"model\":");
    json::string(out, model);
    out.extend_from_slice(b",\"usage\":{\"prompt_tokens\":");
    json::number(out, u64::from(usage.prompt_tokens));
    out.extend_from_slice(b",\"total_tokens\":");
    json::number(out, u64::from(usage.prompt_tokens));
    out.extend_from_slice(b"}}");
}

#[cfg(test)]
mod tests;
