//! A worker that does not keep the rules: whatever it does, the fast path goes on, every request ends once, and the fault
//! is counted under one name.

use crate::raw_worker::{encoded, RawWorker, NONCE};
use crate::world::{client_config, dispatch, id, KEY};
use crate::Factory;
use dpu_types::gen::worker_frame::{
    self as frame, Body, Cancel, Cancelled, Credit, End, Fail, Hello, Ping, Tokens, STREAM_CREDIT_BYTES,
};
use dpu_types::{Reason, RequestId};
use dpu_ucx::{ClientConfig, Event, SessionCounters, WorkerPhase};

type Count = fn(&SessionCounters) -> u64;

/// One way to break the rules on a connection that was good: what is sent for request 1, and the reason that it ends by.
type Row<F> = (&'static str, fn(&mut RawWorker<F>), Reason, Count);

fn tokens(choices: &[u8]) -> Body<'_> {
    Body::Tokens(Tokens { token_count: 1, choices })
}

fn end() -> Body<'static> {
    end_with(1)
}

/// END with every count the same.
fn end_with(count: u32) -> Body<'static> {
    Body::End(End {
        finish: "stop",
        prompt_tokens: count,
        cached_tokens: count,
        completion_tokens: count,
        queue_us: 0,
        prefill_us: 0,
        decode_us: 0,
    })
}

/// A good TOKENS frame, spoiled.
fn spoiled(sequence: u64, spoil: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = encoded(sequence, id(1), 0, tokens(b"[]"));
    spoil(&mut bytes);
    bytes
}

const MALFORMED: Count = |counters| counters.malformed;

fn rows<F: Factory>() -> Vec<Row<F>> {
    vec![
        (
            "bytes that are no frame",
            |raw| raw.send_bytes(b"no frame".to_vec()),
            Reason::FrameMalformed,
            MALFORMED,
        ),
        (
            "a length that is too small",
            |raw| raw.send_bytes(spoiled(raw.next, |bytes| bytes[4] -= 1)),
            Reason::FrameMalformed,
            MALFORMED,
        ),
        (
            "a length that is too large",
            |raw| raw.send_bytes(spoiled(raw.next, |bytes| bytes[4] += 1)),
            Reason::FrameMalformed,
            MALFORMED,
        ),
        (
            "a length of 4 GiB",
            |raw| raw.send_bytes(spoiled(raw.next, |bytes| bytes[4..8].fill(0xff))),
            Reason::FrameMalformed,
            MALFORMED,
        ),
        (
            "a field longer than its frame",
            |raw| raw.send_bytes(spoiled(raw.next, |bytes| bytes[36..40].fill(0xff))),
            Reason::FrameMalformed,
            MALFORMED,
        ),
        (
            "a frame cut short",
            |raw| raw.send_bytes(spoiled(raw.next, |bytes| bytes.truncate(37))),
            Reason::FrameMalformed,
            MALFORMED,
        ),
        (
            "a kind that there is not",
            |raw| raw.send_bytes(spoiled(raw.next, |bytes| bytes[1] = 99)),
            Reason::FrameMalformed,
            MALFORMED,
        ),
        (
            "a flag that there is not",
            |raw| raw.send_bytes(spoiled(raw.next, |bytes| bytes[3] = 0x80)),
            Reason::FrameMalformed,
            MALFORMED,
        ),
        (
            "a frame far ahead of its turn",
            |raw| raw.send_bytes(encoded(raw.next + 65, id(1), 0, tokens(b"[]"))),
            Reason::FrameOutOfOrder,
            |counters| counters.out_of_order,
        ),
        (
            "a frame of the other side",
            |raw| raw.say(id(1), 0, Body::Cancel(Cancel { reason: 600, deadline_ms: 1 })),
            Reason::FrameMalformed,
            MALFORMED,
        ),
        (
            "credit for us",
            |raw| raw.say(id(1), 0, Body::Credit(Credit { bytes: 1 })),
            Reason::FrameMalformed,
            MALFORMED,
        ),
        ("a handshake in the middle", |raw| raw.welcome(0, [0; 32], ""), Reason::FrameMalformed, MALFORMED),
        (
            "a greeting of its own",
            |raw| {
                let hello =
                    Hello { phase: 0, protocol_version: 1, fastpath_id: "", nonce: NONCE, proof: [0; 32] };
                raw.say(RequestId::NONE, 0, Body::Hello(hello));
            },
            Reason::FrameMalformed,
            MALFORMED,
        ),
        (
            "more of a stream than its credit",
            |raw| {
                for _ in 0..5 {
                    raw.say(id(1), 0, tokens(&vec![b'x'; STREAM_CREDIT_BYTES / 3]));
                }
            },
            Reason::CreditExceeded,
            |counters| counters.credit_exceeded,
        ),
    ]
}

