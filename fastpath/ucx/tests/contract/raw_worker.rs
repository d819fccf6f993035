//! A worker that says what it is told to, frame by frame, and the fast path's real session in front of it.

use crate::world::{client_config, dispatch, patience, random, KEY};
use crate::Factory;
use aws_lc_rs::hmac;
use bytes::Bytes;
use dpu_types::gen::worker_frame::{Body, Welcome};
use dpu_types::wire::Frame;
use dpu_types::{MonoNs, RequestId};
use dpu_ucx::{Client, ClientConfig, Event, PeerId, Transport, TransportEvent, WorkerPhase};
use std::time::{Duration, Instant};

/// The nonce that it always has: a worker that does not care.
pub const NONCE: [u8; 32] = [4; 32];

pub struct RawWorker<F: Factory> {
    transport: F::T,
    pub client: Client<F::T>,
    pub events: Vec<Event>,
    /// Frames of the fast path, as they came, on the present connection.
    pub frames: Vec<Bytes>,
    pub peer: Option<PeerId>,
    /// Connections so far.
    connections: u32,
    /// The connection that the last proof was on.
    proven_at: u32,
    /// The next sequence number, for `say`.
    pub next: u64,
    clock: Instant,
}

impl<F: Factory> RawWorker<F> {
    /// Connected: HELLO phase 0 has come and nothing was said.
    pub fn greeted(factory: &F, config: ClientConfig) -> Self {
        let mut transport = factory.make();
        let address = transport.listen(factory.address()).unwrap();
        let mut client = Client::new(factory.make(), config, random());
        client.set_workers(&[("w0".to_owned(), address)], MonoNs(0));
        let (events, frames, clock) = (Vec::new(), Vec::new(), Instant::now());
        let mut raw = Self {
            transport,
            client,
            events,
            frames,
            peer: None,
            connections: 0,
            proven_at: 0,
            next: 0,
            clock,
        };
        raw.until("HELLO", |raw| !raw.frames.is_empty());
        raw
    }

    /// Proved, and ready for requests.
    pub fn ready(factory: &F) -> Self {
        let mut raw = Self::greeted(factory, client_config());
        raw.prove();
        raw
    }

    /// Both phases of the handshake; again on the next connection where UCX's own set-up of one failed.
    pub fn prove(&mut self) {
        while self.phase() != WorkerPhase::Ready {
            let connection = self.connections;
            self.until("HELLO 0", |raw| raw.peer.is_some() && !raw.frames.is_empty());
            let proof = self.proof(KEY);
            self.welcome(0, proof, "");
            self.until("HELLO 1", |raw| raw.frames.len() > 1 || raw.connections != connection);
            if self.connections == connection && self.peer.is_some() {
                self.welcome(1, [0; 32], "w0");
                let over = |raw: &Self| raw.connections != connection || raw.phase() == WorkerPhase::Ready;
                self.until("ready", over);
            }
        }
        self.proven_at = self.connections;
    }

    /// Its fast path has given it up: waits until it is greeted again, and is a good worker from now on.
    pub fn come_back(&mut self) {
        self.until("greeted again", |raw| raw.connections > raw.proven_at && !raw.frames.is_empty());
        self.prove();
    }

    /// What a worker with this key would prove with.
    pub fn proof(&self, key: &[u8]) -> [u8; 32] {
        let Body::Hello(hello) = Frame::decode(&self.frames[0]).unwrap().body else { panic!() };
        sign(key, b"dpu-worker v1", &hello.nonce, &NONCE)
    }

    pub fn welcome(&mut self, phase: u8, proof: [u8; 32], worker_id: &str) {
        let (engine, slots, models) = ("raw", 4, Vec::new());
        let protocol_version = 1;
        let body = Welcome { phase, protocol_version, nonce: NONCE, proof, worker_id, engine, slots, models };
        self.say(RequestId::NONE, 0, Body::Welcome(body));
    }

    /// The next frame, in its turn.
    pub fn say(&mut self, id: RequestId, flags: u16, body: Body<'_>) {
        let bytes = encoded(self.next, id, flags, body);
        self.next += 1;
        self.send_bytes(bytes);
    }

    pub fn send_bytes(&mut self, bytes: Vec<u8>) {
        // The fast path may have closed by now: that is what some tests are about.
        let _ = self.peer.map(|peer| self.transport.send(peer, bytes));
    }

    pub fn phase(&self) -> WorkerPhase {
        self.client.state(0).unwrap().phase
    }

    pub fn now(&self) -> MonoNs {
        MonoNs(self.clock.elapsed().as_nanos() as u64)
    }

    /// Gives it a request and waits until it has come.
    pub fn request(&mut self, number: u8) -> RequestId {
        let (now, before) = (self.now(), self.frames.len());
        let asked = dispatch(number, b"{}".to_vec());
        self.client.submit(&asked, now).unwrap();
        self.until("requested", |raw| raw.frames.len() > before);
        asked.request_id
    }

    /// Events of requests.
    pub fn answers(&self) -> Vec<Event> {
        self.events.iter().filter(|event| !matches!(event, Event::WorkerChanged { .. })).cloned().collect()
    }

    /// Both sides once; the worker hears, and answers nothing by itself.
    pub fn step(&mut self) {
        let now = self.now();
        self.client.poll(now, &mut self.events);
        let mut incoming = Vec::new();
        self.transport.poll(&mut incoming);
        for event in incoming {
            match event {
                TransportEvent::Accepted(peer) => {
                    (self.peer, self.next) = (Some(peer), 0);
                    self.connections += 1;
                    self.frames.clear();
                }
                TransportEvent::Frame { peer, bytes } if self.peer == Some(peer) => self.frames.push(bytes),
                TransportEvent::Lost { peer, .. } if self.peer == Some(peer) => self.peer = None,
                _ => {}
            }
        }
    }

    #[track_caller]
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(
                start.elapsed() < patience(),
                "never {what}: {:?} {:?}",
                self.events,
                self.client.counters()
            );
            self.step();
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

pub fn encoded(sequence: u64, request_id: RequestId, flags: u16, body: Body<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame { sequence, request_id, flags, body }.encode(&mut bytes).unwrap();
    bytes
}

pub fn sign(key: &[u8], label: &[u8], theirs: &[u8; 32], ours: &[u8; 32]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, &[label, theirs, ours].concat()).as_ref().try_into().unwrap()
}
