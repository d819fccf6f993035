//! One contract for every transport: what a session promises holds over the stub, over a misbehaving stub, and over
//! UCX on shared memory and TCP. RC verbs need a device: set `DPU_TEST_RC_ADDR` to an address of one, with
//! port 0 (192.0.2.1:0).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod facts;
mod facts_raw;
mod hostile;
mod kinds;
mod misbehaving;
mod process;
mod raw;
mod raw_worker;
mod strangers;
mod world;

use dpu_ucx::{ChaosConfig, ChaosTransport, StubHub, StubTransport, TransportKind, UcxConfig, UcxTransport};
use std::net::SocketAddr;

/// Makes transports of one kind that can reach each other.
pub trait Factory {
    type T: dpu_ucx::Transport;
    fn make(&self) -> Self::T;
    /// Where a server may listen.
    fn address(&self) -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }
}

pub struct Stub(StubHub);
impl Factory for Stub {
    type T = StubTransport;
    fn make(&self) -> Self::T {
        self.0.transport()
    }
}

pub struct Chaos(StubHub);
impl Factory for Chaos {
    type T = ChaosTransport<StubTransport>;
    fn make(&self) -> Self::T {
        ChaosTransport::new(self.0.transport(), ChaosConfig::survivable(7))
    }
}

pub struct Ucx(TransportKind, SocketAddr);
impl Factory for Ucx {
    type T = UcxTransport;
    fn make(&self) -> Self::T {
        UcxTransport::new(UcxConfig { kind: self.0, ..UcxConfig::default() }).unwrap()
    }
    fn address(&self) -> SocketAddr {
        self.1
    }
}

fn stub() -> Option<Stub> {
    Some(Stub(StubHub::new()))
}

fn chaos() -> Option<Chaos> {
    Some(Chaos(StubHub::new()))
}

fn tcp() -> Option<Ucx> {
    Some(Ucx(TransportKind::Tcp, "127.0.0.1:0".parse().unwrap()))
}

fn shm() -> Option<Ucx> {
    Some(Ucx(TransportKind::Shm, "127.0.0.1:0".parse().unwrap()))
}

fn rc() -> Option<Ucx> {
    let Ok(address) = std::env::var("DPU_TEST_RC_ADDR") else {
        eprintln!("skipped: DPU_TEST_RC_ADDR is not set (an address of an RDMA device, with port 0)");
        return None;
    };
    Some(Ucx(TransportKind::Rc, address.parse().unwrap()))
}

macro_rules! contract {
    ($($transport:ident),*) => { $(
        mod $transport {
            use super::{facts, facts_raw, misbehaving, strangers};
            contract!(@facts $transport facts:
                a_good_key_makes_a_worker_ready
                a_bad_key_is_refused_and_told_nothing
                a_stream_arrives_in_order_and_ends
                an_answer_arrives_whole
                a_failure_carries_its_reason
                a_cancelled_request_is_confirmed
                a_cancel_without_confirmation_times_out
                an_end_that_crosses_a_cancel_counts_as_cancelled
                a_body_of_4_mib_arrives_whole
                two_hundred_streams_run_at_once
                a_lost_worker_ends_its_requests
                a_lost_fast_path_ends_its_streams
                a_worker_that_comes_back_is_found_again
                a_full_send_queue_refuses_and_recovers
                a_body_that_does_not_match_its_receipt_is_refused
                a_draining_worker_takes_nothing_new
                an_unlisted_worker_finishes_its_requests_first
                load_is_told
            );
            contract!(@facts $transport facts_raw:
                a_malformed_frame_closes_the_peer
                a_frame_too_far_ahead_closes_the_peer
                frames_out_of_order_within_the_window_are_put_right
                a_cancel_before_its_request_is_remembered
                a_request_before_the_handshake_closes_the_peer
                a_silent_peer_is_given_up
            );
            contract!(@facts $transport misbehaving:
                a_broken_rule_ends_the_connection_under_one_reason
                what_is_not_asked_for_is_dropped_and_counted
                frames_that_come_twice_or_turned_round_are_put_right
                counts_that_cannot_be_are_cut_and_counted
                a_cancellation_that_nobody_asked_for_fails_its_request
                a_worker_that_falls_silent_is_given_up_and_may_come_back
                credit_is_what_the_worker_may_send
                a_worker_may_have_either_key_while_they_are_rolled_over
                a_stranger_is_told_nothing_by_a_fast_path
            );
            contract!(@facts $transport strangers:
                a_stranger_is_told_nothing_by_a_worker
            );
        }
    )* };
    (@facts $transport:ident $module:ident: $($fact:ident)*) => { $(
        #[test]
        fn $fact() {
            if let Some(factory) = super::$transport() {
                $module::$fact(&factory);
            }
        }
    )* };
}

contract!(stub, chaos, tcp, shm, rc);
