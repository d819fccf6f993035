//! What tells one conversation from another, for the same arm each time.

use crate::json::{canonical, Value};
use std::borrow::Cow;

/// Bytes of a prompt's canonical form that name the conversation: what follows grows with each turn.
const PROMPT_BYTES: usize = 256;

/// The conversation key; its definition is at [`crate::bucket_of`].
pub(crate) enum Key<'k> {
    Header(&'k [u8]),
    User(Cow<'k, str>),
    /// Canonical form of the messages or the prompt, whose part from `from` to `to` is the key. Made once, and
    /// copied into the body.
    Content {
        json: Vec<u8>,
        from: usize,
        to: usize,
    },
}

impl<'k> Key<'k> {
    pub(super) fn of(header: Option<&'k [u8]>, user: Option<Value<'k>>, content: Option<Value<'k>>) -> Self {
        if let Some(header) = header.filter(|header| !header.is_empty()) {
            return Self::Header(header);
        }
        if let Some(user) = user.and_then(Value::text).filter(|user| !user.is_empty()) {
            return Self::User(user);
        }
        content.map_or(Self::Header(b""), Self::of_content)
    }

    fn of_content(content: Value<'k>) -> Self {
        let mut json = Vec::with_capacity(content.text_bytes());
        let is_chat =
            content.items().and_then(|mut items| items.next()).is_some_and(|first| first.object().is_some());
        if is_chat {
            let to = write_messages(&mut json, content);
            return Self::Content { json, from: 1, to };
        }
        canonical::write_value(&mut json, content);
        let to = json.len().min(PROMPT_BYTES);
        Self::Content { json, from: 0, to }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Header(header) => header,
            Self::User(user) => user.as_bytes(),
            Self::Content { json, from, to } => json.get(*from..*to).unwrap_or_default(),
        }
    }

    /// The canonical form of the messages or prompt, where it was made.
    pub(super) fn rendered(&self) -> Option<&[u8]> {
        if let Self::Content { json, .. } = self {
            Some(json)
        } else {
            None
        }
    }
}

/// Writes the messages; where the first of the user ends, or the last if there is none.
fn write_messages(json: &mut Vec<u8>, messages: Value<'_>) -> usize {
    let mut end = None;
    json.push(b'[');
    for message in messages.items().into_iter().flatten() {
        if json.len() > 1 {
            json.push(b',');
        }
        canonical::write_value(json, message);
        if end.is_none() && is_from_user(message) {
            end = Some(json.len());
        }
    }
    let end = end.unwrap_or(json.len());
    json.push(b']');
    end
}

fn is_from_user(message: Value<'_>) -> bool {
    let role = message.object().and_then(|message| message.get("role")).and_then(Value::text);
    role.as_deref() == Some("user")
}
