//! What a peer that has not proved the key may try on a worker: it is told nothing, closed, and counted.

use crate::raw::{request, Raw};
use crate::raw_worker::{encoded, sign};
use crate::world::{id, server_config, KEY};
use crate::Factory;
use dpu_types::gen::worker_frame::{Body, Cancel, Credit, Ping, Welcome};
use dpu_types::wire::Frame;
use dpu_types::RequestId;

type Stranger<F> = (&'static str, fn(&mut Raw<F>));

/// The worker's nonce and proof, from its first WELCOME.
fn greeted<F: Factory>(raw: &mut Raw<F>) -> ([u8; 32], [u8; 32]) {
    raw.hello(0, [0; 32]);
    raw.until("greeted", |raw| !raw.frames.is_empty());
    let Body::Welcome(Welcome { nonce, proof, worker_id, engine, models, .. }) =
        Frame::decode(&raw.frames[0]).unwrap().body
    else {
        panic!()
    };
    assert_eq!((worker_id, engine, models.len()), ("", "", 0), "told before a proof");
    (nonce, proof)
}

fn attempts<F: Factory>() -> Vec<Stranger<F>> {
    vec![
        ("a request without a greeting", |raw| raw.send(0, id(1), request(b"{}"))),
        ("a cancel without a greeting", |raw| {
            raw.send(0, id(1), Body::Cancel(Cancel { reason: 600, deadline_ms: 1 }));
        }),
        ("credit without a greeting", |raw| raw.send(0, id(1), Body::Credit(Credit { bytes: 1 }))),
        ("a ping without a greeting", |raw| raw.send(0, RequestId::NONE, Body::Ping(Ping { token: 1 }))),
        ("the second phase first", |raw| raw.hello(1, [0; 32])),
        ("a frame ahead of its turn", |raw| raw.send_bytes(encoded(5, id(1), 0, request(b"{}")))),
        ("a large frame", |raw| raw.send(0, id(1), request(&vec![b'x'; 1 << 20]))),
        ("bytes that are no frame", |raw| raw.send_bytes(b"no frame".to_vec())),
        ("no proof", |raw| {
            greeted(raw);
            raw.hello(1, [0; 32]);
        }),
        ("a proof with another key", |raw| {
            let (nonce, _) = greeted(raw);
            raw.hello(1, sign(b"some other key", b"dpu-fastpath v1", &nonce, &[9; 32]));
        }),
        ("a proof for another connection", |raw| {
            greeted(raw);
            raw.hello(1, sign(KEY, b"dpu-fastpath v1", &[1; 32], &[9; 32]));
        }),
        ("the worker's own proof back", |raw| {
            let (_, proof) = greeted(raw);
            raw.hello(1, proof);
        }),
        ("a proof of the other role", |raw| {
            let (nonce, _) = greeted(raw);
            raw.hello(1, sign(KEY, b"dpu-worker v1", &nonce, &[9; 32]));
        }),
        ("a request after the greeting", |raw| {
            greeted(raw);
            raw.send(1, id(1), request(b"{}"));
        }),
    ]
}

pub fn a_stranger_is_told_nothing_by_a_worker<F: Factory>(factory: &F) {
    for (name, attempt) in attempts::<F>() {
        let mut raw = Raw::new(factory, server_config());
        attempt(&mut raw);
        raw.until(name, |raw| raw.lost);
        let counters = raw.server.counters();
        assert_eq!((counters.strangers, counters.handshake_failures), (1, 1), "{name}");
        assert_eq!((counters.malformed, counters.handshakes), (0, 0), "{name}");
        assert!(raw.server_events.is_empty() && raw.server.peers().is_empty(), "{name}");
        assert!(raw.frames.len() <= 1, "{name}: told more than a greeting");
    }
}
