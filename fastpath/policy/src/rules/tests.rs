#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Facts about each field of each endpoint.

use super::*;
use crate::json::JsonLimits;
use std::sync::Arc;

mod bounds;

const LIMITS: JsonLimits = JsonLimits { depth_max: 32, body_bytes_max: 1 << 20 };
const MSG: &str = r#""messages":[{"content":"Hi","role":"user"}]"#;

fn arm() -> Arm {
    Arm {
        engine_hash: 0,
        name: Arc::from("stable"),
        engine_model: Arc::from("smol"),
        engine_model_json: b"\"smol\"".as_slice().into(),
        max_tokens_default: 100,
        max_tokens_max: 200,
        workers: Arc::from([0]),
    }
}

fn normalise(endpoint: Endpoint, body: &str) -> Result<Normalised, Refusal> {
    let tree = Tree::parse(body.as_bytes(), LIMITS).map_err(Refusal::from)?;
    let fields = Fields::of(&tree, endpoint)?;
    fields.model()?;
    fields.normalise(&arm(), false)
}

/// The forwarded body and the edits as "field:what".
fn forwarded(endpoint: Endpoint, body: &str) -> (String, String) {
    let done = normalise(endpoint, body).unwrap_or_else(|refusal| panic!("{body}: {refusal:?}"));
    let edits: Vec<String> = done.edits.iter().map(|edit| format!("{}:{}", edit.field, edit.what)).collect();
    (String::from_utf8(done.body).unwrap(), edits.join(" "))
}

fn refused(endpoint: Endpoint, body: &str) -> (Reason, Option<String>) {
    let refusal = normalise(endpoint, body).map(|done| done.body).expect_err(body);
    (refusal.reason, refusal.param)
}

