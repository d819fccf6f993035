//! What tells one conversation from another, for the same arm each time.

use crate::json::canonical::{write_value, Sink};
use crate::json::Value;
use crate::steer::ConversationHash;

/// Bytes of a prompt's canonical form that name the conversation: what follows grows with each turn.
const PROMPT_BYTES: usize = 256;

/// The conversation's hash; its definition is at [`crate::bucket_of`].
pub(super) fn hash(
    tenant: &str,
    header: Option<&[u8]>,
    user: Option<Value<'_>>,
    content: Option<Value<'_>>,
) -> u64 {
    let mut hash = ConversationHash::new(tenant);
    if let Some(header) = header.filter(|header| !header.is_empty()) {
        hash.put(header);
    } else if let Some(user) = user.and_then(Value::text).filter(|user| !user.is_empty()) {
        hash.put(user.as_bytes());
    } else if let Some(content) = content {
        hash = of_content(hash, content);
    }
    hash.digest()
}

/// The canonical form goes straight into the hash: no copy of a long prompt is made for it.
fn of_content(mut hash: ConversationHash, content: Value<'_>) -> ConversationHash {
    let is_chat =
        content.items().and_then(|mut items| items.next()).is_some_and(|first| first.object().is_some());
    if is_chat {
        put_first_messages(&mut hash, content);
        return hash;
    }
    let mut hash = hash.up_to(PROMPT_BYTES);
    write_value(&mut hash, content);
    hash
}

/// The messages up to the first of the user, or all if there is none.
fn put_first_messages(out: &mut impl Sink, messages: Value<'_>) {
    for (i, message) in messages.items().into_iter().flatten().enumerate() {
        if i > 0 {
            out.put(b",");
        }
        write_value(out, message);
        if is_from_user(message) {
            return;
        }
    }
}

fn is_from_user(message: Value<'_>) -> bool {
    let role = message.object().and_then(|message| message.get("role")).and_then(Value::text);
    role.as_deref() == Some("user")
}
