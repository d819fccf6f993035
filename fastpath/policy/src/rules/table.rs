//! The tables: every field that an endpoint takes, what it may hold, and what becomes of it.

use super::kind::Kind::{self, Any, Bool, Check, Integer, Number, Object, OneOf, Text, TextOf};
use super::{input, logit_bias, messages, response_format, stop, stream, tools};
use dpu_types::Endpoint;

/// What becomes of a field that is as its rule wants it.
#[derive(Clone, Copy)]
pub enum Action {
    /// Forwarded in canonical form.
    Keep,
    /// Not forwarded; the edit says why: `dropped` (means nothing to an engine), `consumed` (done here), `engine_key`.
    Drop(&'static str),
    /// Replaced by the engine's name of the model.
    Model,
    /// Becomes `max_tokens` within the arm's bounds.
    Budget,
}

/// One field.
pub struct Rule {
    /// Its name, in plain ASCII.
    pub name: &'static str,
    /// The first bytes of the name as a number: nearly every comparison ends there.
    start: u64,
    /// What it may hold.
    pub kind: Kind,
    /// What becomes of it.
    pub action: Action,
    /// `null` is allowed and means that the field is not there.
    pub nullable: bool,
}

/// All fields of an endpoint.
pub struct Table {
    /// Sorted by name.
    pub rules: &'static [Rule],
    /// The required field with what the caller says.
    pub content: &'static str,
    /// Whether the endpoint makes tokens, so that it has a budget.
    pub generates: bool,
}

impl Table {
    /// The rule of a field; engine keys have one for all endpoints.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&'static Rule> {
        find(self.rules, name).or_else(|| find(ENGINE_KEYS, name))
    }
}

/// Names of all engine keys, for tests.
#[cfg(test)]
pub(super) fn engine_keys() -> impl Iterator<Item = &'static str> {
    ENGINE_KEYS.iter().map(|rule| rule.name)
}

fn find(rules: &'static [Rule], name: &str) -> Option<&'static Rule> {
    let start = start(name);
    let at = rules.binary_search_by(|rule| rule.start.cmp(&start).then_with(|| rule.name.cmp(name))).ok()?;
    rules.get(at)
}

/// The first eight bytes of a name as a number, zeros behind a shorter one; ordered as the names are.
const fn start(name: &str) -> u64 {
    let (bytes, mut start, mut at) = (name.as_bytes(), 0, 0);
    while at < 8 {
        start = start << 8 | if at < bytes.len() { bytes[at] as u64 } else { 0 };
        at += 1;
    }
    start
}

/// The table of an endpoint with a body.
#[must_use]
pub const fn of(endpoint: Endpoint) -> Option<&'static Table> {
    match endpoint {
        Endpoint::ChatCompletions => Some(&CHAT),
        Endpoint::Completions => Some(&COMPLETIONS),
        Endpoint::Embeddings => Some(&EMBEDDINGS),
        Endpoint::Models | Endpoint::Model => None,
    }
}

/// Choices per answer; more is refused. Each counts in full in the token budget. Many more than anybody asks for would
/// multiply the work of one request beyond what its concurrency limit says.
const CHOICES_MAX: i64 = 8;
const USER_BYTES_MAX: usize = 512;
const EFFORTS: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh"];

const DROP: Action = Action::Drop("dropped");

const fn keep(name: &'static str, kind: Kind) -> Rule {
    Rule { name, start: start(name), kind, action: Action::Keep, nullable: true }
}

const fn dropped(name: &'static str, kind: Kind) -> Rule {
    Rule { name, start: start(name), kind, action: DROP, nullable: true }
}

const fn required(name: &'static str, kind: Kind, action: Action) -> Rule {
    Rule { name, start: start(name), kind, action, nullable: false }
}

const fn budget(name: &'static str) -> Rule {
    Rule { name, start: start(name), kind: Any, action: Action::Budget, nullable: false }
}

/// `stream_options` speaks to whoever writes the events, and that is us.
const fn consumed(name: &'static str, kind: Kind) -> Rule {
    Rule { name, start: start(name), kind, action: Action::Drop("consumed"), nullable: true }
}