/// A chat body with one more field.
fn chat_with(field: &str) -> String {
    format!(r#"{{"model":"smol","max_tokens":9,{MSG},{field}}}"#)
}

fn completion_with(field: &str) -> String {
    format!(r#"{{"model":"smol","max_tokens":9,"prompt":"Hi",{field}}}"#)
}

#[test]
fn the_forwarded_body_is_canonical_whatever_the_order_was() {
    let body =
        format!(r#"{{ "temperature" : 0.70, "stream":true,"model":"smol", {MSG}, "max_tokens":1e1 }}"#);
    let expected = r#"{"max_tokens":10,"messages":[{"content":"Hi","role":"user"}],"model":"smol","stream":true,"temperature":0.7}"#;
    assert_eq!(forwarded(Endpoint::ChatCompletions, &body), (expected.into(), String::new()));
}

#[test]
fn token_budgets_are_defaulted_renamed_joined_and_clamped() {
    let table = [
        ("", 100, "max_tokens:defaulted"),
        (r#""max_tokens":null,"#, 100, "max_tokens:defaulted"),
        (r#""max_tokens":1,"#, 1, ""),
        (r#""max_tokens":200,"#, 200, ""),
        (r#""max_tokens":201,"#, 200, "max_tokens:clamped"),
        (r#""max_tokens":9007199254740992,"#, 200, "max_tokens:clamped"),
        (r#""max_completion_tokens":7,"#, 7, "max_completion_tokens:renamed"),
        (r#""max_completion_tokens":7,"max_tokens":8,"#, 7, "max_completion_tokens:smaller_of_two"),
        (r#""max_completion_tokens":8,"max_tokens":7,"#, 7, "max_completion_tokens:smaller_of_two"),
        (r#""max_completion_tokens":null,"max_tokens":7,"#, 7, ""),
        (
            r#""max_completion_tokens":999,"#,
            200,
            "max_completion_tokens:renamed max_completion_tokens:clamped",
        ),
    ];
    for (field, tokens, edits) in table {
        let body = format!(r#"{{"model":"smol",{field}{MSG}}}"#);
        let expected = format!(r#"{{"max_tokens":{tokens},{MSG},"model":"smol"}}"#);
        assert_eq!(forwarded(Endpoint::ChatCompletions, &body), (expected, edits.into()), "{body}");
        assert_eq!(normalise(Endpoint::ChatCompletions, &body).unwrap().tokens, tokens, "{body}");
    }
}

#[test]
fn the_engine_gets_its_own_name_of_the_model() {
    let body = format!(r#"{{"model":"chat","max_tokens":9,{MSG}}}"#);
    let (forwarded, edits) = forwarded(Endpoint::ChatCompletions, &body);
    assert!(forwarded.ends_with(r#""model":"smol"}"#), "{forwarded}");
    assert_eq!(edits, "model:engine_name");
}

#[test]
fn kept_fields_of_chat_are_forwarded() {
    let table = [
        r#""frequency_penalty":-2"#,
        r#""logit_bias":{"50256":-100,"7":0.5}"#,
        r#""logprobs":true"#,
        r#""n":1"#,
        r#""parallel_tool_calls":false"#,
        r#""presence_penalty":2"#,
        r#""reasoning_effort":"low""#,
        r#""response_format":{"type":"text"}"#,
        r#""response_format":{"json_schema":{"name":"x","schema":{"type":"object"},"strict":true},"type":"json_schema"}"#,
        r#""seed":-7"#,
        r#""stop":"\n""#,
        r#""stop":["a","b","c","d"]"#,
        r#""stream":false"#,
        r#""temperature":2"#,
        r#""tool_choice":"none""#,
        r#""tool_choice":{"function":{"name":"f"},"type":"function"}"#,
        r#""tools":[{"function":{"description":"d","name":"f","parameters":{"type":"object"}},"type":"function"}]"#,
        r#""top_p":0"#,
    ];
    for field in table {
        let (body, edits) = forwarded(Endpoint::ChatCompletions, &chat_with(field));
        assert!(body.contains(field) && edits.is_empty(), "{field}: {body} {edits}");
    }
}

#[test]
fn fields_that_mean_nothing_to_an_engine_are_dropped_with_an_edit() {
    let plain = forwarded(Endpoint::ChatCompletions, &chat_with(r#""n":null"#)).0;
    let table = [
        (r#""metadata":{"a":"b"}"#, "metadata:dropped"),
        (r#""modalities":["text"]"#, "modalities:dropped"),
        (r#""prediction":{"type":"content"}"#, "prediction:dropped"),
        (r#""prompt_cache_key":"k""#, "prompt_cache_key:dropped"),
        (r#""safety_identifier":"s""#, "safety_identifier:dropped"),
        (r#""service_tier":"auto""#, "service_tier:dropped"),
        (r#""store":true"#, "store:dropped"),
        (r#""user":"u""#, "user:dropped"),
        (r#""user":"""#, "user:dropped"),
        (r#""verbosity":"low""#, "verbosity:dropped"),
        (r#""temperature":null"#, "temperature:null"),
        (r#""request_id":"mine""#, "request_id:engine_key"),
        (r#""cache_salt":"x""#, "cache_salt:engine_key"),
        (r#""priority":-9"#, "priority:engine_key"),
        (r#""vllm_xargs":{"a":[1]}"#, "vllm_xargs:engine_key"),
        (r#""kv_transfer_params":{}"#, "kv_transfer_params:engine_key"),
        (r#""id_slot":0"#, "id_slot:engine_key"),
        (r#""n_predict":-1"#, "n_predict:engine_key"),
        (r#""ignore_eos":null"#, "ignore_eos:engine_key"),
    ];
    for (field, edit) in table {
        assert_eq!(forwarded(Endpoint::ChatCompletions, &chat_with(field)), (plain.clone(), edit.into()));
    }
}

#[test]
fn each_bad_field_of_chat_has_its_reason_and_path() {
    use Reason::{FieldMissing, FieldType, FieldUnknown, FieldValue};
    let table = [
        (r#""frobnicate":1"#, FieldUnknown, "frobnicate"),
        (r#""prompt":"Hi""#, FieldUnknown, "prompt"),
        (r#""temperature":2.1"#, FieldValue, "temperature"),
        (r#""temperature":"hot""#, FieldType, "temperature"),
        (r#""top_p":-0.1"#, FieldValue, "top_p"),
        (r#""n":0"#, FieldValue, "n"),
        (r#""n":9"#, FieldValue, "n"),
        (r#""n":1.5"#, FieldType, "n"),
        (r#""presence_penalty":3"#, FieldValue, "presence_penalty"),
        (r#""max_completion_tokens":0"#, FieldValue, "max_completion_tokens"),
        (r#""max_completion_tokens":"1""#, FieldType, "max_completion_tokens"),
        (r#""logprobs":1"#, FieldType, "logprobs"),
        (r#""top_logprobs":5"#, FieldValue, "top_logprobs"),
        (r#""logprobs":true,"top_logprobs":21"#, FieldValue, "top_logprobs"),
        (r#""logit_bias":{"a":1}"#, FieldValue, "logit_bias"),
        (r#""logit_bias":{"1":101}"#, FieldValue, "logit_bias.1"),
        (r#""logit_bias":[]"#, FieldType, "logit_bias"),
        (r#""stop":[1]"#, FieldType, "stop[0]"),
        (r#""stop":["a","b","c","d","e"]"#, FieldValue, "stop"),
        (r#""stop":"""#, FieldValue, "stop"),
        (r#""stream":"yes""#, FieldType, "stream"),
        (r#""stream_options":{"include_usage":true}"#, FieldValue, "stream_options"),
        (r#""stream":true,"stream_options":{"include_usage":1}"#, FieldType, "stream_options.include_usage"),
        (r#""stream":true,"stream_options":{"x":1}"#, FieldUnknown, "stream_options.x"),
        (r#""modalities":["audio"]"#, FieldValue, "modalities[0]"),
        (r#""reasoning_effort":"much""#, FieldValue, "reasoning_effort"),
        (r#""response_format":{"type":"xml"}"#, FieldValue, "response_format.type"),
        (r#""response_format":{"type":"json_schema"}"#, FieldMissing, "response_format.json_schema"),
        (
            r#""response_format":{"type":"json_schema","json_schema":{}}"#,
            FieldMissing,
            "response_format.json_schema.name",
        ),
        (
            r#""response_format":{"type":"text","json_schema":{}}"#,
            FieldUnknown,
            "response_format.json_schema",
        ),
        (r#""tools":{}"#, FieldType, "tools"),
        (r#""tools":[{"type":"function"}]"#, FieldMissing, "tools[0].function"),
        (r#""tools":[{"type":"code"}]"#, FieldValue, "tools[0].type"),
        (r#""tools":[{"type":"function","function":{"name":"a b"}}]"#, FieldValue, "tools[0].function.name"),
        (
            r#""tools":[{"type":"function","function":{"name":"a","x":1}}]"#,
            FieldUnknown,
            "tools[0].function.x",
        ),
        (r#""tool_choice":"maybe""#, FieldValue, "tool_choice"),
        (r#""tool_choice":{"type":"function"}"#, FieldMissing, "tool_choice.function"),
        (
            r#""tool_choice":{"type":"function","function":{"name":"f","x":1}}"#,
            FieldUnknown,
            "tool_choice.function.x",
        ),
        (r#""user":1"#, FieldType, "user"),
        (r#""metadata":[]"#, FieldType, "metadata"),
    ];
    for (field, reason, param) in table {
        let got = refused(Endpoint::ChatCompletions, &chat_with(field));
        assert_eq!(got, (reason, Some(param.into())), "{field}");
    }
}

#[test]
fn unknown_fields_are_refused_in_openais_words_and_cut_short() {
    let refusal = normalise(Endpoint::ChatCompletions, &chat_with(r#""frob":1"#)).map(|_| ()).unwrap_err();
    assert_eq!(refusal.detail.as_deref(), Some("Unrecognized request argument supplied: frob"));
    let long = format!("\"{}\":1", "x".repeat(5_000));
    assert_eq!(refused(Endpoint::ChatCompletions, &chat_with(&long)).1.map(|param| param.len()), Some(64));
}

#[test]
fn messages_of_every_role_pass_untouched() {
    let table = [
        r#"{"content":"x","role":"system"}"#,
        r#"{"content":"x","name":"Ann","role":"developer"}"#,
        r#"{"content":[{"text":"x","type":"text"},{"text":"","type":"text"}],"role":"user"}"#,
        r#"{"content":null,"role":"assistant","tool_calls":[{"function":{"arguments":"{}","name":"f"},"id":"c1","type":"function"}]}"#,
        r#"{"annotations":[],"audio":null,"content":"x","function_call":null,"refusal":null,"role":"assistant","tool_calls":null}"#,
        r#"{"content":[{"refusal":"no","type":"refusal"}],"role":"assistant"}"#,
        r#"{"content":"{}","role":"tool","tool_call_id":"c1"}"#,
        r#"{"content":"  two  spaces\n\u0000 é 😀 ","role":"user"}"#,
    ];
    for message in table {
        let messages = format!(r#""messages":[{message},{{"content":"Hi","role":"user"}}]"#);
        let body = format!(r#"{{"model":"smol","max_tokens":9,{messages}}}"#);
        let (forwarded, edits) = forwarded(Endpoint::ChatCompletions, &body);
        assert!(forwarded.contains(&messages) && edits.is_empty(), "{forwarded} {edits}");
    }
}

#[test]
fn each_bad_message_has_its_reason_and_path() {
    use Reason::{FieldMissing, FieldType, FieldUnknown, FieldValue};
    let table = [
        (r#""Hi""#, FieldType, "messages"),
        ("null", FieldType, "messages"),
        ("[]", FieldValue, "messages"),
        (r#"["Hi"]"#, FieldType, "messages[0]"),
        (r#"[{"content":"x"}]"#, FieldMissing, "messages[0].role"),
        (r#"[{"role":"user"}]"#, FieldMissing, "messages[0].content"),
        (r#"[{"role":1,"content":"x"}]"#, FieldType, "messages[0].role"),
        (r#"[{"role":"boss","content":"x"}]"#, FieldValue, "messages[0].role"),
        (r#"[{"role":"user","content":null}]"#, FieldType, "messages[0].content"),
        (r#"[{"role":"user","content":7}]"#, FieldType, "messages[0].content"),
        (r#"[{"role":"user","content":[]}]"#, FieldValue, "messages[0].content"),
        (r#"[{"role":"user","content":[{"type":"text"}]}]"#, FieldMissing, "messages[0].content[0].text"),
        (r#"[{"role":"user","content":[{"type":"image_url"}]}]"#, FieldValue, "messages[0].content[0].type"),
        (
            r#"[{"role":"user","content":[{"type":"text","text":"x","y":1}]}]"#,
            FieldUnknown,
            "messages[0].content[0].y",
        ),
        (
            r#"[{"role":"user","content":"a"},{"role":"tool","content":"x"}]"#,
            FieldMissing,
            "messages[1].tool_call_id",
        ),
        (r#"[{"role":"user","content":"x","tool_calls":[]}]"#, FieldUnknown, "messages[0].tool_calls"),
        (r#"[{"role":"user","content":"x","cache_salt":"y"}]"#, FieldUnknown, "messages[0].cache_salt"),
        (
            r#"[{"role":"assistant","tool_calls":[{"id":"a"}]}]"#,
            FieldMissing,
            "messages[0].tool_calls[0].function",
        ),
        (r#"[{"role":"user","content":"x","name":""}]"#, FieldValue, "messages[0].name"),
    ];
    for (messages, reason, param) in table {
        let body = format!(r#"{{"model":"smol","messages":{messages}}}"#);
        assert_eq!(refused(Endpoint::ChatCompletions, &body), (reason, Some(param.into())), "{messages}");
    }
}

#[test]
fn too_many_messages_tools_and_schema_nodes_are_refused() {
    let many = |item: &str, count: usize| vec![item; count].join(",");
    let message = r#"{"role":"user","content":"x"}"#;
    let body = |count| format!(r#"{{"model":"smol","messages":[{}]}}"#, many(message, count));
    assert!(normalise(Endpoint::ChatCompletions, &body(2_048)).is_ok());
    assert_eq!(refused(Endpoint::ChatCompletions, &body(2_049)).0, Reason::FieldValue);
    let tool = r#"{"type":"function","function":{"name":"f"}}"#;
    let tools = |count| chat_with(&format!("\"tools\":[{}]", many(tool, count)));
    assert!(normalise(Endpoint::ChatCompletions, &tools(128)).is_ok());
    assert_eq!(refused(Endpoint::ChatCompletions, &tools(129)).0, Reason::FieldValue);
    let schema = format!(
        r#""tools":[{{"type":"function","function":{{"name":"f","parameters":{{"x":[{}]}}}}}}]"#,
        many("0", 17_000)
    );
    assert_eq!(
        refused(Endpoint::ChatCompletions, &chat_with(&schema)),
        (Reason::FieldValue, Some("tools".into()))
    );
}

#[test]
fn usage_in_the_stream_is_noted_and_not_forwarded() {
    let body =
        chat_with(r#""stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}"#);
    let done = normalise(Endpoint::ChatCompletions, &body).unwrap();
    assert!(done.stream && done.include_usage);
    let (forwarded, edits) = forwarded(Endpoint::ChatCompletions, &body);
    assert!(
        !forwarded.contains("stream_options") && edits == "stream_options:consumed",
        "{forwarded} {edits}"
    );
    let plain = normalise(Endpoint::ChatCompletions, &chat_with(r#""stream":true"#)).unwrap();
    assert!(plain.stream && !plain.include_usage);
}

#[test]
fn completions_take_their_own_fields() {
    let kept = [r#""echo":true"#, r#""logprobs":5"#, r#""suffix":"end""#, r#""stop":["x"]"#, r#""seed":1"#];
    for field in kept {
        let (body, edits) = forwarded(Endpoint::Completions, &completion_with(field));
        assert!(body.contains(field) && edits.is_empty(), "{body} {edits}");
    }
    use Reason::{FieldMissing, FieldType, FieldUnknown, FieldValue};
    let table = [
        (r#"{"model":"smol"}"#.into(), FieldMissing, "prompt"),
        (r#"{"prompt":"Hi"}"#.into(), FieldMissing, "model"),
        (completion_with(r#""messages":[]"#), FieldUnknown, "messages"),
        (completion_with(r#""max_completion_tokens":1"#), FieldUnknown, "max_completion_tokens"),
        (completion_with(r#""logprobs":6"#), FieldValue, "logprobs"),
        (completion_with(r#""logprobs":true"#), FieldType, "logprobs"),
        (completion_with(r#""best_of":2"#), FieldValue, "best_of"),
        (r#"{"model":"smol","prompt":"Hi","max_tokens":0}"#.into(), FieldValue, "max_tokens"),
        (r#"{"model":7,"prompt":"Hi"}"#.into(), FieldType, "model"),
    ];
    for (body, reason, param) in table {
        assert_eq!(refused(Endpoint::Completions, &body), (reason, Some(param.into())), "{body}");
    }
}

#[test]
fn prompts_are_one_text_or_one_list_of_tokens() {
    let table = [
        (r#""Hi""#, None),
        (r#""""#, None),
        ("[1,2,3]", None),
        (r#"["Hi"]"#, None),
        ("[[1,2]]", None),
        ("[]", Some((Reason::FieldValue, "prompt"))),
        (r#"["a","b"]"#, Some((Reason::FieldValue, "prompt"))),
        ("[-1]", Some((Reason::FieldValue, "prompt[0]"))),
        (r#"[1,"a"]"#, Some((Reason::FieldType, "prompt[1]"))),
        ("[[1,true]]", Some((Reason::FieldType, "prompt[0][1]"))),
        ("{}", Some((Reason::FieldType, "prompt"))),
        ("null", Some((Reason::FieldType, "prompt"))),
    ];
    for (prompt, expected) in table {
        let body = format!(r#"{{"model":"smol","prompt":{prompt}}}"#);
        let got =
            normalise(Endpoint::Completions, &body).err().map(|refusal| (refusal.reason, refusal.param));
        assert_eq!(got, expected.map(|(reason, param)| (reason, Some(param.into()))), "{prompt}");
    }
}

#[test]
fn embeddings_have_no_budget_and_take_many_inputs() {
    let (body, edits) = forwarded(Endpoint::Embeddings, r#"{"model":"smol","input":["a","b"],"user":"u"}"#);
    assert_eq!((body.as_str(), edits.as_str()), (r#"{"input":["a","b"],"model":"smol"}"#, "user:dropped"));
    assert_eq!(normalise(Endpoint::Embeddings, r#"{"model":"smol","input":"a"}"#).unwrap().tokens, 0);
}

#[test]
fn only_objects_and_only_endpoints_with_a_body_are_taken() {
    for body in ["[]", "null", "\"x\"", "1"] {
        assert_eq!(refused(Endpoint::ChatCompletions, body), (Reason::FieldType, None));
    }
    assert_eq!(refused(Endpoint::Models, "{}").0, Reason::HttpNotFound);
}

#[test]
fn the_conversation_is_the_header_or_the_user_or_the_first_messages() {
    let chat = r#"{"user":"u\u00e9","messages":[{"role":"system","content":"s"},{"role":"user","content":"1"},{"role":"user","content":"2"}]}"#;
    let without_user = chat.replace(r#""user":"u\u00e9","#, "");
    let later = without_user.replace(r#","content":"2"}"#, r#","content":"3"}"#);
    let nobody = r#"{"messages":[{"content":"s","role":"system"},{"role":"system","content":"t"}]}"#;
    let first = r#"{"content":"s","role":"system"},{"content":"1","role":"user"}"#;
    let prompt = format!(r#"{{"prompt":"{}"}}"#, "e".repeat(300));
    let tokens = r#"{"prompt":[1, 2.0]}"#;
    let table: [(Endpoint, Option<&[u8]>, &str, &str); 9] = [
        (Endpoint::ChatCompletions, Some(b"c-1"), chat, "c-1"),
        (Endpoint::ChatCompletions, Some(b""), chat, "ué"),
        (Endpoint::ChatCompletions, None, &without_user, first),
        (Endpoint::ChatCompletions, None, &later, first),
        (
            Endpoint::ChatCompletions,
            None,
            nobody,
            r#"{"content":"s","role":"system"},{"content":"t","role":"system"}"#,
        ),
        (Endpoint::Completions, None, &prompt, &format!("\"{}", "e".repeat(255))),
        (Endpoint::Completions, None, tokens, "[1,2]"),
        (Endpoint::Completions, None, r#"{"user":"","prompt":"Hi"}"#, "\"Hi\""),
        (Endpoint::Completions, None, "{}", ""),
    ];
    for (endpoint, header, body, key) in table {
        let tree = Tree::parse(body.as_bytes(), LIMITS).unwrap();
        let fields = Fields::of(&tree, endpoint).unwrap();
        let bucket = crate::steer::bucket_in(fields.conversation("alpha", header));
        assert_eq!(bucket, crate::bucket_of("alpha", key.as_bytes()), "{body}");
    }
}
