//! A plan made ready: policy compiled, certificates loaded, addresses parsed. Built whole or not at all.

use crate::slot::WAITING_BYTES_MAX;
use crate::steering::Steering;
use crate::worker::{Ledger, Worker};
use crate::{clock, files};
use dpu_http::{FrameLimits, HeadLimits};
use dpu_policy::{JsonLimits, KeyFiles, LimitState, Policy};
use dpu_tls::ListenerTls;
use dpu_types::gen::worker_frame::STREAM_CREDIT_BYTES;
use dpu_types::plan::{self, Plan, Problem};
use prost::Message;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU32;
use std::sync::Arc;
use std::time::Duration;

/// A worker key shorter than this is refused: it proves both sides of every worker connection.
const WORKER_KEY_BYTES_MIN: usize = 32;

/// A plan in the form that a core uses. Immutable. Each core has one of its own (`build_for`); they share every count,
/// bucket and certificate.
pub struct Programmed {
    /// Revision of the store.
    pub revision: u64,
    /// Epoch of the plan.
    pub epoch: u64,
    /// SHA-256 of the bytes that were applied.
    pub sha256: [u8; 32],
    /// Who may do what.
    pub policy: Policy,
    /// In the plan's order.
    pub listeners: Vec<Arc<Listener>>,
    /// In the plan's order; policy and RDMA speak of workers by this index.
    pub workers: Vec<Worker>,
    /// Models with the workers that serve each arm's engine model; for readiness.
    pub models: Vec<ServedModel>,
    /// Label sets that a core keeps of one metric; 0 for the default.
    pub series_max: usize,
    /// Shared key of the worker connections.
    pub worker_key: Vec<u8>,
    /// A second one that workers may have during a rollover; empty for none.
    pub worker_key_previous: Vec<u8>,
    /// How workers are chosen.
    pub steering: Steering,
}

/// One listener.
pub struct Listener {
    /// Its name in the desired state.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Certificates by SNI, client CAs, and the keys of tickets, which outlive the plan where the CAs do.
    pub tls: ListenerTls,
    /// Every limit.
    pub limits: Limits,
    /// Connections open now on all cores; outlives the plan.
    pub open: Arc<AtomicU32>,
}

/// Limits of a listener in the types that the code uses.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections at most.
    pub connections_max: u32,
    /// Of a request head.
    pub head: HeadLimits,
    /// Bytes of a body.
    pub body_bytes_max: usize,
    /// Of the JSON in it.
    pub json: JsonLimits,
    /// For the whole handshake.
    pub handshake_timeout: Duration,
    /// For a head that has begun.
    pub head_timeout: Duration,
    /// For a whole body, and for a client that does not read.
    pub body_timeout: Duration,
    /// For a connection without a request.
    pub idle_timeout: Duration,
    /// From head to last byte.
    pub request_timeout_ms: u32,
    /// HTTP/2 streams of a connection.
    pub h2_streams_max: u32,
    /// Bytes per second of a body, from its head on, once the grace is over.
    pub body_bytes_per_s_min: u32,
    /// Before that rate counts.
    pub body_grace: Duration,
    /// For a client to take what is ready for it.
    pub write_timeout: Duration,
    /// Requests of one connection.
    pub requests_per_connection_max: u32,
    /// Requests that workers have from one core.
    pub requests_running_max: usize,
    /// HTTP/1: bytes read ahead of the answer that is under way.
    pub pipelined_bytes_max: usize,
    /// HTTP/2: bytes of unfinished bodies of a connection.
    pub bodies_bytes_max: usize,
    /// HTTP/2: what a connection may cost in frames.
    pub frames: FrameLimits,
}

/// Which workers could serve a model.
#[derive(Clone)]
pub struct ServedModel {
    /// Our name.
    pub name: Arc<str>,
    /// For each arm with weight: the engine's name and the indices of the workers whose labels match.
    pub arms: Vec<(String, Vec<usize>)>,
}

impl Programmed {
    /// Makes a plan ready for so many cores, at least one. `previous` lends the counts that outlive a plan.
    ///
    /// Names, models and arms are there once for each core: a request takes and drops some tens of references to them,
    /// and a count of references that two cores change wanders between their caches each time.
    ///
    /// # Errors
    /// Every problem found, each with its entry and the fix; nothing was changed.
    pub fn build_for(
        cores: usize,
        bytes: &[u8],
        limits: &LimitState,
        previous: Option<&Self>,
    ) -> Result<Vec<Arc<Self>>, Vec<Problem>> {
        let plan = Plan::decode(bytes).map_err(|error| {
            vec![problem("plan", &error.to_string(), "agent and fast path must be of one version")]
        })?;
        let key_files = files::jwks(&plan)?;
        let first = Self::build(&plan, &key_files, sha256(bytes), limits, previous)?;
        let others: Result<Vec<_>, _> =
            (1..cores).map(|_| first.twin(&plan, &key_files, limits).map(Arc::new)).collect();
        let mut all = others?;
        all.insert(0, Arc::new(first));
        Ok(all)
    }