/// `POST /v1/chat/completions`
static CHAT: Table = Table {
    content: "messages",
    generates: true,
    rules: &[
        keep("frequency_penalty", Number(-2.0, 2.0)),
        keep("logit_bias", Check(logit_bias::check)),
        keep("logprobs", Bool),
        budget("max_completion_tokens"),
        budget("max_tokens"),
        required("messages", Check(messages::check), Action::Keep),
        dropped("metadata", Object),
        dropped("modalities", Check(check_modalities)),
        required("model", Text, Action::Model),
        keep("n", Integer(1, CHOICES_MAX)),
        keep("parallel_tool_calls", Bool),
        dropped("prediction", Object),
        keep("presence_penalty", Number(-2.0, 2.0)),
        dropped("prompt_cache_key", Text),
        dropped("prompt_cache_retention", Text),
        keep("reasoning_effort", OneOf(EFFORTS)),
        keep("response_format", Check(response_format::check)),
        dropped("safety_identifier", Text),
        keep("seed", Integer(-(1 << 53), 1 << 53)),
        dropped("service_tier", Text),
        keep("stop", Check(stop::check)),
        dropped("store", Bool),
        keep("stream", Bool),
        consumed("stream_options", Check(stream::check_options)),
        keep("temperature", Number(0.0, 2.0)),
        keep("tool_choice", Check(tools::check_choice)),
        keep("tools", Check(tools::check)),
        keep("top_logprobs", Integer(0, 20)),
        keep("top_p", Number(0.0, 1.0)),
        dropped("user", TextOf(0, USER_BYTES_MAX)),
        dropped("verbosity", OneOf(&["low", "medium", "high"])),
    ],
};

/// `POST /v1/completions`
static COMPLETIONS: Table = Table {
    content: "prompt",
    generates: true,
    rules: &[
        dropped("best_of", Integer(1, 1)),
        keep("echo", Bool),
        keep("frequency_penalty", Number(-2.0, 2.0)),
        keep("logit_bias", Check(logit_bias::check)),
        keep("logprobs", Integer(0, 5)),
        budget("max_tokens"),
        dropped("metadata", Object),
        required("model", Text, Action::Model),
        keep("n", Integer(1, CHOICES_MAX)),
        keep("presence_penalty", Number(-2.0, 2.0)),
        required("prompt", Check(input::check_prompt), Action::Keep),
        dropped("prompt_cache_key", Text),
        dropped("safety_identifier", Text),
        keep("seed", Integer(-(1 << 53), 1 << 53)),
        dropped("service_tier", Text),
        keep("stop", Check(stop::check)),
        dropped("store", Bool),
        keep("stream", Bool),
        consumed("stream_options", Check(stream::check_options)),
        keep("suffix", Text),
        keep("temperature", Number(0.0, 2.0)),
        keep("top_p", Number(0.0, 1.0)),
        dropped("user", TextOf(0, USER_BYTES_MAX)),
    ],
};

/// `POST /v1/embeddings`
static EMBEDDINGS: Table = Table {
    content: "input",
    generates: false,
    rules: &[
        keep("dimensions", Integer(1, 65_536)),
        keep("encoding_format", OneOf(&["float", "base64"])),
        required("input", Check(input::check_inputs), Action::Keep),
        required("model", Text, Action::Model),
        dropped("user", TextOf(0, USER_BYTES_MAX)),
    ],
};

const fn engine_key(name: &'static str) -> Rule {
    let action = Action::Drop("engine_key");
    Rule { name, start: start(name), kind: Any, action, nullable: false }
}

