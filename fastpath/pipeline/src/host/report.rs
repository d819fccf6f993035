//! What a worker says about itself, as JSON: status for people, families for metrics.

use super::engine_totals::{histogram, EngineTotals};
use crate::counters::CancelTimes;
use dpu_ucx::{PeerState, SessionCounters, TransportCounters};
use serde::Serialize;
use serde_json::{json, Value};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// END or RESULT was sent.
    Answered,
    /// FAIL by the engine.
    Failed,
    /// CANCELLED was sent.
    Cancelled,
    /// The fast path went away.
    Lost,
    /// No slot and no place in the queue.
    Refused,
    /// The drain time ended.
    Cut,
}

impl Ended {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Answered, "answered"),
        (Self::Failed, "failed"),
        (Self::Cancelled, "cancelled"),
        (Self::Lost, "lost"),
        (Self::Refused, "refused"),
        (Self::Cut, "cut"),
    ];
}

/// Counted by the worker's thread since its start.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    ended: [u64; 6],
    /// Completion tokens sent.
    pub tokens: u64,
    /// Completion tokens generated for cancelled requests and not sent.
    pub wasted: u64,
    /// From CANCEL to CANCELLED.
    pub cancels: CancelTimes,
    /// Of the engine that lives here; `None` where engines count for themselves.
    pub engine: Option<EngineTotals>,
}

impl Totals {
    /// Nothing counted yet. `engine_lives_here`: its figures are counted here too.
    pub fn new(engine_lives_here: bool) -> Self {
        Self { engine: engine_lives_here.then(EngineTotals::default), ..Self::default() }
    }

    /// One request more ended like this.
    pub fn count(&mut self, ended: Ended) {
        self.ended[ended as usize] += 1;
    }
}

/// The state of a worker at one moment.
pub struct Report {
    /// Requests in slots.
    pub running: usize,
    /// Requests waiting for a slot.
    pub queued: usize,
    /// Whether it drains.
    pub draining: bool,
    /// The fast paths.
    pub peers: Vec<PeerState>,
    /// How requests ended.
    pub totals: Totals,
    /// The sessions' counters.
    pub session: SessionCounters,
    /// The transport's counters.
    pub transport: TransportCounters,
    /// Nanoseconds in which the thread looked for more instead of sleeping.
    pub spun_ns: u64,
}

impl Report {
    /// Peers with the transport of each, running, queued.
    pub fn status(&self) -> Value {
        let peers = self.peers.iter().map(|peer| {
            json!({"fastpath": peer.fastpath_id, "transport": peer.transport, "streams": peer.streams})
        });
        json!({
            "running": self.running,
            "queued": self.queued,
            "draining": self.draining,
            "peers": peers.collect::<Vec<_>>(),
        })
    }

    /// Prometheus families, counter names without `_total`.
    pub fn families(&self) -> Value {
        let ended = Ended::ALL.map(|(ended, name)| (vec![name], self.totals.ended[ended as usize]));
        let mut all = vec![
            family("requests", "counter", "Requests by how they ended", &["outcome"], &ended),
            scalar("running", "gauge", "Requests in slots", self.running as u64),
            scalar("queued", "gauge", "Requests waiting for a slot", self.queued as u64),
            scalar("fastpaths", "gauge", "Fast paths connected", self.peers.len() as u64),
            scalar("tokens", "counter", "Completion tokens sent", self.totals.tokens),
            scalar(
                "tokens_wasted",
                "counter",
                "Tokens generated for cancelled requests, not sent",
                self.totals.wasted,
            ),
            family("frames", "counter", "Worker frames", &["way", "kind"], &self.frames()),
            family("frame_bytes", "counter", "Bytes of worker frames", &["way"], &self.bytes()),
            family(
                "session_events",
                "counter",
                "What sessions and transport counted",
                &["what"],
                &self.events(),
            ),
            scalar(
                "bytes_in_flight",
                "gauge",
                "Bytes handed to the transport",
                self.transport.bytes_in_flight,
            ),
            scalar(
                "spin_seconds",
                "counter",
                "Looking for more frames before sleeping, where they come close together",
                self.spun_ns as f64 / 1e9,
            ),
            histogram(
                "cancel_seconds",
                "CANCEL come to slot free and CANCELLED sent",
                &self.totals.cancels.0,
            ),
        ];
        all.extend(self.totals.engine.iter().flat_map(|engine| engine.families(self.totals.wasted)));
        Value::Array(all)
    }

    fn frames(&self) -> Vec<(Vec<&'static str>, u64)> {
        let ways = [("in", &self.session.frames_in), ("out", &self.session.frames_out)];
        let each = ways.into_iter().flat_map(|(way, counts)| {
            counts
                .iter()
                .enumerate()
                .map(move |(kind, count)| (vec![way, SessionCounters::kind_name(kind)], *count))
        });
        each.filter(|(_, count)| *count > 0).collect()
    }

    fn bytes(&self) -> [(Vec<&'static str>, u64); 2] {
        [(vec!["in"], self.session.bytes_in), (vec!["out"], self.session.bytes_out)]
    }

    fn events(&self) -> [(Vec<&'static str>, u64); 15] {
        let (session, transport) = (&self.session, &self.transport);
        [
            (vec!["handshake"], session.handshakes),
            (vec!["handshake_failure"], session.handshake_failures),
            (vec!["peer_lost"], session.peers_lost),
            (vec!["ping_lost"], session.pings_lost),
            (vec!["out_of_order"], session.out_of_order),
            (vec!["reordered"], session.reordered),
            (vec!["duplicate"], session.duplicates),
            (vec!["malformed"], session.malformed),
            (vec!["stranger"], session.strangers),
            (vec!["send_queue_full"], session.send_queue_full),
            (vec!["peer_refused_full"], session.peers_refused_full),
            (vec!["backlog_full"], session.backlog_full),
            (vec!["receipt_refused"], session.receipts_refused),
            (vec!["credit_wait"], session.credit_waits),
            (vec!["buffer_stranded"], transport.buffers_stranded),
        ]
    }
}

/// One family; counter names come without `_total`.
pub fn family<V: Serialize>(
    name: &str,
    kind: &str,
    help: &str,
    labels: &[&str],
    samples: &[(Vec<&str>, V)],
) -> Value {
    let samples = samples.iter().map(|(labels, value)| json!({"labels": labels, "value": value}));
    json!({
        "name": format!("dpu_worker_{name}"),
        "type": kind,
        "help": help,
        "labels": labels,
        "samples": samples.collect::<Vec<_>>(),
    })
}

fn scalar<V: Serialize>(name: &str, kind: &str, help: &str, value: V) -> Value {
    family(name, kind, help, &[], &[(vec![], value)])
}
