//! Golden bytes of every frame kind; `tests/unit/abi/test_golden.py` is the twin on the Python side.
//!
//! Both sides know the values by themselves and compare them with the same files, in both directions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use dpu_types::gen::worker_frame::{
    Body, Cancel, Cancelled, Credit, Drain, End, Fail, Hello, Load, Ping, Request, Result, Tokens, Welcome,
};
use dpu_types::wire::{Frame, FrameError, ModelInfo};
use dpu_types::RequestId;
use std::collections::BTreeSet;
use std::path::PathBuf;

const ID: RequestId = RequestId([
    0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
]);
const NONE: RequestId = RequestId::NONE;
const NONCE_F: [u8; 32] = [0xf1; 32];
const NONCE_W: [u8; 32] = [0xe2; 32];
const ZERO: [u8; 32] = [0; 32];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/frames")
}

/// Kind and file of every golden frame.
fn index() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(folder().join("index.txt")).unwrap();
    let rows = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|line| {
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    })
    .collect()
}

/// The bytes of a file: hex digits and spaces; what follows a # is for people.
fn golden(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(folder().join(format!("{name}.hex"))).unwrap();
    let code = text.lines().map(|line| line.split('#').next().unwrap());
    let pairs = code.flat_map(str::split_whitespace);
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn counting(from: u8) -> [u8; 32] {
    std::array::from_fn(|i| from + u8::try_from(i).unwrap())
}

fn frame(sequence: u64, request_id: RequestId, flags: u16, body: Body<'static>) -> Frame<'static> {
    Frame { sequence, request_id, flags, body }
}

fn hello(sequence: u64, phase: u8, proof: [u8; 32]) -> Frame<'static> {
    let fastpath_id = "fastpath/0";
    frame(
        sequence,
        NONE,
        0,
        Body::Hello(Hello { phase, protocol_version: 1, fastpath_id, nonce: NONCE_F, proof }),
    )
}

fn welcome_phase0() -> Frame<'static> {
    let body = Welcome {
        phase: 0,
        protocol_version: 1,
        nonce: NONCE_W,
        proof: counting(32),
        worker_id: "",
        engine: "",
        slots: 0,
        models: Vec::new(),
    };
    frame(0, NONE, 0, Body::Welcome(body))
}

fn welcome_phase1() -> Frame<'static> {
    let models = vec![
        ModelInfo { name: "smollm2", digest: [0xd5; 32], quantisation: "Q4_1", context_tokens: 2048 },
        ModelInfo { name: "größer", digest: ZERO, quantisation: "", context_tokens: 131_072 },
    ];
    let (worker_id, engine) = ("w0", "llama");
    let (nonce, proof) = (NONCE_W, ZERO);
    let body = Welcome { phase: 1, protocol_version: 1, nonce, proof, worker_id, engine, slots: 4, models };
    frame(1, NONE, 0, Body::Welcome(body))
}

fn request_stream() -> Frame<'static> {
    let body = Request {
        deadline_ms: 30_000,
        priority: 7,
        epoch: 42,
        token_budget: 256,
        tenant_hash: [0xa7; 16],
        receipt_sha256: [0xb8; 32],
        receipt_edits: 2,
        arm: "stable",
        model: "smollm2",
        trace_id: [0xc9; 16],
        span_id: 0xb7ad_6b71_6920_3331,
        trace_flags: 1,
        tracestate: "rojo=00f0",
        body: br#"{"model":"smollm2"}"#,
    };
    frame(2, ID, 1, Body::Request(body))
}

fn request_completions_embeddings() -> Frame<'static> {
    let body = Request {
        deadline_ms: 1,
        priority: 255,
        epoch: u64::MAX,
        token_budget: 0,
        tenant_hash: [0; 16],
        receipt_sha256: ZERO,
        receipt_edits: 0,
        arm: "",
        model: "",
        trace_id: [0; 16],
        span_id: 0,
        trace_flags: 0,
        tracestate: "",
        body: b"",
    };
    frame(3, ID, 6, Body::Request(body))
}

