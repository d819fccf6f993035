//! A wire that drops, cuts, doubles and delays: every request still ends exactly once, and nothing hangs.

use crate::world::{client_config, dispatch, server_config, summary, World};
use crate::Factory;
use dpu_types::RequestId;
use dpu_ucx::{ChaosConfig, ChaosTransport, Event, ServerEvent, StubHub, StubTransport};
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
