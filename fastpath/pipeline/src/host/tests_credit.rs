//! Back-pressure: a client that does not read holds its engine, and nobody else's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::config::HostConfig;
use super::tests::{summary, Pair, PATIENCE};
use crate::clock;
use dpu_types::gen::worker_frame::{FLAG_REQUEST_STREAM, STREAM_CREDIT_BYTES};
use dpu_types::{Reason, RequestId};
use dpu_ucx::{tokens_frame_bytes, Event};
use std::sync::mpsc::channel;
use std::time::Duration;

const FRAGMENT: usize = 1000;

fn fragment() -> Vec<u8> {
    vec![b'x'; FRAGMENT]
}

fn unread(engine: &str) -> Pair {
    let mut pair = Pair::new(engine, 2, 0);
    pair.reads = false;
    pair
}

/// Until the worker says that a stream waits for credit.
fn until_stalled(pair: &mut Pair) {
    pair.until(|pair| pair.host.metrics().contains(r#"{"labels":["credit_wait"],"value":1}"#));
    pair.poll(); // what was sent before it said so
}

#[test]
fn an_echo_that_is_not_read_stops_its_timer_at_its_credit_and_goes_on_when_it_is() {
    let mut pair = unread("echo");
    let id = pair.ask("!echo tokens=5000", FLAG_REQUEST_STREAM);
    until_stalled(&mut pair);
    let ahead = pair.bytes(id);
    assert!((STREAM_CREDIT_BYTES..STREAM_CREDIT_BYTES + 200).contains(&ahead), "{ahead}");
    // Others are not held up.
    let other = pair.ask("hi", FLAG_REQUEST_STREAM);
    assert!(matches!(pair.ending(other), Event::End { .. }));
    assert_eq!(pair.bytes(id), ahead);
    pair.reads = true;
    pair.client.credit(id, ahead as u32);
    let Event::End { summary, .. } = pair.ending(id) else { panic!("no END") };
    assert_eq!((summary.completion_tokens, pair.tokens(id)), (5000, 5000));
}

#[test]
fn an_echo_that_is_not_read_can_be_cancelled() {
    let mut pair = unread("echo");
    let id = pair.ask("!echo tokens=5000", FLAG_REQUEST_STREAM);
    until_stalled(&mut pair);
    let sent = pair.tokens(id) as u32;
    pair.client.cancel(id, Reason::ClientTooSlow, clock::now());
    assert!(matches!(pair.ending(id), Event::Cancelled { tokens_sent, .. } if tokens_sent == sent));
}

/// An engine that writes until it is told to stop, in a thread of its own; it says how many fragments were taken.
fn writer(pair: &mut Pair) -> (RequestId, std::sync::mpsc::Receiver<usize>) {
    let id = pair.ask("one", FLAG_REQUEST_STREAM);
    let job = pair.next();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut count = 0;
        while count < 1000 && job.tokens(1, fragment(), false) {
            count += 1;
        }
        tell.send(count).unwrap();
        if count < 1000 {
            job.stopped(1);
        } else {
            job.end(summary());
        }
    });
    until_stalled(pair);
    (id, told)
}

/// What a job may be ahead: its credit, one frame that takes it below zero, and those that are on their way before the
/// worker's thread has said that there is none left.
const AHEAD_MAX: usize = STREAM_CREDIT_BYTES / FRAGMENT + 1 + HostConfig::UNSENT_MAX;

#[test]
fn a_job_that_is_not_read_blocks_and_goes_on_when_it_is() {
    let mut pair = unread("llama");
    let (id, told) = writer(&mut pair);
    assert!(told.recv_timeout(Duration::from_millis(20)).is_err(), "the engine was not held");
    pair.reads = true;
    let ahead = pair.bytes(id) as u32;
    pair.client.credit(id, ahead);
    assert!(matches!(pair.ending(id), Event::End { .. }));
    assert_eq!((told.recv_timeout(PATIENCE).unwrap(), pair.tokens(id)), (1000, 1000));
}

#[test]
fn cancel_wakes_a_job_that_waits_for_credit() {
    let mut pair = unread("llama");
    let (id, told) = writer(&mut pair);
    pair.client.cancel(id, Reason::ClientGone, clock::now());
    assert!(matches!(pair.ending(id), Event::Cancelled { .. }));
    assert!(told.recv_timeout(PATIENCE).unwrap() <= AHEAD_MAX);
}

#[test]
fn the_deadline_wakes_a_job_that_waits_for_credit() {
    let mut pair = unread("llama");
    pair.deadline_ms = 300;
    let (id, told) = writer(&mut pair);
    let Event::Fail { reason, retry, .. } = pair.ending(id) else { panic!("no FAIL") };
    assert_eq!((reason, retry), (Reason::WorkerTimeout, false));
    assert!(told.recv_timeout(PATIENCE).unwrap() <= AHEAD_MAX);
}

#[test]
fn the_end_of_a_drain_wakes_a_job_that_waits_for_credit() {
    let mut pair = unread("llama");
    let (id, told) = writer(&mut pair);
    assert_eq!(pair.host.drain(Duration::from_millis(50)), 1);
    assert!(matches!(pair.ending(id), Event::Fail { reason: Reason::DrainCut, .. }));
    assert!(told.recv_timeout(PATIENCE).unwrap() <= AHEAD_MAX);
}

/// A job that has ended while its last fragment waits for credit.
fn ended_behind_a_stall(pair: &mut Pair) -> RequestId {
    let id = pair.ask("one", FLAG_REQUEST_STREAM);
    let job = pair.next();
    let with_credit = STREAM_CREDIT_BYTES.div_ceil(tokens_frame_bytes(FRAGMENT));
    for _ in 0..=with_credit {
        assert!(job.tokens(1, fragment(), false));
    }
    job.end(summary());
    until_stalled(pair);
    assert!(pair.last_of(id).is_none());
    id
}

#[test]
fn an_end_behind_a_fragment_without_credit_waits_for_the_client() {
    let mut pair = unread("llama");
    let id = ended_behind_a_stall(&mut pair);
    pair.client.credit(id, 1_000_000);
    assert!(matches!(pair.ending(id), Event::End { .. }));
}

#[test]
fn a_job_that_has_ended_behind_a_stall_is_cancelled_at_once() {
    let mut pair = unread("llama");
    let id = ended_behind_a_stall(&mut pair);
    pair.client.cancel(id, Reason::ClientGone, clock::now());
    assert!(matches!(pair.ending(id), Event::Cancelled { .. }));
    pair.until(|pair| pair.host.status().contains(r#""running":0"#));
}
