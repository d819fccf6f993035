//! The worker over the stub transport, with the fast path's real session on the other side.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::clock;
use bytes::Bytes;
use dpu_types::gen::worker_frame::FLAG_REQUEST_STREAM;
use dpu_types::{Dispatch, Reason, RequestId, Trace};
use dpu_ucx::{
    tokens_frame_bytes, Client, ClientConfig, Event, OwnedModel, StubHub, StubTransport, Summary, WorkerPhase,
};
use std::time::{Duration, Instant};

const KEY: [u8; 32] = [7; 32];
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Pair {
    pub host: HostRuntime,
    pub client: Client<StubTransport>,
    events: Vec<Event>,
    sent: u8,
    /// Whether every fragment is given back as credit at once: a client that reads.
    pub reads: bool,
    pub deadline_ms: u32,
}

impl Pair {
    pub fn new(engine: &str, slots: usize, queue_max: usize) -> Self {
        let hub = StubHub::new();
        let config = HostConfig {
            name: "w0".to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            key: KEY.to_vec(),
            engine: engine.to_owned(),
            slots,
            queue_max,
            models: vec![OwnedModel { name: "chat".to_owned(), ..OwnedModel::default() }],
        };
        let theirs = hub.transport();
        let host = HostRuntime::start_on(config, move || Ok(theirs)).unwrap();
        let settings = ClientConfig { key: KEY.to_vec(), ..ClientConfig::default() };
        let mut client = Client::new(hub.transport(), settings, Box::new(|bytes| bytes.fill(9)));
        client.set_workers(&[("w0".to_owned(), host.listening())], clock::now());
        let mut pair = Self { host, client, events: Vec::new(), sent: 0, reads: true, deadline_ms: 60_000 };
        pair.until(|pair| pair.client.state(0).unwrap().phase == WorkerPhase::Ready);
        pair
    }

