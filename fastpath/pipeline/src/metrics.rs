//! Everything that is counted, as families for Prometheus. The Python edge only turns them into its text format.

use crate::counters::{CoreCounters, Stages};
use crate::fast_path::FastPath;
use crate::histogram::Histogram;
use crate::limit_hits;
use dpu_types::Endpoint;
use dpu_ucx::SessionCounters;
use serde::Serialize;

mod budget;
mod gen_ai;
mod steering;

/// One metric with its series.
#[derive(Clone, Debug, Serialize)]
pub struct Family {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    samples: Vec<Sample>,
}

/// One series.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Sample {
    Value { labels: Vec<String>, value: f64 },
    Histogram { labels: Vec<String>, buckets: Vec<(f64, u64)>, sum: f64, count: u64 },
}

/// All families of the request path.
#[must_use]
pub fn families(fast_path: &FastPath) -> Vec<Family> {
    let counters = fast_path.counters();
    let status = fast_path.status();
    let mut all = requests(&counters);
    all.extend(connections(&counters, fast_path));
    all.push(tokens(&counters));
    all.extend(budget::families(fast_path));
    all.extend(gen_ai::families(&counters));
    all.extend(stages(&counters.stages));
    all.push(capped(&counters));
    all.extend(frames(&counters.frames));
    all.push(cancels(&counters.cancels.0));
    all.extend(steering::families(&counters, &status.workers, &fast_path.room()));
    let up = |state: &str| f64::from(u8::from(state == "ready"));
    all.push(Family {
        name: "dpu_worker_up",
        kind: "gauge",
        help: "1 where every core has an authenticated connection to the worker.",
        labels: &["worker", "transport"],
        samples: status.workers.iter().map(|w| value([&w.name, &w.transport], up(&w.state))).collect(),
    });
    all.push(Family {
        name: "dpu_worker_outstanding",
        kind: "gauge",
        help: "Requests that the worker has from us.",
        labels: &["worker"],
        samples: status.workers.iter().map(|w| value([&w.name], f64::from(w.outstanding))).collect(),
    });
    all.push(single("dpu_plan_epoch", "gauge", "Epoch of the plan that is programmed.", status.epoch));
    all.push(single(
        "dpu_plan_revision",
        "gauge",
        "Revision of the store that is programmed.",
        status.revision,
    ));
    all.push(single(
        "dpu_draining",
        "gauge",
        "1 while the process is on its way out.",
        u64::from(status.draining),
    ));
    let lost = fast_path.journal_lines_lost();
    all.push(single(
        "dpu_journal_lines_lost",
        "counter",
        "Decision records that did not reach the journal.",
        lost,
    ));
    all
}

fn requests(counters: &CoreCounters) -> Vec<Family> {
    let ended = counters.requests.iter().map(|(key, count)| {
        let tenant = key.tenant.as_deref().unwrap_or_default();
        let endpoint = key.endpoint.map_or("", Endpoint::label);
        value([tenant, endpoint, key.outcome.label(), key.reason.info().name], *count as f64)
    });
    let in_flight = counters.received.saturating_sub(counters.ended_count());
    vec![
        single("dpu_requests_received", "counter", "Requests whose head was accepted.", counters.received),
        Family {
            name: "dpu_requests",
            kind: "counter",
            help: "Requests by outcome and its one reason. Received = sum over outcomes + in flight.",
            labels: &["tenant", "endpoint", "outcome", "reason"],
            samples: ended.collect(),
        },
        single("dpu_requests_in_flight", "gauge", "Requests that have begun and not ended.", in_flight),
        single("dpu_request_edits", "counter", "Changes that normalisation made to bodies.", counters.edits),
        single("dpu_request_retries", "counter", "Requests given to a second worker.", counters.retries),
    ]
}

fn connections(counters: &CoreCounters, fast_path: &FastPath) -> Vec<Family> {
    let by_reason = |map: &std::collections::BTreeMap<dpu_types::Reason, u64>| {
        map.iter().map(|(reason, count)| value([reason.info().name], *count as f64)).collect()
    };
    let open = fast_path.connections_open();
    vec![
        single("dpu_connections", "counter", "Connections accepted.", counters.connections),
        Family {
            name: "dpu_connections_open",
            kind: "gauge",
            help: "Connections open now.",
            labels: &["listener"],
            samples: open.iter().map(|(name, count)| value([name], f64::from(*count))).collect(),
        },
        Family {
            name: "dpu_connection_refusals",
            kind: "counter",
            help: "Connections that were ended for a reason of their own.",
            labels: &["reason"],
            samples: by_reason(&counters.connection_refusals),
        },
        Family {
            name: "dpu_head_refusals",
            kind: "counter",
            help: "Request heads that were not accepted; no request began.",
            labels: &["reason"],
            samples: by_reason(&counters.head_refusals),
        },
        Family {
            name: "dpu_limit_hits",
            kind: "counter",
            help: "Limits of the listeners that were hit, by their name in the desired state.",
            labels: &["limit"],
            samples: limit_hits::hits(counters).map(|(limit, count)| value([limit], count as f64)).collect(),
        },
        Family {
            name: "dpu_tls_handshakes",
            kind: "counter",
            help: "TLS handshakes done; those that failed are connection refusals.",
            labels: &["protocol", "version", "resumed", "client_certificate"],
            samples: counters.handshakes.series().map(|(l, n)| value(l, n as f64)).collect(),
        },
        Family {
            name: "dpu_token_cache",
            kind: "counter",
            help: "JWTs: found verified (hit), signature checked (miss), forgotten to make room (evicted).",
            labels: &["event"],
            samples: [
                ("hit", counters.tokens.hits),
                ("miss", counters.tokens.misses),
                ("evicted", counters.tokens.evicted),
            ]
            .iter()
            .map(|(event, count)| value([event], *count as f64))
            .collect(),
        },
        Family {
            name: "dpu_tls_certificate_expiry_timestamp_seconds",
            kind: "gauge",
            help: "When a listener's certificate ends, in seconds since 1970.",
            labels: &["listener", "name", "key"],
            samples: fast_path
                .certificates()
                .iter()
                .map(|(l, c)| value([l, &*c.name, c.key_kind], c.not_after_s as f64))
                .collect(),
        },
    ]
}

