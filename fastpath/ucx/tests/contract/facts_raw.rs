//! What a worker does with a fast path that does not keep the rules.

use crate::raw::{request, Raw};
use crate::world::{id, server_config};
use crate::Factory;
use dpu_types::gen::worker_frame::{Body, Cancel, Cancelled};
use dpu_types::wire::Frame;
use dpu_types::Reason;
use dpu_ucx::{ServerConfig, ServerEvent};

pub fn a_malformed_frame_closes_the_peer<F: Factory>(factory: &F) {
    let mut raw = Raw::proven(factory, server_config());
    raw.send_bytes(b"these bytes are no frame, whatever else they may be".to_vec());
    raw.until("closed", |raw| raw.lost);
    assert_eq!(raw.server.counters().malformed, 1);
    assert!(raw.server.peers().is_empty());
    assert!(raw.server_events.contains(&ServerEvent::PeerLost { streams: vec![] }));
}

pub fn a_frame_too_far_ahead_closes_the_peer<F: Factory>(factory: &F) {
    let mut raw = Raw::proven(factory, server_config());
    raw.send(2 + 65, id(1), request(b"{}"));
    raw.until("closed", |raw| raw.lost);
    assert_eq!(raw.server.counters().out_of_order, 1);
}

pub fn frames_out_of_order_within_the_window_are_put_right<F: Factory>(factory: &F) {
    let mut raw = Raw::proven(factory, server_config());
    for sequence in (2..=50).rev() {
        raw.send(sequence, id(sequence as u8), request(b"{}"));
        raw.send(sequence, id(sequence as u8), request(b"{}"));
    }
    raw.until("all there", |raw| raw.server_events.len() == 49);
    let order: Vec<u8> = raw
        .server_events
        .iter()
        .map(|event| match event {
            ServerEvent::Request { stream, .. } => stream.id.0[0],
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, (2..=50).collect::<Vec<u8>>());
    assert!(raw.server.counters().reordered >= 1);
    // The second copy of the last frame may still be on its way.
    assert!(raw.server.counters().duplicates >= 40);
}

pub fn a_cancel_before_its_request_is_remembered<F: Factory>(factory: &F) {
    let mut raw = Raw::proven(factory, server_config());
    let seen = raw.frames.len();
    raw.send(2, id(1), Body::Cancel(Cancel { reason: Reason::ClientGone as u16, deadline_ms: 1000 }));
    raw.send(3, id(1), request(b"{}"));
    let is_cancelled = |bytes: &bytes::Bytes| {
        let frame = Frame::decode(bytes).unwrap();
        frame.request_id == id(1)
            && matches!(frame.body, Body::Cancelled(Cancelled { tokens_sent: 0, tokens_wasted: 0, .. }))
    };
    raw.until("cancelled", |raw| raw.frames[seen..].iter().any(is_cancelled));
    assert!(raw.server_events.is_empty());
    assert_eq!(raw.server.outstanding(), 0);
}

pub fn a_request_before_the_handshake_closes_the_peer<F: Factory>(factory: &F) {
    let mut raw = Raw::new(factory, server_config());
    raw.send(0, id(1), request(b"{}"));
    raw.until("closed", |raw| raw.lost);
    assert!(raw.frames.is_empty());
    assert!(raw.server_events.is_empty());
    assert_eq!(raw.server.counters().handshake_failures, 1);
}

pub fn a_silent_peer_is_given_up<F: Factory>(factory: &F) {
    let config = ServerConfig { peer_timeout_ms: 300, ping_interval_ms: 100, ..server_config() };
    let mut raw = Raw::proven(factory, config);
    raw.until("given up", |raw| raw.lost);
    assert_eq!(raw.server.counters().pings_lost, 1);
    assert!(raw.server.counters().frames_out[13] >= 1);
}