pub fn a_broken_rule_ends_the_connection_under_one_reason<F: Factory>(factory: &F) {
    for (name, spoil, reason, count) in rows::<F>() {
        let mut raw = RawWorker::ready(factory);
        raw.request(1);
        raw.request(2);
        spoil(&mut raw);
        raw.until(name, |raw| raw.client.idle());
        let mut reasons = raw.answers();
        reasons.retain(|event| !matches!(event, Event::Tokens { .. }));
        let is_it = |event: &Event| matches!(event, Event::Fail { reason: found, .. } if *found == reason);
        assert!(reasons.len() == 2 && reasons.iter().all(is_it), "{name}: {reasons:?}");
        let counters = raw.client.counters();
        let faults =
            counters.malformed + counters.out_of_order + counters.credit_exceeded + counters.strangers;
        assert_eq!((count(counters), faults, counters.peers_lost), (1, 1, 1), "{name}");
        // It comes back as a good worker, and is one.
        raw.come_back();
        raw.request(3);
        raw.say(id(3), 0, end());
        raw.until("answered", |raw| raw.client.idle());
    }
}

pub fn what_is_not_asked_for_is_dropped_and_counted<F: Factory>(factory: &F) {
    let mut raw = RawWorker::ready(factory);
    raw.request(1);
    let cancelled = Cancelled { tokens_sent: 0, tokens_wasted: 0, cancel_us: 0 };
    let nobody = id(77);
    raw.say(nobody, 0, tokens(b"[]"));
    raw.say(nobody, 0, end());
    raw.say(nobody, 0, Body::Fail(Fail { reason: 502, detail: "" }));
    raw.say(nobody, 0, Body::Cancelled(cancelled.clone()));
    raw.say(id(1), 0, tokens(b"[1]"));
    raw.say(id(1), 0, end());
    // After the end nothing counts: not tokens, not a second end of any kind.
    raw.say(id(1), 0, tokens(b"[2]"));
    raw.say(id(1), 0, end());
    raw.say(id(1), 0, Body::Fail(Fail { reason: 502, detail: "" }));
    raw.say(id(1), 0, Body::Cancelled(cancelled));
    raw.until("dropped", |raw| raw.client.counters().late_frames == 8);
    let answers = raw.answers();
    assert!(matches!(&answers[..], [Event::Tokens { .. }, Event::End { .. }]), "{answers:?}");
    assert_eq!(raw.phase(), WorkerPhase::Ready);
}

pub fn frames_that_come_twice_or_turned_round_are_put_right<F: Factory>(factory: &F) {
    let mut raw = RawWorker::ready(factory);
    raw.request(1);
    let first = raw.next;
    for word in (0..20).rev() {
        for _ in 0..2 {
            raw.send_bytes(encoded(first + word, id(1), 0, tokens(format!("[{word:02}]").as_bytes())));
        }
    }
    raw.next = first + 20;
    raw.say(id(1), 0, end());
    raw.until("ended", |raw| raw.client.idle());
    let words: Vec<String> = raw
        .answers()
        .iter()
        .filter_map(|event| match event {
            Event::Tokens { choices, .. } => Some(String::from_utf8(choices.to_vec()).unwrap()),
            _ => None,
        })
        .collect();
    assert_eq!(words, (0..20).map(|word| format!("[{word:02}]")).collect::<Vec<_>>());
    raw.until("the last copy", |raw| raw.client.counters().duplicates >= 20);
    assert!(raw.client.counters().reordered >= 1);
}