    fn build(
        plan: &Plan,
        key_files: &KeyFiles,
        sha256: [u8; 32],
        limits: &LimitState,
        previous: Option<&Self>,
    ) -> Result<Self, Vec<Problem>> {
        let policy = Policy::build_with(plan, limits, key_files)?;
        let mut problems = Vec::new();
        let listeners = collect(&plan.listeners, "listeners", &mut problems, |l| listener(l, previous));
        let steering = Steering::of(plan, previous.map(|p| &p.steering));
        let workers = collect(&plan.workers, "workers", &mut problems, |w| worker(w, &steering, previous));
        let mut key = |field: &str, path: &str| {
            read_key(field, path).map_err(|found| problems.push(found)).unwrap_or_default()
        };
        let worker_key = key("worker_key_file", &plan.worker_key_file);
        let worker_key_previous = match plan.worker_key_previous_file.as_str() {
            "" => Vec::new(),
            path => key("worker_key_previous_file", path),
        };
        if let Some(before) = previous {
            problems.extend(changed_key(before, &worker_key, &worker_key_previous));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let models = plan.models.iter().map(|model| served(model, &plan.workers)).collect();
        let series_max = plan.series_max as usize;
        let (revision, epoch) = (plan.revision, plan.epoch);
        let steering = steering.warmed(previous.map(|p| (&p.steering, &*p.workers)), &workers);
        Ok(Self {
            revision,
            epoch,
            sha256,
            policy,
            listeners,
            workers,
            models,
            series_max,
            worker_key,
            worker_key_previous,
            steering,
        })
    }

    /// The same plan for another core: names of its own, everything else shared. No file is read again.
    fn twin(&self, plan: &Plan, key_files: &KeyFiles, limits: &LimitState) -> Result<Self, Vec<Problem>> {
        let worker = |worker: &Worker| Worker {
            name: Arc::from(&*worker.name),
            ledger: Arc::clone(&worker.ledger),
            ..*worker
        };
        Ok(Self {
            revision: self.revision,
            epoch: self.epoch,
            sha256: self.sha256,
            policy: Policy::build_with(plan, limits, key_files)?,
            listeners: self.listeners.clone(),
            workers: self.workers.iter().map(worker).collect(),
            models: self.models.clone(),
            series_max: self.series_max,
            worker_key: self.worker_key.clone(),
            worker_key_previous: self.worker_key_previous.clone(),
            steering: self.steering.clone(),
        })
    }
}

/// SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

fn collect<P, T>(
    entries: &[P],
    list: &str,
    problems: &mut Vec<Problem>,
    build: impl Fn(&P) -> Result<T, Problem>,
) -> Vec<T> {
    let mut built = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        match build(entry) {
            Ok(value) => built.push(value),
            Err(found) => {
                problems.push(Problem { entry: format!("{list}[{index}].{}", found.entry), ..found })
            }
        }
    }
    built
}

fn listener(entry: &plan::Listener, previous: Option<&Programmed>) -> Result<Arc<Listener>, Problem> {
    let address = address(&entry.address)?;
    let limits =
        entry.limits.as_ref().ok_or_else(|| problem("limits", "there are none", "send every limit"))?;
    let before = previous.and_then(|p| p.listeners.iter().find(|l| l.address == address));
    let tls = ListenerTls::build(&files::tls(entry)?, before.map(|l| &l.tls), clock::unix_ms() / 1000)
        .map_err(|p| problem(&p.entry, &p.what, &p.fix))?;
    let open = before.map_or_else(Arc::default, |l| Arc::clone(&l.open));
    let name = Arc::from(entry.name.as_str());
    Ok(Arc::new(Listener { name, address, tls, limits: convert(limits)?, open }))
}

