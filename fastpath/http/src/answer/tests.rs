#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Bodies read back by serde_json, an independent reader.

use super::*;
use dpu_types::Reason;
use serde_json::{json, Value};

fn read(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    serde_json::from_slice(&out).unwrap()
}

const ID: RequestId = RequestId([0x0f; 16]);
const USAGE: Usage = Usage { prompt_tokens: 7, cached_tokens: 3, completion_tokens: 5 };

#[test]
fn hex_is_the_ids_own_text() {
    let id = RequestId(*b"0123456789abcdef");
    assert_eq!(String::from_utf8(hex(&id).to_vec()).unwrap(), id.to_string());
}

#[test]
fn an_error_has_the_four_members_of_openais_shape() {
    let refusal =
        Refusal::from(Reason::FieldValue).at("messages[0].role").because("'\"\\\u{1}\n' is no role");
    let error = read(|out| error_body(out, &refusal));
    let message = "a field has a value that is not allowed: '\"\\\u{1}\n' is no role";
    let expected = json!({"error": {"message": message, "type": "invalid_request_error",
        "param": "messages[0].role", "code": "invalid_value"}});
    assert_eq!(error, expected);
}

#[test]
fn every_reason_makes_a_body_with_type_and_code() {
    for reason in Reason::ALL {
        let error = read(|out| error_body(out, &Refusal::from(*reason)));
        let member = |name: &str| error["error"][name].as_str().is_some_and(|text| !text.is_empty());
        assert!(member("message") && member("type") && member("code"), "{reason:?}");
        assert_eq!(error["error"]["param"], Value::Null);
    }
}

#[test]
fn a_completion_has_id_object_choices_and_usage() {
    for (kind, id, object) in [
        (Kind::Chat, format!("chatcmpl-{}", "0f".repeat(16)), "chat.completion"),
        (Kind::Text, format!("cmpl-{}", "0f".repeat(16)), "text_completion"),
    ] {
        let answer = read(|out| completion(out, kind, &ID, 9, "gpt\"4", b"[{\"index\":0}]", USAGE));
        let expected = json!({"id": id, "object": object, "created": 9, "model": "gpt\"4", "choices": [{"index": 0}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12,
                "prompt_tokens_details": {"cached_tokens": 3}}});
        assert_eq!(answer, expected);
    }
}

#[test]
fn models_are_listed_in_the_order_given() {
    let list = read(|out| models_list(out, ["b", "a"], 4));
    let model = |id| json!({"id": id, "object": "model", "created": 4, "owned_by": "dpu-app"});
    assert_eq!(list, json!({"object": "list", "data": [model("b"), model("a")]}));
    assert_eq!(read(|out| models_list(out, [], 4))["data"], json!([]));
    assert_eq!(read(|out| super::model(out, "a", 4)), model("a"));
}

#[test]
fn embeddings_count_only_the_prompt() {
    let answer = read(|out| embeddings(out, "e", b"[]", USAGE));
    let usage = json!({"prompt_tokens": 7, "total_tokens": 7});
    assert_eq!(answer, json!({"object": "list", "data": [], "model": "e", "usage": usage}));
}
