#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Event streams split as a client splits them, their data read by serde_json.

use super::*;
use dpu_types::Reason;
use serde_json::{json, Value};

const ID: RequestId = RequestId([0; 16]);

/// The data of each event; the last line of a stream is an empty one.
fn events(out: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(out).unwrap();
    let events = text.strip_suffix("\n\n").unwrap().split("\n\n");
    events.map(|event| event.strip_prefix("data: ").unwrap().to_owned()).collect()
}

fn stream(kind: Kind, include_usage: bool) -> Stream {
    Stream::new(kind, &ID, 5, "m\"", include_usage)
}

#[test]
fn an_event_wraps_the_workers_choices() {
    let mut out = Vec::new();
    stream(Kind::Chat, false).chunk(&mut out, b"[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]");
    let event: Value = serde_json::from_str(&events(&out)[0]).unwrap();
    let expected = json!({"id": format!("chatcmpl-{ID}"), "object": "chat.completion.chunk", "created": 5,
        "model": "m\"", "choices": [{"index": 0, "delta": {"content": "Hi"}}]});
    assert_eq!(event, expected);
}

#[test]
fn usage_is_null_in_all_events_but_the_last_when_it_was_asked_for() {
    let mut out = Vec::new();
    let stream = stream(Kind::Text, true);
    stream.chunk(&mut out, b"[]");
    stream.finish(&mut out, 0, "length");
    stream.usage(&mut out, Usage { prompt_tokens: 1, cached_tokens: 0, completion_tokens: 2 });
    done(&mut out);
    let events = events(&out);
    let parsed: Vec<Value> = events[..3].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert_eq!(parsed[0].get("usage"), Some(&Value::Null));
    let finish = json!([{"index": 0, "text": "", "logprobs": null, "finish_reason": "length"}]);
    assert_eq!((&parsed[1]["choices"], parsed[1].get("usage")), (&finish, Some(&Value::Null)));
    assert_eq!((&parsed[2]["choices"], &parsed[2]["usage"]["total_tokens"]), (&json!([]), &json!(3)));
    assert_eq!(events[3], "[DONE]");
}

#[test]
fn a_made_finish_of_a_chat_has_an_empty_delta() {
    let mut out = Vec::new();
    stream(Kind::Chat, false).finish(&mut out, 0, "stop");
    let event: Value = serde_json::from_str(&events(&out)[0]).unwrap();
    assert_eq!(event["choices"], json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]));
    assert_eq!(event.get("usage"), None);
}

#[test]
fn line_ends_in_a_workers_json_cannot_end_an_event() {
    let mut out = Vec::new();
    stream(Kind::Chat, false).chunk(&mut out, b"[\r\n\n{\"index\":\n0}]\n");
    let events = events(&out);
    assert_eq!(events.len(), 1);
    let event: Value = serde_json::from_str(&events[0]).unwrap();
    assert_eq!(event["choices"], json!([{"index": 0}]));
}

#[test]
fn an_error_is_one_event() {
    let mut out = Vec::new();
    error_event(&mut out, &Refusal::from(Reason::WorkerLost).because("w0\n\ngone"));
    let events = events(&out);
    assert_eq!(events.len(), 1);
    let event: Value = serde_json::from_str(&events[0]).unwrap();
    assert_eq!(event["error"]["code"], "worker_lost");
}