/// Keys that an engine would take from anybody (vLLM, SGLang, llama.cpp, Ollama): slots, cache salts, request ids,
/// priorities, samplers and grammars of its own. They pass through no matter what our limits say, so none is forwarded.
static ENGINE_KEYS: &[Rule] = &[
    engine_key("add_generation_prompt"),
    engine_key("add_special_tokens"),
    engine_key("allowed_token_ids"),
    engine_key("bad_words"),
    engine_key("bootstrap_host"),
    engine_key("bootstrap_port"),
    engine_key("bootstrap_room"),
    engine_key("cache_prompt"),
    engine_key("cache_salt"),
    engine_key("chat_template"),
    engine_key("chat_template_kwargs"),
    engine_key("continue_final_message"),
    engine_key("custom_logit_processor"),
    engine_key("custom_params"),
    engine_key("data_parallel_rank"),
    engine_key("documents"),
    engine_key("dry_allowed_length"),
    engine_key("dry_base"),
    engine_key("dry_multiplier"),
    engine_key("dry_penalty_last_n"),
    engine_key("dry_sequence_breakers"),
    engine_key("dynatemp_exponent"),
    engine_key("dynatemp_range"),
    engine_key("ebnf"),
    engine_key("extra_body"),
    engine_key("extra_key"),
    engine_key("grammar"),
    engine_key("grammar_lazy"),
    engine_key("grammar_triggers"),
    engine_key("guided_choice"),
    engine_key("guided_decoding_backend"),
    engine_key("guided_grammar"),
    engine_key("guided_json"),
    engine_key("guided_regex"),
    engine_key("guided_whitespace_pattern"),
    engine_key("id_slot"),
    engine_key("ignore_eos"),
    engine_key("image_data"),
    engine_key("include_stop_str_in_output"),
    engine_key("input_ids"),
    engine_key("json_schema"),
    engine_key("keep_alive"),
    engine_key("kv_transfer_params"),
    engine_key("length_penalty"),
    engine_key("logits_processors"),
    engine_key("lora"),
    engine_key("lora_path"),
    engine_key("min_keep"),
    engine_key("min_p"),
    engine_key("min_tokens"),
    engine_key("mirostat"),
    engine_key("mirostat_eta"),
    engine_key("mirostat_tau"),
    engine_key("mm_processor_kwargs"),
    engine_key("n_discard"),
    engine_key("n_indent"),
    engine_key("n_keep"),
    engine_key("n_predict"),
    engine_key("n_probs"),
    engine_key("no_stop_trim"),
    engine_key("num_ctx"),
    engine_key("num_predict"),
    engine_key("options"),
    engine_key("penalize_nl"),
    engine_key("post_sampling_probs"),
    engine_key("priority"),
    engine_key("prompt_embeds"),
    engine_key("prompt_logprobs"),
    engine_key("reasoning_format"),
    engine_key("regex"),
    engine_key("repeat_last_n"),
    engine_key("repeat_penalty"),
    engine_key("repetition_penalty"),
    engine_key("request_id"),
    engine_key("response_fields"),
    engine_key("return_hidden_states"),
    engine_key("return_progress"),
    engine_key("return_token_ids"),
    engine_key("return_tokens"),
    engine_key("return_tokens_as_token_ids"),
    engine_key("rid"),
    engine_key("samplers"),
    engine_key("separate_reasoning"),
    engine_key("session_params"),
    engine_key("skip_special_tokens"),
    engine_key("slot_id"),
    engine_key("spaces_between_special_tokens"),
    engine_key("stop_regex"),
    engine_key("stop_token_ids"),
    engine_key("stream_reasoning"),
    engine_key("structured_outputs"),
    engine_key("t_max_predict_ms"),
    engine_key("t_max_prompt_ms"),
    engine_key("tfs_z"),
    engine_key("thinking_forced_open"),
    engine_key("timings_per_token"),
    engine_key("top_a"),
    engine_key("top_k"),
    engine_key("truncate_prompt_tokens"),
    engine_key("typical_p"),
    engine_key("use_beam_search"),
    engine_key("vllm_xargs"),
    engine_key("xtc_probability"),
    engine_key("xtc_threshold"),
];

/// Only text is served here, so asking for text changes nothing.
fn check_modalities(value: crate::json::Value<'_>) -> Result<(), dpu_types::Refusal> {
    let mut items = value.items().ok_or_else(|| super::refuse::wrong_type("", "an array"))?.enumerate();
    items.try_for_each(|(i, item)| {
        OneOf(&["text"]).check("", item).map_err(|refusal| super::refuse::within(i, refusal))
    })
}

#[cfg(test)]
mod tests {
    //! Facts about the tables.

    use super::*;

    #[test]
    fn rules_are_sorted_by_name_and_plain_ascii_and_none_is_also_an_engine_key() {
        for rules in [CHAT.rules, COMPLETIONS.rules, EMBEDDINGS.rules, ENGINE_KEYS] {
            assert!(rules.windows(2).all(|pair| pair[0].name < pair[1].name));
            assert!(rules
                .iter()
                .all(|rule| rule.name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())));
        }
        for table in [&CHAT, &COMPLETIONS, &EMBEDDINGS] {
            assert!(table.rules.iter().all(|rule| find(ENGINE_KEYS, rule.name).is_none()));
            assert!(find(table.rules, table.content).is_some());
        }
    }
}
