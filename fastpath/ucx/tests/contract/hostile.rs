//! A wire that drops, cuts, doubles and delays: every request still ends exactly once, and nothing hangs.

use crate::world::{client_config, dispatch, server_config, summary, World};
use crate::Factory;
use dpu_types::RequestId;
use dpu_ucx::{
    ChaosConfig, ChaosTransport, Event, ServerEvent, StubHub, StubTransport, TransportKind, UcxConfig,
    UcxTransport,
};
use std::collections::HashMap;

struct Hostile(StubHub, ChaosConfig);

impl Factory for Hostile {
    type T = ChaosTransport<StubTransport>;
    fn make(&self) -> Self::T {
        ChaosTransport::new(self.0.transport(), self.1)
    }
}

fn answer(world: &mut World<Hostile>) {
    for event in std::mem::take(&mut world.server_events) {
        let ServerEvent::Request { stream, .. } = event else { continue };
        let server = world.server();
        // Each of these may find its peer gone: that is what the test is about.
        let _ = server.tokens(stream, 1, b"[1]", false);
        let _ = server.tokens(stream, 1, b"[2]", true);
        let _ = server.end(stream, &summary());
    }
}

#[test]
fn every_request_ends_exactly_once_on_a_hostile_wire() {
    for seed in 1..12 {
        let chaos = ChaosConfig {
            seed,
            drop_peer: 400,
            delay: 8000,
            delay_polls_max: 3,
            overtakers_max: 40,
            truncate: 400,
            duplicate: 8000,
        };
        let factory = Hostile(StubHub::new(), chaos);
        let config = dpu_ucx::ClientConfig { reconnect_min_ms: 1, reconnect_max_ms: 2, ..client_config() };
        let mut world = World::new(&factory, config, server_config());
        let mut ends: HashMap<RequestId, u32> = HashMap::new();
        let mut submitted = 0;
        for number in 0..200 {
            let now = world.now();
            submitted += u32::from(world.client.submit(&dispatch(number, vec![number; 50]), now).is_ok());
            world.step();
            answer(&mut world);
        }
        world.until_idle();
        for event in world.answers() {
            match event {
                Event::Result { id, .. } | Event::End { id, .. } | Event::Fail { id, .. } => {
                    *ends.entry(id).or_default() += 1;
                }
                Event::Tokens { id, .. } => assert!(!ends.contains_key(&id), "a token after the end"),
                other => panic!("{other:?}"),
            }
        }
        assert!(submitted > 0);
        assert_eq!((ends.len() as u32, ends.values().max()), (submitted, Some(&1)), "seed {seed}");
    }
}

impl World<Hostile> {
    fn until_idle(&mut self) {
        for _ in 0..200_000 {
            if self.client.idle() {
                return;
            }
            self.step();
            answer(self);
        }
        panic!("requests without an end: {:?}", self.client.counters());
    }
}

/// Real UCX whose peers are dropped by the seed, with large frames on their way in both directions.
struct Dropping(TransportKind, u64);

impl Factory for Dropping {
    type T = ChaosTransport<UcxTransport>;
    fn make(&self) -> Self::T {
        let chaos = ChaosConfig { seed: self.1, drop_peer: 6000, ..ChaosConfig::default() };
        let config = UcxConfig { kind: self.0, ..UcxConfig::default() };
        ChaosTransport::new(UcxTransport::new(config).unwrap(), chaos)
    }
}

/// Large enough to be fetched from the sender's memory: a buffer that was freed or used again would be seen.
const LARGE: usize = 200_000;

fn no_buffer_is_freed_with_an_operation_in_flight(kind: TransportKind) {
    for seed in 1..4 {
        let config = dpu_ucx::ClientConfig { reconnect_min_ms: 1, reconnect_max_ms: 2, ..client_config() };
        let mut world = World::new(&Dropping(kind, seed), config, server_config());
        let (mut submitted, mut whole) = (0, 0);
        for number in 0..60 {
            for _ in 0..2000 {
                world.step();
                let now = world.now();
                if world.client.submit(&dispatch(number, vec![number; LARGE]), now).is_ok() {
                    submitted += 1;
                    break;
                }
            }
            for event in std::mem::take(&mut world.server_events) {
                let ServerEvent::Request { stream, request } = event else { continue };
                assert!(request.body.iter().all(|byte| *byte == stream.id.0[0]), "another request's bytes");
                // Its peer may be gone by now.
                let _ = world.server().result(stream, &summary(), &request.body);
            }
        }
        world.until("every one ended", |world| world.client.idle() || !world.server_events.is_empty());
        while !world.client.idle() {
            for event in std::mem::take(&mut world.server_events) {
                let ServerEvent::Request { stream, request } = event else { continue };
                let _ = world.server().result(stream, &summary(), &request.body);
            }
            world.step();
        }
        for event in world.answers() {
            if let Event::Result { id, choices, .. } = event {
                assert!(choices.len() == LARGE && choices.iter().all(|byte| *byte == id.0[0]));
                whole += 1;
            }
        }
        assert!(submitted > 0 && whole > 0, "seed {seed}: {submitted} sent, {whole} answered");
        assert_eq!(world.server().counters().receipts_refused, 0, "seed {seed}");
        world.until("no byte in flight", |world| {
            let server = world.server.as_ref().unwrap().transport_counters();
            world.client.transport_counters().bytes_in_flight + server.bytes_in_flight == 0
        });
    }
}

#[test]
fn no_buffer_is_freed_with_an_operation_in_flight_over_tcp() {
    no_buffer_is_freed_with_an_operation_in_flight(TransportKind::Tcp);
}

#[test]
fn no_buffer_is_freed_with_an_operation_in_flight_over_shm() {
    no_buffer_is_freed_with_an_operation_in_flight(TransportKind::Shm);
}
