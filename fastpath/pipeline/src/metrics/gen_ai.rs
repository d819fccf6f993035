//! What OpenTelemetry's GenAI convention names, in the Prometheus form of its names, with tenant and arm beside it.

use super::{histogram, Family, Sample};
use crate::counters::{ArmKey, ArmTotals, CoreCounters};
use crate::histogram::Histogram;
use dpu_types::Endpoint;

/// `gen_ai.provider.name`: who answers, as far as clients can tell.
const PROVIDER: &str = "dpu-app";
const OPERATION_LABEL: &str = "gen_ai_operation_name";
const PROVIDER_LABEL: &str = "gen_ai_provider_name";
const MODEL_LABEL: &str = "gen_ai_request_model";
const LABELS: &[&str] = &[OPERATION_LABEL, PROVIDER_LABEL, MODEL_LABEL, "tenant", "arm"];
const LABELS_ERROR: &[&str] = &[OPERATION_LABEL, PROVIDER_LABEL, MODEL_LABEL, "tenant", "arm", "error_type"];
const LABELS_TOKEN: &[&str] =
    &[OPERATION_LABEL, PROVIDER_LABEL, MODEL_LABEL, "tenant", "arm", "gen_ai_token_type"];

/// The four histograms.
pub fn families(counters: &CoreCounters) -> [Family; 4] {
    let family = |name, help, labels, samples| Family { name, kind: "histogram", help, labels, samples };
    let each = |of: fn(&ArmTotals) -> &Histogram| -> Vec<Sample> {
        let filled = counters.arms.iter().filter(|(_, totals)| of(totals).count() > 0);
        filled.map(|(key, totals)| histogram(labels(key), of(totals))).collect()
    };
    [
        family(
            "gen_ai_server_request_duration_seconds",
            "From the accepted head to the last byte handed to TLS; error_type is the reason where it was not whole.",
            LABELS_ERROR,
            counters.arms.iter().flat_map(durations).collect(),
        ),
        family(
            "gen_ai_server_time_to_first_token_seconds",
            "From the accepted head to the first token.",
            LABELS,
            each(|totals| &totals.first_token),
        ),
        family(
            "gen_ai_server_time_per_output_token_seconds",
            "After the first token, for each further one, of answers that were whole.",
            LABELS,
            each(|totals| &totals.per_token),
        ),
        family(
            "gen_ai_client_token_usage",
            "Tokens of a request, by the engine's count.",
            LABELS_TOKEN,
            counters.arms.iter().flat_map(usage).collect(),
        ),
    ]
}

/// Values for the labels that all of them have.
fn labels(key: &ArmKey) -> [&str; 5] {
    let operation = match key.endpoint {
        Endpoint::ChatCompletions => "chat",
        Endpoint::Completions => "text_completion",
        other => other.label(), // embeddings: the convention's word too
    };
    [operation, PROVIDER, &key.model, &key.tenant, &key.arm]
}

fn with<'k>(key: &'k ArmKey, last: &'k str) -> [&'k str; 6] {
    let [operation, provider, model, tenant, arm] = labels(key);
    [operation, provider, model, tenant, arm, last]
}

fn durations((key, totals): (&ArmKey, &ArmTotals)) -> Vec<Sample> {
    let whole = (totals.duration.count() > 0).then(|| histogram(with(key, ""), &totals.duration));
    let failed =
        totals.failed.iter().map(|(reason, failed)| histogram(with(key, reason.info().name), failed));
    whole.into_iter().chain(failed).collect()
}

fn usage((key, totals): (&ArmKey, &ArmTotals)) -> Vec<Sample> {
    let kinds = [("input", &totals.input), ("output", &totals.output)];
    let filled = kinds.into_iter().filter(|(_, of)| of.count() > 0);
    filled.map(|(kind, of)| histogram(with(key, kind), of)).collect()
}
