//! What has to be known of the `choices` that go through untouched, where there are several of them.

use serde::de::IgnoredAny;
use serde::Deserialize;

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    /// `null` is none.
    finish_reason: Option<IgnoredAny>,
}

/// The indices of the choices in one fragment that have their finish reason; none where it cannot be read.
pub fn finished(choices: &[u8]) -> Vec<u32> {
    let parsed: Vec<Choice> = serde_json::from_slice(choices).unwrap_or_default();
    let finished = parsed.iter().filter(|choice| choice.finish_reason.is_some());
    finished.map(|choice| choice.index).collect()
}

#[cfg(test)]
mod tests {
    use super::finished;

    #[test]
    fn only_choices_with_a_finish_reason_are_finished() {
        for (choices, expected) in [
            (r#"[{"index":1,"delta":{},"finish_reason":"stop"}]"#, vec![1]),
            (r#"[{"index":0,"finish_reason":null},{"index":2,"finish_reason":"length"}]"#, vec![2]),
            (r#"[{"index":3,"delta":{"content":"a"}}]"#, vec![]),
            (r#"[{"finish_reason":"tool_calls"}]"#, vec![0]),
            ("nothing", vec![]),
        ] {
            assert_eq!(finished(choices.as_bytes()), expected, "{choices}");
        }
    }
}