fn convert(limits: &plan::Limits) -> Result<Limits, Problem> {
    let all = [
        ("connections_max", limits.connections_max),
        ("head_bytes_max", limits.head_bytes_max),
        ("headers_max", limits.headers_max),
        ("body_bytes_max", limits.body_bytes_max),
        ("json_depth_max", limits.json_depth_max),
        ("handshake_timeout_ms", limits.handshake_timeout_ms),
        ("head_timeout_ms", limits.head_timeout_ms),
        ("body_timeout_ms", limits.body_timeout_ms),
        ("idle_timeout_ms", limits.idle_timeout_ms),
        ("request_timeout_ms", limits.request_timeout_ms),
        ("h2_streams_max", limits.h2_streams_max),
        ("body_bytes_per_s_min", limits.body_bytes_per_s_min),
        ("body_grace_ms", limits.body_grace_ms),
        ("write_timeout_ms", limits.write_timeout_ms),
        ("requests_per_connection_max", limits.requests_per_connection_max),
        ("requests_running_max", limits.requests_running_max),
        ("pipelined_bytes_max", limits.pipelined_bytes_max),
        ("bodies_bytes_max", limits.bodies_bytes_max),
        ("h2_resets_max", limits.h2_resets_max),
        ("h2_errors_max", limits.h2_errors_max),
        ("h2_continuations_max", limits.h2_continuations_max),
        ("h2_control_frames_max", limits.h2_control_frames_max),
        ("h2_small_data_max", limits.h2_small_data_max),
    ];
    if let Some((name, _)) = all.iter().find(|(_, value)| *value == 0) {
        return Err(problem(
            &format!("limits.{name}"),
            "is zero",
            "everything has a limit: give a positive number",
        ));
    }
    let ms = |value: u32| Duration::from_millis(u64::from(value));
    let body_bytes_max = limits.body_bytes_max as usize;
    Ok(Limits {
        connections_max: limits.connections_max,
        head: HeadLimits {
            head_bytes_max: limits.head_bytes_max as usize,
            headers_max: limits.headers_max as usize,
        },
        body_bytes_max,
        json: JsonLimits { depth_max: limits.json_depth_max as usize, body_bytes_max },
        handshake_timeout: ms(limits.handshake_timeout_ms),
        head_timeout: ms(limits.head_timeout_ms),
        body_timeout: ms(limits.body_timeout_ms),
        idle_timeout: ms(limits.idle_timeout_ms),
        request_timeout_ms: limits.request_timeout_ms,
        h2_streams_max: limits.h2_streams_max,
        body_bytes_per_s_min: limits.body_bytes_per_s_min,
        body_grace: ms(limits.body_grace_ms),
        write_timeout: ms(limits.write_timeout_ms),
        requests_per_connection_max: limits.requests_per_connection_max,
        requests_running_max: limits.requests_running_max as usize,
        pipelined_bytes_max: limits.pipelined_bytes_max as usize,
        bodies_bytes_max: limits.bodies_bytes_max as usize,
        frames: FrameLimits {
            resets_max: limits.h2_resets_max,
            errors_max: limits.h2_errors_max,
            continuations_max: limits.h2_continuations_max,
            control_max: limits.h2_control_frames_max,
            small_data_max: limits.h2_small_data_max,
        },
    })
}

fn worker(
    entry: &plan::Worker,
    steering: &Steering,
    previous: Option<&Programmed>,
) -> Result<Worker, Problem> {
    let address = address(&entry.address)?;
    let same = |w: &&Worker| *w.name == *entry.name && w.address == address;
    let before = previous.and_then(|p| p.workers.iter().find(same));
    let new = || Arc::new(Ledger::new(Arc::clone(&steering.room)));
    Ok(Worker {
        name: Arc::from(entry.name.as_str()),
        address,
        requests_max: entry.requests_max,
        requests_per_slot: steering.requests_per_slot,
        stream_window_bytes: window(entry.stream_window_bytes)?,
        ledger: before.map_or_else(new, |w| Arc::clone(&w.ledger)),
    })
}

/// What a worker may be ahead. Every stream opens with `STREAM_CREDIT_BYTES`; beyond `WAITING_BYTES_MAX` a client counts as
/// too slow, and a window must end well before it.
fn window(bytes: u32) -> Result<u32, Problem> {
    if (STREAM_CREDIT_BYTES..=WAITING_BYTES_MAX / 2).contains(&(bytes as usize)) {
        return Ok(bytes);
    }
    let fix = format!("give {STREAM_CREDIT_BYTES} to {}", WAITING_BYTES_MAX / 2);
    Err(problem("stream_window_bytes", &format!("is {bytes}"), &fix))
}

fn served(model: &plan::Model, workers: &[plan::Worker]) -> ServedModel {
    let matching = |arm: &plan::Arm| {
        let has_all = |w: &plan::Worker| arm.worker_labels.iter().all(|(k, v)| w.labels.get(k) == Some(v));
        let indices =
            workers.iter().enumerate().filter(|(_, w)| has_all(w)).map(|(index, _)| index).collect();
        (arm.engine_model.clone(), indices)
    };
    let arms = model.arms.iter().filter(|arm| arm.weight > 0).map(matching).collect();
    ServedModel { name: Arc::from(model.name.as_str()), arms }
}

fn address(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| {
        problem("address", &format!("{text:?} is not ADDRESS:PORT"), "for example 127.0.0.1:8443")
    })
}

fn read_key(field: &str, path: &str) -> Result<Vec<u8>, Problem> {
    let key = std::fs::read(path).map_err(|error| {
        problem(field, &format!("{path}: {error}"), "name a file that the fast path may read")
    })?;
    if key.len() < WORKER_KEY_BYTES_MIN {
        let fix = "make one with: head -c 32 /dev/urandom > FILE, the same on every worker";
        return Err(problem(field, &format!("holds {} bytes, 32 are the least", key.len()), fix));
    }
    Ok(key)
}

/// A key is rolled over by having both for a while; a plain exchange would lock every worker out that has not changed in
/// the same moment.
fn changed_key(before: &Programmed, key: &[u8], second: &[u8]) -> Option<Problem> {
    let kept = before.worker_key == key || before.worker_key == second || before.worker_key_previous == key;
    (!key.is_empty() && !kept).then(|| {
        let fix = "name the old one as worker_key_previous_file until every worker has the new one";
        problem("worker_key_file", "the key has changed under a running fast path", fix)
    })
}

pub(crate) fn problem(entry: &str, what: &str, fix: &str) -> Problem {
    Problem { entry: entry.to_owned(), what: what.to_owned(), fix: fix.to_owned() }
}