pub fn counts_that_cannot_be_are_cut_and_counted<F: Factory>(factory: &F) {
    let mut raw = RawWorker::ready(factory);
    raw.request(1);
    raw.say(id(1), 0, Body::Tokens(Tokens { token_count: u32::MAX, choices: b"[]" }));
    raw.say(id(1), 0, end_with(u32::MAX));
    raw.until("ended", |raw| raw.client.idle());
    let [Event::Tokens { token_count, .. }, Event::End { summary, .. }] = &raw.answers()[..] else {
        panic!("{:?}", raw.answers())
    };
    assert_eq!((*token_count, summary.completion_tokens), (42, 42));
    assert!(summary.prompt_tokens < 100_000 && summary.cached_tokens <= summary.prompt_tokens);
    assert_eq!(raw.client.counters().token_lies, 3);
}

pub fn a_cancellation_that_nobody_asked_for_fails_its_request<F: Factory>(factory: &F) {
    let mut raw = RawWorker::ready(factory);
    raw.request(1);
    raw.say(id(1), 0, Body::Cancelled(Cancelled { tokens_sent: 0, tokens_wasted: 0, cancel_us: 0 }));
    raw.until("failed", |raw| raw.client.idle());
    let answers = raw.answers();
    assert!(matches!(&answers[..], [Event::Fail { reason: Reason::WorkerFailed, .. }]), "{answers:?}");
}

pub fn a_worker_that_falls_silent_is_given_up_and_may_come_back<F: Factory>(factory: &F) {
    let config = ClientConfig { peer_timeout_ms: 300, ping_interval_ms: 100, ..client_config() };
    let mut raw = RawWorker::greeted(factory, config);
    raw.prove();
    raw.request(1);
    raw.until("given up", |raw| raw.client.idle());
    let answers = raw.answers();
    let lost = |event: &Event| matches!(event, Event::Fail { reason: Reason::WorkerLost, retry: true, .. });
    assert!(answers.len() == 1 && lost(&answers[0]), "{answers:?}");
    assert_eq!(raw.client.counters().pings_lost, 1);
    raw.come_back();
    // The old request's answer comes late, on the new connection: nobody waits for it.
    raw.say(id(1), 0, end());
    raw.until("dropped", |raw| raw.client.counters().late_frames == 1);
}

pub fn credit_is_what_the_worker_may_send<F: Factory>(factory: &F) {
    let mut raw = RawWorker::ready(factory);
    raw.request(1);
    let third = vec![b'x'; STREAM_CREDIT_BYTES / 3];
    for _ in 0..3 {
        raw.say(id(1), 0, tokens(&third));
    }
    raw.until("there", |raw| raw.answers().len() == 3);
    let before = raw.frames.len();
    raw.client.credit(id(1), 3 * STREAM_CREDIT_BYTES as u32);
    raw.until("credit", |raw| raw.frames.len() > before);
    for _ in 0..9 {
        raw.say(id(1), 0, tokens(&third));
    }
    raw.say(id(1), 0, end());
    raw.until("ended", |raw| raw.client.idle());
    assert_eq!((raw.answers().len(), raw.client.counters().credit_exceeded), (13, 0));
}