fn result() -> Frame<'static> {
    let body = Result {
        finish: "stop",
        prompt_tokens: 12,
        cached_tokens: 3,
        completion_tokens: 45,
        queue_us: 1_000,
        prefill_us: 20_000,
        decode_us: 300_000,
        choices: b"[1]",
    };
    frame(6, ID, 0, Body::Result(body))
}

fn end() -> Frame<'static> {
    let body = End {
        finish: "length",
        prompt_tokens: 12,
        cached_tokens: 0,
        completion_tokens: 256,
        queue_us: 1,
        prefill_us: 2,
        decode_us: 1 << 40,
    };
    frame(7, ID, 0, Body::End(body))
}

fn frames() -> Vec<(&'static str, Frame<'static>)> {
    let content = r#"[{"delta":{"content":"é"}}]"#.as_bytes();
    let token = 0x1122_3344_5566_7788;
    vec![
        ("hello_phase0", hello(0, 0, ZERO)),
        ("hello_phase1", hello(1, 1, counting(0))),
        ("welcome_phase0", welcome_phase0()),
        ("welcome_phase1", welcome_phase1()),
        ("request_stream", request_stream()),
        ("request_completions_embeddings", request_completions_embeddings()),
        ("tokens", frame(4, ID, 0, Body::Tokens(Tokens { token_count: 1, choices: content }))),
        ("tokens_finish", frame(5, ID, 1, Body::Tokens(Tokens { token_count: 0, choices: b"[]" }))),
        ("result", result()),
        ("end", end()),
        ("fail", frame(8, ID, 0, Body::Fail(Fail { reason: 502, detail: "engine failed" }))),
        ("fail_retry", frame(9, ID, 1, Body::Fail(Fail { reason: 411, detail: "" }))),
        ("cancel", frame(10, ID, 0, Body::Cancel(Cancel { reason: 600, deadline_ms: 2_000 }))),
        (
            "cancelled",
            frame(
                11,
                ID,
                0,
                Body::Cancelled(Cancelled { tokens_sent: 17, tokens_wasted: 3, cancel_us: 850 }),
            ),
        ),
        ("credit", frame(12, ID, 0, Body::Credit(Credit { bytes: 65_536 }))),
        ("load", frame(13, NONE, 0, Body::Load(Load { running: 4, queued: 9, free_kv_tokens: 8_192 }))),
        ("drain", frame(14, NONE, 0, Body::Drain(Drain { reason: 412 }))),
        ("ping", frame(15, NONE, 0, Body::Ping(Ping { token }))),
        ("ping_answer", frame(u64::MAX, NONE, 1, Body::Ping(Ping { token }))),
    ]
}

#[test]
fn index_names_every_frame_with_its_kind() {
    let ours: Vec<_> =
        frames().iter().map(|(name, f)| (f.body.name().to_owned(), (*name).to_owned())).collect();
    assert_eq!(index(), ours);
}

#[test]
fn every_kind_has_a_golden_frame() {
    let golden: BTreeSet<u8> = frames().iter().map(|(_, frame)| frame.body.kind()).collect();
    let known: BTreeSet<u8> = (0..=u8::MAX).filter(|kind| Body::flags_known(*kind).is_some()).collect();
    assert_eq!(golden, known);
}

#[test]
fn frames_have_their_golden_bytes() {
    for (name, frame) in frames() {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).unwrap();
        assert_eq!(bytes, golden(name), "{name}");
    }
}

#[test]
fn golden_bytes_are_their_frames() {
    for (name, frame) in frames() {
        assert_eq!(Frame::decode(&golden(name)).unwrap(), frame, "{name}");
    }
}

#[test]
fn golden_frames_cut_anywhere_are_refused() {
    for (name, _) in frames() {
        let bytes = golden(name);
        for size in 0..bytes.len() {
            assert!(Frame::decode(&bytes[..size]).is_err(), "{name} cut to {size} bytes");
        }
    }
}

#[test]
fn golden_frames_with_a_byte_more_are_refused() {
    for (name, _) in frames() {
        let mut bytes = golden(name);
        bytes.push(0);
        assert_eq!(Frame::decode(&bytes), Err(FrameError::Length), "{name}");
    }
}

#[test]
fn golden_frames_with_any_bit_flipped_never_panic() {
    for (name, _) in frames() {
        let mut bytes = golden(name);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = Frame::decode(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
