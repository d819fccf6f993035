//! Every bound of the tables at its edge, and every engine key on every endpoint.

use super::*;

const ENDPOINTS: [Endpoint; 3] = [Endpoint::ChatCompletions, Endpoint::Completions, Endpoint::Embeddings];

fn with(endpoint: Endpoint, field: &str) -> String {
    match endpoint {
        Endpoint::Embeddings => format!(r#"{{"model":"smol","input":"Hi",{field}}}"#),
        Endpoint::Completions => completion_with(field),
        _ => chat_with(field),
    }
}

fn list(item: &str, count: usize) -> String {
    format!("[{}]", vec![item; count].join(","))
}

fn biases(count: usize) -> String {
    let entries: Vec<String> = (0..count).map(|token| format!("\"{token}\":1")).collect();
    format!("{{{}}}", entries.join(","))
}

fn text(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes))
}

/// A schema of so many values and keys, the schema itself counted.
fn schema(nodes: usize) -> String {
    format!(r#"{{"enum":{}}}"#, list("0", nodes - 3))
}

/// A tools list whose values and keys are so many altogether.
fn tools(nodes: usize) -> String {
    // The list, the tool, type and its value, function and its object, name and its value, parameters: 9.
    format!(r#"[{{"type":"function","function":{{"name":"f","parameters":{}}}}}]"#, schema(nodes - 9))
}

/// Endpoint, field, the last value that is taken, the first that is not.
fn edges() -> Vec<(Endpoint, &'static str, String, String)> {
    use Endpoint::{ChatCompletions as Chat, Completions as Text, Embeddings};
    let two_to_53 = (1_i64 << 53).to_string();
    let row = |endpoint, field, good: &str, bad: &str| (endpoint, field, good.to_owned(), bad.to_owned());
    let mut rows = vec![
        row(Embeddings, "dimensions", "65536", "65537"),
        row(Embeddings, "dimensions", "1", "0"),
        row(Text, "best_of", "1", "2"),
        row(Text, "logprobs", "5", "6"),
    ];
    for endpoint in [Chat, Text] {
        rows.extend([
            row(endpoint, "n", "8", "9"),
            row(endpoint, "n", "1", "0"),
            row(endpoint, "temperature", "2", "2.0000001"),
            row(endpoint, "temperature", "0", "-0.0000001"),
            row(endpoint, "top_p", "1", "1.0000001"),
            row(endpoint, "presence_penalty", "-2", "-2.0000001"),
            row(endpoint, "frequency_penalty", "2", "2.0000001"),
            row(endpoint, "logit_bias", r#"{"1":-100}"#, r#"{"1":-101}"#),
            row(endpoint, "logit_bias", r#"{"999999999":1}"#, r#"{"1000000000":1}"#),
            row(endpoint, "logit_bias", &biases(1_024), &biases(1_025)),
            row(endpoint, "stop", &list("\"a\"", 4), &list("\"a\"", 5)),
            row(endpoint, "stop", &text(1_024), &text(1_025)),
            row(endpoint, "stop", &format!("[{}]", text(1_024)), &format!("[{}]", text(1_025))),
            row(endpoint, "user", &text(512), &text(513)),
            row(endpoint, "seed", &format!("-{two_to_53}"), "1.5"),
        ]);
    }
    rows.extend([
        row(Chat, "tools", &tools(16_384), &tools(16_385)),
        row(Embeddings, "user", &text(512), &text(513)),
    ]);
    rows
}

#[test]
fn each_bound_holds_at_its_edge() {
    for (endpoint, field, good, bad) in edges() {
        let short = |value: &str| value.chars().take(60).collect::<String>();
        let taken = normalise(endpoint, &with(endpoint, &format!("\"{field}\":{good}")));
        assert!(taken.is_ok(), "{field}: {} is refused: {:?}", short(&good), taken.err());
        let refused = normalise(endpoint, &with(endpoint, &format!("\"{field}\":{bad}")));
        assert!(refused.is_err(), "{field}: {} is taken", short(&bad));
    }
}

#[test]
fn top_logprobs_are_bounded_and_need_logprobs() {
    let body = |top: &str| chat_with(&format!("\"logprobs\":true,\"top_logprobs\":{top}"));
    assert!(normalise(Endpoint::ChatCompletions, &body("20")).is_ok());
    assert_eq!(refused(Endpoint::ChatCompletions, &body("21")).0, Reason::FieldValue);
}

#[test]
fn response_schemas_are_bounded_in_values_and_keys() {
    // response_format, type and its value, json_schema and its object, name and its value, schema: 8.
    let body = |nodes: usize| {
        chat_with(&format!(
            r#""response_format":{{"type":"json_schema","json_schema":{{"name":"s","schema":{}}}}}"#,
            schema(nodes - 8)
        ))
    };
    assert!(normalise(Endpoint::ChatCompletions, &body(16_384)).is_ok());
    let got = refused(Endpoint::ChatCompletions, &body(16_385));
    assert_eq!(got, (Reason::FieldValue, Some("response_format".into())));
}

/// Also the request's id, which is made here: a caller's own would let it cancel or read another's.
#[test]
fn every_engine_key_is_dropped_with_an_edit_whatever_it_holds() {
    for endpoint in ENDPOINTS {
        let plain = forwarded(endpoint, &with(endpoint, r#""user":null"#)).0;
        for name in table::engine_keys() {
            for value in ["null", "-1", "\"x\"", "{\"a\":[1]}"] {
                let got = forwarded(endpoint, &with(endpoint, &format!("\"{name}\":{value}")));
                assert_eq!(got, (plain.clone(), format!("{name}:engine_key")));
            }
        }
    }
    for id in ["request_id", "rid", "id_slot", "slot_id"] {
        assert!(table::engine_keys().any(|name| name == id), "{id}");
    }
}

/// What a rule keeps goes on as it came, what it drops does not, and each is allowed to be null unless it is needed.
#[test]
fn every_field_does_what_its_row_says_with_null() {
    for endpoint in ENDPOINTS {
        let rules = table::of(endpoint).unwrap().rules;
        let plain = forwarded(endpoint, &with(endpoint, r#""user":null"#)).0;
        for rule in rules.iter().filter(|rule| rule.nullable) {
            let got = forwarded(endpoint, &with(endpoint, &format!("\"{}\":null", rule.name)));
            assert_eq!(got, (plain.clone(), format!("{}:null", rule.name)));
        }
        for rule in rules.iter().filter(|rule| !rule.nullable && matches!(rule.action, Action::Keep)) {
            let twin = with(endpoint, r#""user":null"#);
            let hollow = twin.replacen(&format!("\"{}\":", rule.name), "\"user\":null,\"was\":", 1);
            assert!(normalise(endpoint, &hollow).is_err(), "{} is needed", rule.name);
        }
    }
}