pub fn a_worker_may_have_either_key_while_they_are_rolled_over<F: Factory>(factory: &F) {
    const NEXT: &[u8] = b"the key that is to come, of the tests";
    for (keys, works) in [([KEY, NEXT], true), ([NEXT, KEY], true), ([NEXT, b""], false)] {
        let [key, previous_key] = keys.map(<[u8]>::to_vec);
        let config = ClientConfig { key, previous_key, reconnect_max_ms: 60_000, ..client_config() };
        let mut raw = RawWorker::greeted(factory, config);
        if works {
            raw.prove();
            let Body::Hello(hello) = dpu_types::wire::Frame::decode(&raw.frames[1]).unwrap().body else {
                panic!()
            };
            let Body::Hello(first) = dpu_types::wire::Frame::decode(&raw.frames[0]).unwrap().body else {
                panic!()
            };
            // It proves the key that the worker proved, not the one that the worker may not know yet.
            let expected = crate::raw_worker::sign(KEY, b"dpu-fastpath v1", &NONCE, &first.nonce);
            assert_eq!(hello.proof, expected);
        } else {
            let proof = raw.proof(KEY);
            raw.welcome(0, proof, "");
            raw.until("refused", |raw| raw.client.counters().strangers == 1);
        }
    }
}

/// What a peer that has not proved the key may try on a fast path.
type Stranger<F> = (&'static str, fn(&mut RawWorker<F>));

fn strangers<F: Factory>() -> Vec<Stranger<F>> {
    vec![
        ("no proof", |raw| raw.welcome(0, [0; 32], "")),
        ("a proof with another key", |raw| {
            let proof = raw.proof(b"some other key, as long as the other");
            raw.welcome(0, proof, "");
        }),
        ("a proof for another connection", |raw| {
            let proof = crate::raw_worker::sign(KEY, b"dpu-worker v1", &[1; 32], &NONCE);
            raw.welcome(0, proof, "");
        }),
        ("a proof of the other role", |raw| {
            let Body::Hello(hello) = dpu_types::wire::Frame::decode(&raw.frames[0]).unwrap().body else {
                panic!()
            };
            let proof = crate::raw_worker::sign(KEY, b"dpu-fastpath v1", &hello.nonce, &NONCE);
            raw.welcome(0, proof, "");
        }),
        ("its own greeting back", |raw| {
            let bytes = raw.frames[0].to_vec();
            raw.send_bytes(bytes);
        }),
        ("the second phase first", |raw| raw.welcome(1, [0; 32], "w0")),
        ("an answer", |raw| raw.say(id(1), 0, end())),
        ("load", |raw| {
            raw.say(RequestId::NONE, 0, Body::Load(frame::Load { running: 1, queued: 1, free_kv_tokens: 1 }))
        }),
        ("a ping", |raw| raw.say(RequestId::NONE, 0, Body::Ping(Ping { token: 1 }))),
        ("a frame ahead of its turn", |raw| raw.send_bytes(encoded(1, id(1), 0, end()))),
        ("a large frame", |raw| raw.say(id(1), 0, tokens(&vec![b'x'; 1 << 20]))),
        ("bytes that are no frame", |raw| raw.send_bytes(b"no frame".to_vec())),
    ]
}

pub fn a_stranger_is_told_nothing_by_a_fast_path<F: Factory>(factory: &F) {
    for (name, attempt) in strangers::<F>() {
        let mut raw =
            RawWorker::greeted(factory, ClientConfig { reconnect_max_ms: 60_000, ..client_config() });
        let Body::Hello(hello) = dpu_types::wire::Frame::decode(&raw.frames[0]).unwrap().body else {
            panic!()
        };
        assert_eq!((hello.fastpath_id, hello.proof), ("", [0; 32]), "{name}: told before a proof");
        let before = raw.client.counters().handshake_failures;
        attempt(&mut raw);
        raw.until(name, |raw| raw.client.counters().strangers == 1);
        raw.until(name, |raw| raw.peer.is_none());
        let now = raw.now();
        assert_eq!(raw.client.submit(&dispatch(1, b"{}".to_vec()), now), Err(Reason::NoWorker), "{name}");
        let counters = raw.client.counters();
        assert_eq!(counters.handshake_failures, before + 1, "{name}");
        assert_eq!((counters.malformed, counters.handshakes), (0, 0), "{name}");
        assert_eq!(raw.frames.len(), 1, "{name}: told more than a greeting");
        assert!(raw.answers().is_empty());
    }
}