fn tokens(counters: &CoreCounters) -> Family {
    let tokens = counters.arms.iter().flat_map(|(key, totals)| {
        let kinds = [
            ("prompt", totals.prompt),
            ("cached", totals.cached),
            ("completion", totals.completion),
            ("wasted", totals.wasted),
        ];
        let endpoint = key.endpoint.label();
        kinds.map(|(kind, count)| value([&*key.tenant, &key.model, &key.arm, endpoint, kind], count as f64))
    });
    Family {
        name: "dpu_tokens",
        kind: "counter",
        help: "Tokens: of prompts, of these cached, completions handed to TLS, generated for clients that had gone.",
        labels: &["tenant", "model", "arm", "endpoint", "kind"],
        samples: tokens.collect(),
    }
}

/// Sums of seconds by stage; over `dpu_staged_requests_total` they are means. `receive` is head to worker, `wait` our
/// queue, `queue` the worker's, `prefill` slot to first token, `generate` first token to last byte.
fn stages(stages: &Stages) -> Vec<Family> {
    let sums = [
        ("receive", stages.receive_ns),
        ("wait", stages.wait_ns),
        ("queue", stages.queue_ns),
        ("prefill", stages.prefill_ns),
        ("generate", stages.generate_ns),
    ];
    let help = "Where the time of requests that came to a first token went.";
    vec![
        Family {
            name: "dpu_stage_seconds",
            kind: "counter",
            help,
            labels: &["stage"],
            samples: sums.iter().map(|(stage, ns)| value([stage], *ns as f64 / 1e9)).collect(),
        },
        single("dpu_staged_requests", "counter", "Requests whose stages were added up.", stages.count),
    ]
}

fn capped(counters: &CoreCounters) -> Family {
    let metrics = ["dpu_requests", "gen_ai"].iter().zip(counters.capped);
    Family {
        name: "dpu_series_capped",
        kind: "counter",
        help: "Observations counted under _other because telemetry.series_max label sets were there already.",
        labels: &["metric"],
        samples: metrics.map(|(metric, count)| value([metric], count as f64)).collect(),
    }
}

fn frames(frames: &SessionCounters) -> Vec<Family> {
    let kinds = |counts: &[u64]| -> Vec<Sample> {
        let named = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        named.map(|(kind, count)| value([SessionCounters::kind_name(kind)], *count as f64)).collect()
    };
    let faults = [
        ("handshake_failed", frames.handshake_failures),
        ("out_of_order", frames.out_of_order),
        ("duplicate", frames.duplicates),
        ("malformed", frames.malformed),
        ("ping_lost", frames.pings_lost),
        ("peer_lost", frames.peers_lost),
        ("late_frame", frames.late_frames),
        ("send_queue_full", frames.send_queue_full),
        ("cancel_timed_out", frames.cancels_timed_out),
        ("stranger", frames.strangers),
        ("credit_exceeded", frames.credit_exceeded),
        ("token_lie", frames.token_lies),
    ];
    let family = |name, help, samples| Family { name, kind: "counter", help, labels: &["kind"], samples };
    vec![
        family("dpu_worker_frames_sent", "Worker frames sent, by kind.", kinds(&frames.frames_out)),
        family("dpu_worker_frames_received", "Worker frames received, by kind.", kinds(&frames.frames_in)),
        family(
            "dpu_worker_connection_faults",
            "What went wrong on worker connections.",
            faults.iter().map(|(kind, count)| value([kind], *count as f64)).collect(),
        ),
        single("dpu_worker_bytes_sent", "counter", "Bytes of worker frames sent.", frames.bytes_out),
        single("dpu_worker_bytes_received", "counter", "Bytes of worker frames received.", frames.bytes_in),
        single("dpu_worker_reconnects", "counter", "Attempts to reach a worker again.", frames.reconnects),
    ]
}

fn cancels(times: &Histogram) -> Family {
    Family {
        name: "dpu_worker_cancel_seconds",
        kind: "histogram",
        help: "From CANCEL to generation stopped and its memory free, by the worker's clock.",
        labels: &[],
        samples: vec![histogram([], times)],
    }
}

fn single(name: &'static str, kind: &'static str, help: &'static str, count: u64) -> Family {
    Family { name, kind, help, labels: &[], samples: vec![value::<0, &str>([], count as f64)] }
}

fn value<const N: usize, L: AsRef<str>>(labels: [L; N], value: f64) -> Sample {
    Sample::Value { labels: labels.iter().map(|label| label.as_ref().to_owned()).collect(), value }
}

fn histogram<const N: usize>(labels: [&str; N], of: &Histogram) -> Sample {
    Sample::Histogram {
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        buckets: of.cumulative().collect(),
        sum: of.sum(),
        count: of.count(),
    }
}
