//! A fast path and a worker in one thread, on real time.

use crate::Factory;
use dpu_types::{Dispatch, MonoNs, RequestId, Trace};
use dpu_ucx::{
    Client, ClientConfig, Event, OwnedModel, Server, ServerConfig, ServerEvent, StreamKey, Summary,
    WorkerPhase,
};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub const KEY: &[u8] = b"a shared key of the tests";

/// Longer than anything here takes, on a busy machine; an emulated one asks for more (`DPU_TEST_PATIENCE_S`).
pub fn patience() -> Duration {
    let asked = std::env::var("DPU_TEST_PATIENCE_S").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(20))
}

/// How much slower than usual this machine was said to be.
fn slowness() -> u64 {
    (patience().as_secs() / 20).max(1)
}

pub fn random() -> dpu_ucx::session::Random {
    Box::new(|out| aws_lc_rs::rand::fill(out).unwrap())
}

pub fn client_config() -> ClientConfig {
    ClientConfig {
        key: KEY.to_vec(),
        fastpath_id: "test/0".to_owned(),
        cancel_timeout_ms: 300,
        reconnect_max_ms: 200,
        peer_timeout_ms: 3000 * slowness(),
        connect_timeout_ms: 2000 * slowness(),
        ..ClientConfig::default()
    }
}

pub fn server_config() -> ServerConfig {
    let model = OwnedModel {
        name: "m".to_owned(),
        digest: [3; 32],
        quantisation: "Q4_1".to_owned(),
        context_tokens: 2048,
    };
    ServerConfig {
        worker_id: "w0".to_owned(),
        engine: "echo".to_owned(),
        slots: 4,
        key: KEY.to_vec(),
        models: vec![model],
        peer_timeout_ms: 3000 * slowness(),
        handshake_timeout_ms: 2000 * slowness(),
        ..ServerConfig::default()
    }
}

pub struct World<F: Factory> {
    pub client: Client<F::T>,
    pub server: Option<Server<F::T>>,
    pub address: SocketAddr,
    pub events: Vec<Event>,
    pub server_events: Vec<ServerEvent>,
    clock: Instant,
}

impl<F: Factory> World<F> {
    /// Both sides, not yet connected.
    pub fn new(factory: &F, client: ClientConfig, server: ServerConfig) -> Self {
        let mut server = Server::new(factory.make(), server, random());
        let address = server.listen(factory.address()).unwrap();
        let mut client = Client::new(factory.make(), client, random());
        client.set_workers(&[("w0".to_owned(), address)], MonoNs(0));
        Self {
            client,
            server: Some(server),
            address,
            events: Vec::new(),
            server_events: Vec::new(),
            clock: Instant::now(),
        }
    }

    /// Both sides, connected.
    pub fn ready(factory: &F) -> Self {
        let mut world = Self::new(factory, client_config(), server_config());
        world.until("ready", |world| world.phase() == WorkerPhase::Ready);
        world.server_events.clear();
        world
    }

    pub fn phase(&self) -> WorkerPhase {
        self.client.state(0).unwrap().phase
    }

    pub fn now(&self) -> MonoNs {
        MonoNs(self.clock.elapsed().as_nanos() as u64)
    }

    pub fn server(&mut self) -> &mut Server<F::T> {
        self.server.as_mut().unwrap()
    }

    pub fn step(&mut self) {
        let now = self.now();
        let mut busy = self.client.poll(now, &mut self.events);
        if let Some(server) = &mut self.server {
            busy += server.poll(now, &mut self.server_events);
        }
        if busy == 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    #[track_caller]
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            if start.elapsed() > patience() {
                panic!(
                    "never {what}: {:?} {:?} {:?} {:?}",
                    self.client.state(0),
                    self.events.len(),
                    self.client.counters(),
                    self.server.as_ref().map(|server| server.counters().clone())
                );
            }
            self.step();
        }
    }

    /// Sends a request and waits until the worker has it.
    #[track_caller]
    pub fn request(&mut self, number: u8) -> StreamKey {
        let now = self.now();
        self.client.submit(&dispatch(number, b"{}".to_vec()), now).unwrap();
        let id = id(number);
        self.until("requested", |world| world.stream(id).is_some());
        self.stream(id).unwrap()
    }

    pub fn stream(&self, wanted: RequestId) -> Option<StreamKey> {
        self.server_events.iter().find_map(|event| match event {
            ServerEvent::Request { stream, .. } if stream.id == wanted => Some(*stream),
            _ => None,
        })
    }

    /// The events of requests, without those of workers.
    pub fn answers(&self) -> Vec<Event> {
        self.events.iter().filter(|event| !matches!(event, Event::WorkerChanged { .. })).cloned().collect()
    }

    #[track_caller]
    pub fn until_answers(&mut self, count: usize) -> Vec<Event> {
        self.until("answered", |world| world.answers().len() >= count);
        self.answers()
    }
}

pub fn id(number: u8) -> RequestId {
    RequestId([number; 16])
}

pub fn receipt(body: &[u8]) -> [u8; 32] {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body).as_ref().try_into().unwrap()
}

/// A span of a trace, as the fast path sends it.
pub fn trace() -> Trace {
    Trace { trace_id: [8; 16], span_id: 77, flags: 1, state: Some("rojo=1".into()) }
}

pub fn dispatch(number: u8, body: Vec<u8>) -> Dispatch {
    Dispatch {
        request_id: id(number),
        worker: 0,
        arm: "stable".into(),
        model: "m".into(),
        epoch: 9,
        deadline_ms: 5000,
        priority: 1,
        token_budget: 7,
        tenant_hash: [5; 16],
        receipt_sha256: receipt(&body),
        receipt_edits: 2,
        flags: 1,
        trace: trace(),
        body: body.into(),
    }
}

pub fn summary() -> Summary {
    Summary {
        finish: "stop".to_owned(),
        prompt_tokens: 11,
        cached_tokens: 3,
        completion_tokens: 2,
        queue_us: 4,
        prefill_us: 5,
        decode_us: 6,
    }
}
