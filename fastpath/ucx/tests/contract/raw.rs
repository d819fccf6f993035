//! A fast path that says what it is told to, frame by frame.

use crate::world::{patience, KEY};
use crate::Factory;
use aws_lc_rs::hmac;
use bytes::Bytes;
use dpu_types::gen::worker_frame::{Body, Hello, Request};
use dpu_types::wire::Frame;
use dpu_types::{MonoNs, RequestId};
use dpu_ucx::{PeerId, Server, ServerConfig, ServerEvent, Transport, TransportEvent};
use std::time::Instant;

pub struct Raw<F: Factory> {
    transport: F::T,
    pub server: Server<F::T>,
    pub server_events: Vec<ServerEvent>,
    pub peer: PeerId,
    /// Frames of the worker, as they came.
    pub frames: Vec<Bytes>,
    pub lost: bool,
    clock: Instant,
}

impl<F: Factory> Raw<F> {
    pub fn new(factory: &F, config: ServerConfig) -> Self {
        let mut server = Server::new(factory.make(), config, crate::world::random());
        let address = server.listen(factory.address()).unwrap();
        let mut transport = factory.make();
        let peer = transport.connect(address).unwrap();
        let (frames, server_events) = (Vec::new(), Vec::new());
        Self { transport, server, server_events, peer, frames, lost: false, clock: Instant::now() }
    }

    /// Proves the key; sequence numbers 0 and 1 are used up.
    pub fn proven(factory: &F, config: ServerConfig) -> Self {
        let mut raw = Self::new(factory, config);
        let nonce = [9; 32];
        raw.hello(0, [0; 32]);
        raw.until("greeted", |raw| !raw.frames.is_empty());
        let first = raw.frames[0].clone();
        let Body::Welcome(welcome) = Frame::decode(&first).unwrap().body else { panic!() };
        assert_eq!((welcome.worker_id, welcome.engine, welcome.models.len()), ("", "", 0));
        let key = hmac::Key::new(hmac::HMAC_SHA256, KEY);
        let text = [b"dpu-fastpath v1".as_slice(), &welcome.nonce, &nonce].concat();
        let proof = hmac::sign(&key, &text).as_ref().try_into().unwrap();
        raw.hello(1, proof);
        raw.until("welcome", |raw| !raw.server.peers().is_empty());
        raw
    }

    pub fn hello(&mut self, phase: u8, proof: [u8; 32]) {
        let hello = Hello { phase, protocol_version: 1, fastpath_id: "raw", nonce: [9; 32], proof };
        self.send(u64::from(phase), RequestId::NONE, Body::Hello(hello));
    }

    pub fn send(&mut self, sequence: u64, request_id: RequestId, body: Body<'_>) {
        let mut bytes = Vec::new();
        Frame { sequence, request_id, flags: 0, body }.encode(&mut bytes).unwrap();
        self.send_bytes(bytes);
    }

    pub fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.transport.send(self.peer, bytes).unwrap();
    }

    #[track_caller]
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < patience(), "never {what}: {:?}", self.server.counters());
            let mut events = Vec::new();
            self.transport.poll(&mut events);
            let now = MonoNs(self.clock.elapsed().as_nanos() as u64);
            self.server.poll(now, &mut self.server_events);
            for event in events {
                match event {
                    TransportEvent::Frame { bytes, .. } => self.frames.push(bytes),
                    TransportEvent::Lost { .. } => self.lost = true,
                    _ => {}
                }
            }
        }
    }
}

pub fn request(body: &[u8]) -> Body<'_> {
    Body::Request(Request {
        deadline_ms: 1000,
        priority: 0,
        epoch: 1,
        token_budget: 1,
        tenant_hash: [0; 16],
        receipt_sha256: crate::world::receipt(body),
        receipt_edits: 0,
        arm: "a",
        model: "m",
        trace_id: [0; 16],
        span_id: 0,
        trace_flags: 0,
        tracestate: "",
        body,
    })
}