    pub fn until(&mut self, mut so: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !so(self) {
            self.poll();
            assert!(began.elapsed() < PATIENCE, "it never came so; events: {:?}", self.events);
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    pub fn poll(&mut self) {
        let before = self.events.len();
        self.client.poll(clock::now(), &mut self.events);
        for event in self.events[before..].iter().filter(|_| self.reads) {
            if let Event::Tokens { id, choices, .. } = event {
                self.client.credit(*id, tokens_frame_bytes(choices.len()) as u32);
            }
        }
    }

    /// Bytes of the fragments that came, as credit counts them.
    pub fn bytes(&self, wanted: RequestId) -> usize {
        let of = |event: &Event| match event {
            Event::Tokens { id, choices, .. } if *id == wanted => tokens_frame_bytes(choices.len()),
            _ => 0,
        };
        self.events.iter().map(of).sum()
    }

    pub fn ask(&mut self, content: &str, flags: u16) -> RequestId {
        self.sent += 1;
        let id = RequestId([self.sent; 16]);
        let body = serde_json::json!({"messages": [{"role": "user", "content": content}]}).to_string();
        let body = Bytes::from(body.into_bytes());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
        let dispatch = Dispatch {
            request_id: id,
            worker: 0,
            arm: "stable".into(),
            model: "chat".into(),
            epoch: 1,
            deadline_ms: self.deadline_ms,
            priority: 0,
            token_budget: 0,
            tenant_hash: [0; 16],
            receipt_sha256: digest.as_ref().try_into().unwrap(),
            receipt_edits: 0,
            flags,
            trace: Trace::default(),
            body,
        };
        self.client.submit(&dispatch, clock::now()).unwrap();
        id
    }

    pub fn last_of(&self, wanted: RequestId) -> Option<&Event> {
        self.events.iter().rev().find(|event| match event {
            Event::End { id, .. }
            | Event::Result { id, .. }
            | Event::Fail { id, .. }
            | Event::Cancelled { id, .. } => *id == wanted,
            _ => false,
        })
    }

    pub fn ending(&mut self, id: RequestId) -> Event {
        self.until(|pair| pair.last_of(id).is_some());
        self.last_of(id).unwrap().clone()
    }

    pub fn tokens(&self, wanted: RequestId) -> usize {
        let of = |event: &&Event| matches!(event, Event::Tokens { id, token_count: 1, .. } if *id == wanted);
        self.events.iter().filter(of).count()
    }

    pub fn next(&mut self) -> Job {
        let began = Instant::now();
        loop {
            self.poll();
            if let Some(job) = self.host.next(Duration::from_millis(1)) {
                return job;
            }
            assert!(began.elapsed() < PATIENCE, "no job came");
        }
    }
}

pub fn summary() -> Summary {
    Summary { finish: "stop".to_owned(), completion_tokens: 1, ..Summary::default() }
}

#[test]
fn echo_streams_many_at_once() {
    let mut pair = Pair::new("echo", 64, 0);
    let asked: Vec<_> =
        (0..50).map(|_| pair.ask("!echo tokens=20 delay_ms=1", FLAG_REQUEST_STREAM)).collect();
    for id in asked {
        let Event::End { summary, .. } = pair.ending(id) else { panic!("no END") };
        assert_eq!((summary.completion_tokens, pair.tokens(id)), (20, 20));
    }
}

#[test]
fn a_long_echo_does_not_starve_others() {
    let mut pair = Pair::new("echo", 4, 0);
    let long = pair.ask("!echo tokens=20000", FLAG_REQUEST_STREAM);
    let short = pair.ask("hi", FLAG_REQUEST_STREAM);
    pair.ending(short);
    assert!(pair.last_of(long).is_none(), "the long one ended first");
    let Event::End { summary, .. } = pair.ending(long) else { panic!("no END") };
    assert_eq!((summary.completion_tokens, pair.tokens(long)), (20_000, 20_000));
}

#[test]
fn cancel_of_an_echo_is_confirmed_with_what_was_sent() {
    let mut pair = Pair::new("echo", 1, 0);
    let id = pair.ask("!echo tokens=5 hang_after=2", FLAG_REQUEST_STREAM);
    pair.until(|pair| pair.tokens(id) == 2);
    pair.client.cancel(id, Reason::ClientGone, clock::now());
    let Event::Cancelled { tokens_sent, tokens_wasted, .. } = pair.ending(id) else { panic!("no CANCELLED") };
    assert_eq!((tokens_sent, tokens_wasted), (2, 0));
    let id = pair.ask("the slot is free", FLAG_REQUEST_STREAM);
    assert!(matches!(pair.ending(id), Event::End { .. }));
}

#[test]
fn a_job_streams_and_ends() {
    let mut pair = Pair::new("llama", 1, 0);
    let id = pair.ask("hi", FLAG_REQUEST_STREAM);
    let job = pair.next();
    assert_eq!((job.request().model.as_str(), job.request().flags), ("chat", FLAG_REQUEST_STREAM));
    assert!(job.tokens(1, b"[1]".to_vec(), false) && job.tokens(0, b"[]".to_vec(), true));
    job.end(summary());
    assert!(!job.tokens(1, b"[2]".to_vec(), false), "a job that has ended takes no fragments");
    assert_eq!(pair.ending(id), Event::End { id, summary: summary() });
    assert_eq!(pair.tokens(id), 1);
}

#[test]
fn a_queued_job_waits_for_its_slot_and_says_how_long() {
    let mut pair = Pair::new("llama", 1, 1);
    let first = pair.ask("one", 0);
    let job = pair.next();
    let second = pair.ask("two", 0);
    let third = pair.ask("three", 0);
    let Event::Fail { reason, retry, .. } = pair.ending(third) else { panic!("no FAIL") };
    assert_eq!((reason, retry), (Reason::WorkersBusy, true));
    assert!(pair.host.next(Duration::from_millis(20)).is_none(), "one slot, one job");
    job.result(summary(), b"[]".to_vec());
    let job = pair.next();
    assert!(job.queue_us() >= 20_000);
    job.result(summary(), b"[]".to_vec());
    for id in [first, second] {
        assert!(matches!(pair.ending(id), Event::Result { .. }));
    }
}

#[test]
fn cancel_of_a_queued_job_is_answered_at_once() {
    let mut pair = Pair::new("llama", 1, 4);
    pair.ask("one", 0);
    let job = pair.next();
    let waiting = pair.ask("two", 0);
    pair.client.cancel(waiting, Reason::ClientGone, clock::now());
    assert!(matches!(pair.ending(waiting), Event::Cancelled { tokens_sent: 0, .. }));
    job.result(summary(), b"[]".to_vec());
    assert!(pair.host.next(Duration::from_millis(20)).is_none(), "the cancelled one is not handed out");
}

#[test]
fn cancel_of_a_running_job_is_confirmed_when_its_engine_has_stopped() {
    let mut pair = Pair::new("llama", 1, 0);
    let id = pair.ask("one", FLAG_REQUEST_STREAM);
    let job = pair.next();
    assert!(job.tokens(1, b"[1]".to_vec(), false));
    pair.until(|pair| pair.tokens(id) == 1);
    pair.client.cancel(id, Reason::ClientGone, clock::now());
    let seen = |pair: &Pair| pair.host.status().contains("running") && job.is_cancelled();
    pair.until(seen);
    assert!(!job.tokens(1, b"[2]".to_vec(), false));
    assert!(pair.last_of(id).is_none(), "confirmed before the engine stopped");
    job.stopped(3);
    let Event::Cancelled { tokens_sent, tokens_wasted, .. } = pair.ending(id) else { panic!("no CANCELLED") };
    assert_eq!((tokens_sent, tokens_wasted), (1, 3));
}

#[test]
fn a_dropped_job_fails_its_request() {
    let mut pair = Pair::new("llama", 1, 0);
    let id = pair.ask("one", 0);
    drop(pair.next());
    assert!(matches!(pair.ending(id), Event::Fail { reason: Reason::Internal, retry: true, .. }));
}

#[test]
fn a_fast_path_that_goes_away_stops_its_jobs_and_frees_their_slots() {
    let mut pair = Pair::new("llama", 1, 0);
    pair.ask("one", FLAG_REQUEST_STREAM);
    let job = pair.next();
    pair.client.set_workers(&[], clock::now());
    pair.client.poll(clock::now(), &mut Vec::new());
    let Pair { host, client, .. } = pair;
    drop(client);
    let began = Instant::now();
    while !job.is_cancelled() {
        assert!(began.elapsed() < PATIENCE, "the job was never told");
        std::thread::sleep(Duration::from_millis(1));
    }
    job.stopped(0);
    while !host.status().contains(r#""running":0"#) {
        assert!(began.elapsed() < PATIENCE, "the slot was never freed");
    }
    assert!(host.metrics().contains(r#"{"labels":["lost"],"value":1}"#));
}

#[test]
fn drain_waits_for_what_runs_and_refuses_what_comes() {
    let mut pair = Pair::new("echo", 4, 0);
    let running = pair.ask("!echo tokens=3 delay_ms=100", FLAG_REQUEST_STREAM);
    pair.until(|pair| pair.tokens(running) == 1);
    let Pair { host, mut client, mut events, .. } = pair;
    let draining = std::thread::spawn(move || host.drain(PATIENCE));
    let began = Instant::now();
    while !draining.is_finished() {
        client.poll(clock::now(), &mut events);
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    client.poll(clock::now(), &mut events);
    assert_eq!(draining.join().unwrap(), 0);
    assert!(events.iter().any(|event| matches!(event, Event::End { id, .. } if *id == running)));
}

#[test]
fn drain_cuts_what_does_not_end_in_time() {
    let mut pair = Pair::new("llama", 1, 4);
    let (running, waiting) = (pair.ask("one", 0), pair.ask("two", 0));
    let job = pair.next();
    assert_eq!(pair.host.drain(Duration::from_millis(30)), 2);
    assert!(job.is_cancelled());
    for id in [running, waiting] {
        assert!(matches!(pair.ending(id), Event::Fail { reason: Reason::DrainCut, retry: true, .. }));
    }
    assert_eq!((pair.host.status().as_str(), pair.host.drain(PATIENCE)), ("{}", 0));
}

#[test]
fn a_taken_address_is_an_error_in_words() {
    let hub = StubHub::new();
    let config = |port| HostConfig {
        name: "w".to_owned(),
        listen: format!("127.0.0.1:{port}").parse().unwrap(),
        key: KEY.to_vec(),
        engine: "echo".to_owned(),
        slots: 1,
        queue_max: 0,
        models: Vec::new(),
    };
    let (one, two) = (hub.transport(), hub.transport());
    let first = HostRuntime::start_on(config(0), move || Ok(one)).unwrap();
    let second = HostRuntime::start_on(config(first.listening().port()), move || Ok(two));
    assert!(second.err().unwrap().contains("in use"));
}

#[test]
fn an_echo_worker_fills_the_metrics_of_its_engine() {
    let mut pair = Pair::new("echo", 8, 0);
    let whole = pair.ask("a b c", 0);
    let stream = pair.ask("!echo tokens=5", FLAG_REQUEST_STREAM);
    let failed = pair.ask("!echo tokens=5 fail_after=1", FLAG_REQUEST_STREAM);
    let slow = pair.ask("!echo tokens=5 delay_ms=60000", FLAG_REQUEST_STREAM);
    for id in [whole, stream, failed] {
        pair.ending(id);
    }
    pair.client.cancel(slow, Reason::ClientGone, clock::now());
    pair.ending(slow);
    let metrics: serde_json::Value = serde_json::from_str(&pair.host.metrics()).unwrap();
    let family = |name: &str| {
        let found = metrics.as_array().unwrap().iter().find(|family| family["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}"))["samples"].clone()
    };
    let requests = serde_json::json!([
        {"labels": ["chat", "answered"], "value": 2},
        {"labels": ["chat", "cancelled"], "value": 1},
        {"labels": ["chat", "failed"], "value": 1},
    ]);
    assert_eq!(family("dpu_worker_engine_requests"), requests);
    let tokens = family("dpu_worker_engine_tokens");
    assert_eq!(tokens[2], serde_json::json!({"labels": ["completion"], "value": 8}));
    assert_eq!(family("dpu_worker_engine_first_token_seconds")[0]["count"], 2);
    for name in ["dpu_worker_engine_cancel_seconds", "dpu_worker_cancel_seconds"] {
        let cancels = family(name);
        assert_eq!(cancels[0]["count"], 1, "{name}");
        assert_eq!(
            cancels[0]["buckets"].as_array().unwrap().last().unwrap(),
            &serde_json::json!(["+Inf", 1])
        );
    }
}
