//! What the echo engine is asked to say: the last user message back, or the script that it holds.

use serde_json::Value;

/// A message that starts with this word is a script.
const SCRIPT_WORD: &str = "!echo";
/// Tokens of a script that does not say how many.
const SCRIPT_TOKENS: u32 = 16;
const SCRIPT_TOKEN: &str = " tok";
const KNOWN: &str = "!echo knows tokens, delay_ms, prefill_ms, fail_after, hang_after, ignore_budget";

/// What to say and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The text; empty where a script counts tokens.
    text: String,
    /// End of each token in `text`.
    ends: Vec<usize>,
    script_tokens: u32,
    /// Words of all messages.
    pub prompt_tokens: u32,
    /// The tightest bound that the body holds.
    pub max_tokens: Option<u32>,
    /// How often to say it: `n`.
    pub choices: u32,
    /// Before each token.
    pub delay_ms: u64,
    /// Before the first token, on top.
    pub prefill_ms: u64,
    /// FAIL after so many tokens.
    pub fail_after: Option<u32>,
    /// Silence after so many tokens.
    pub hang_after: Option<u32>,
    /// Says everything, whatever was granted: what an engine that knows no bound does.
    pub ignores_budget: bool,
}

impl Part {
    /// Reads a body of either endpoint.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body).map_err(|_| "the body is not JSON".to_owned())?;
        let (last, prompt_tokens) = match body.get("messages").and_then(Value::as_array) {
            Some(messages) => from_messages(messages),
            None => from_prompt(body.get("prompt")),
        };
        let mut part = if last.split_whitespace().next() == Some(SCRIPT_WORD) {
            Self::script(&last)?
        } else {
            Self { ends: token_ends(&last), text: last, ..Self::default() }
        };
        part.prompt_tokens = prompt_tokens;
        let bounds = ["max_tokens", "max_completion_tokens"].into_iter();
        let bounds = bounds.filter_map(|name| body.get(name).and_then(Value::as_u64));
        part.max_tokens = bounds.min().map(|bound| u32::try_from(bound).unwrap_or(u32::MAX));
        let choices = body.get("n").and_then(Value::as_u64).unwrap_or(1);
        part.choices = u32::try_from(choices).unwrap_or(1).max(1);
        Ok(part)
    }

    fn script(text: &str) -> Result<Self, String> {
        let mut part = Self { script_tokens: SCRIPT_TOKENS, ..Self::default() };
        for word in text.split_whitespace().skip(1) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let number: u32 = value.parse().map_err(|_| format!("!echo: {name}=NUMBER is needed"))?;
            match name {
                "tokens" => part.script_tokens = number,
                "delay_ms" => part.delay_ms = number.into(),
                "prefill_ms" => part.prefill_ms = number.into(),
                "fail_after" => part.fail_after = Some(number),
                "hang_after" => part.hang_after = Some(number),
                "ignore_budget" => part.ignores_budget = number > 0,
                _ => {
                    return Err(KNOWN.to_owned());
                }
            }
        }
        Ok(part)
    }

    /// How many tokens there are to say.
    pub fn tokens(&self) -> u32 {
        self.script_tokens.max(u32::try_from(self.ends.len()).unwrap_or(u32::MAX))
    }

    /// The tokens from `start` up to `end`, as one text.
    pub fn text(&self, start: u32, end: u32) -> String {
        if self.ends.is_empty() {
            return SCRIPT_TOKEN.repeat(end.saturating_sub(start) as usize);
        }
        let offset = |index: u32| match index.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before as usize).copied().unwrap_or(self.text.len()),
        };
        self.text.get(offset(start)..offset(end)).unwrap_or_default().to_owned()
    }
}

/// The last user message and the words of all of them.
fn from_messages(messages: &[Value]) -> (String, u32) {
    let texts = messages.iter().map(|message| text_of(message.get("content")));
    let words = texts.map(|text| count_words(&text)).fold(0, u32::saturating_add);
    let last = messages.iter().rev().find(|m| m.get("role").and_then(Value::as_str) == Some("user"));
    (text_of(last.and_then(|message| message.get("content"))), words)
}

/// The prompt of a text completion; of several the first.
fn from_prompt(prompt: Option<&Value>) -> (String, u32) {
    let first = prompt.and_then(|prompt| prompt.as_array().map_or(Some(prompt), |list| list.first()));
    let text = text_of(first);
    let words = count_words(&text);
    (text, words)
}

/// A string, or the text parts of a list of parts.
fn text_of(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
        }
        _ => String::new(),
    }
}

fn count_words(text: &str) -> u32 {
    u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX)
}

/// Where each token ends: a word with the space before it. Space at the end belongs to the last word, so that the
/// tokens together are the text.
fn token_ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut in_word = false;
    for (at, letter) in text.char_indices() {
        if letter.is_whitespace() && in_word {
            ends.push(at);
        }
        in_word = !letter.is_whitespace();
    }
    match (in_word, ends.last_mut()) {
        (true, _) => ends.push(text.len()),
        (false, Some(last)) => *last = text.len(),
        (false, None) => {}
    }
    ends
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn chat(content: &str) -> Part {
        let body = serde_json::json!({"messages": [{"role": "user", "content": content}]});
        Part::read(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn tokens_together_are_the_text() {
        for text in ["", " ", "one", " one", "one  two\nthree ", "späte Grüße", "a\u{3000}b"] {
            let part = chat(text);
            let said: String = (0..part.tokens()).map(|n| part.text(n, n + 1)).collect();
            assert_eq!(said, if text.trim().is_empty() { "" } else { text });
            assert_eq!(part.tokens() as usize, text.split_whitespace().count());
            assert_eq!(part.text(0, part.tokens()), said);
        }
    }

    #[test]
    fn the_last_user_message_is_said_and_all_words_are_counted() {
        let body = br#"{"messages":[{"role":"system","content":"be kind"},{"role":"user","content":"first"},
            {"role":"assistant","content":"yes"},{"role":"user","content":[{"type":"text","text":"second one"}]}]}"#;
        let part = Part::read(body).unwrap();
        assert_eq!((part.text(0, 2).as_str(), part.prompt_tokens), ("second one", 6));
    }

    #[test]
    fn a_script_says_how() {
        let part = chat("!echo tokens=3 delay_ms=5 prefill_ms=7 fail_after=2 hang_after=1");
        assert_eq!((part.tokens(), part.text(1, 3).as_str()), (3, " tok tok"));
        assert_eq!((part.delay_ms, part.prefill_ms), (5, 7));
        assert_eq!((part.fail_after, part.hang_after), (Some(2), Some(1)));
        assert_eq!(chat("!echoes are words").text(0, 1), "!echoes");
    }

    #[test]
    fn a_script_that_is_not_understood_is_refused() {
        for script in ["!echo tokens", "!echo tokens=x", "!echo tokens=-1", "!echo speed=3"] {
            let body = serde_json::json!({"prompt": script}).to_string();
            assert!(Part::read(body.as_bytes()).is_err(), "{script}");
        }
    }

    #[test]
    fn the_tightest_bound_of_the_body_wins() {
        let part = Part::read(br#"{"prompt":["a b","c"],"max_tokens":9,"max_completion_tokens":4}"#).unwrap();
        assert_eq!((part.max_tokens, part.tokens()), (Some(4), 2));
    }
}
