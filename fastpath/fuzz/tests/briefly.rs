//! Every target over its seeds, and over so many mutations of them as a test run can wait for; `make fuzz` goes on with
//! coverage. `FUZZ_MUTATIONS` says how many for each target.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use dpu_fuzz::mutate::{mutated, Dice};
use dpu_fuzz::{target, Target, TARGETS};
use std::panic::{catch_unwind, AssertUnwindSafe};

const MUTATIONS: u64 = 4_000;

fn try_one(target: Target, bytes: &[u8]) {
    let fine = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))).is_ok();
    assert!(fine, "{}: {:?}", target.name, String::from_utf8_lossy(bytes));
}

fn briefly(name: &str) {
    let target = target(name).unwrap();
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|seed| try_one(target, seed));
    let count = std::env::var("FUZZ_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(MUTATIONS);
    for number in 1..=count {
        try_one(target, &mutated(&mut Dice::new(number), &seeds));
    }
}

#[test]
fn heads() {
    briefly("head");
}

#[test]
fn bodies() {
    briefly("body");
}

#[test]
fn h2_heads() {
    briefly("h2_head");
}

#[test]
fn h2_frames() {
    briefly("h2_frames");
}

#[test]
fn json() {
    briefly("json");
}

#[test]
fn requests() {
    briefly("request");
}

/// Or the trial of requests would try refusals only.
#[test]
fn every_seed_of_a_request_is_accepted() {
    for seed in dpu_fuzz::seeds::requests() {
        assert!(dpu_fuzz::request::accepted(&seed), "{}", String::from_utf8_lossy(&seed));
    }
}

#[test]
fn worker_frames() {
    briefly("frame");
}

#[test]
fn tokens() {
    let taken = dpu_fuzz::seeds::tokens().into_iter().filter(|seed| dpu_fuzz::token::accepted(seed)).count();
    assert_eq!(taken, 4, "the one that is signed, and right claims in three spellings");
    briefly("token");
}

#[test]
fn traces() {
    briefly("trace");
}

#[test]
fn every_target_is_tried_here_and_has_its_program() {
    let here = include_str!("briefly.rs");
    for target in TARGETS {
        assert!(here.contains(&format!("briefly(\"{}\")", target.name)), "{}", target.name);
        let program = format!("{}/run/src/bin/{}.rs", env!("CARGO_MANIFEST_DIR"), target.name);
        assert!(std::path::Path::new(&program).is_file(), "{program}");
    }
}

#[test]
fn captures() {
    briefly("capture");
}
