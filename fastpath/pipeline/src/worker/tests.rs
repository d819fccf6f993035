#![allow(clippy::unwrap_used)]
//! Places, capacity and trust of one worker, as cores share them.

use super::*;
use std::thread;

const RULES: HealthRules = HealthRules {
    failures: 2,
    ratio_percent: 100,
    requests_min: 100,
    window_ms: 1_000,
    open_min_ms: 100,
    open_max_ms: 1_000,
    slow_start_ms: 1_000,
};

const fn at(ms: u64) -> MonoNs {
    MonoNs(ms * 1_000_000)
}

fn ledger() -> Arc<Ledger> {
    Arc::new(Ledger::new(Arc::default()))
}

fn told(ready: bool, lost: bool) -> Told<'static> {
    Told { ready, lost, slots: 4, models: &[], requests: 3, free_kv_tokens: 0 }
}

#[test]
fn places_and_tokens_are_taken_up_to_the_bound_and_given_back() {
    let ledger = ledger();
    let first = ledger.try_take(2, 100, false, at(0)).unwrap();
    let second = ledger.try_take(2, u64::MAX, false, at(0)).unwrap();
    assert_eq!(ledger.outstanding(), (2, 100 + REQUEST_TOKENS_MAX));
    assert!(ledger.try_take(2, 1, false, at(0)).is_none());
    drop(second);
    assert_eq!(ledger.outstanding(), (1, 100));
    drop(first);
    assert_eq!(ledger.outstanding(), (0, 0));
}

#[test]
fn threads_never_take_more_places_than_there_are() {
    let ledger = ledger();
    let most = thread::scope(|scope| {
        let work = || {
            let mut most = 0;
            for _ in 0..2_000 {
                let held = ledger.try_take(3, 7, false, at(0));
                most = most.max(ledger.outstanding().0);
                drop(held);
            }
            most
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max()
    });
    assert!(most.is_some_and(|most| most <= 3));
    assert_eq!(ledger.outstanding(), (0, 0));
}

#[test]
fn capacity_is_the_plans_or_follows_from_the_slots_and_is_never_nothing() {
    let worker = |requests_max, requests_per_slot| Worker {
        name: Arc::from("w0"),
        address: "127.0.0.1:1".parse().unwrap(),
        requests_max,
        requests_per_slot,
        stream_window_bytes: 0,
        ledger: ledger(),
    };
    let unknown = worker(0, 2);
    assert_eq!(unknown.capacity(100), 2, "before its WELCOME it has one slot");
    unknown.ledger.tell(0, &told(true, false), false, &RULES, at(0));
    assert_eq!((unknown.capacity(100), unknown.capacity(50), unknown.capacity(10)), (8, 4, 1));
    assert_eq!(worker(10, 2).capacity(25), 2);
}

#[test]
fn an_open_breaker_gives_one_probe_whose_first_sign_of_life_closes_it() {
    let ledger = ledger();
    for _ in 0..2 {
        let mut outstanding = ledger.try_take(9, 1, false, at(0)).unwrap();
        outstanding.ended(Verdict::Failed, &RULES);
    }
    let now = clock::now();
    assert!(matches!(ledger.trust(&RULES, now), Trust::Rest(Some(_))));
    let later = now.plus_ms(200);
    assert_eq!(ledger.trust(&RULES, later), Trust::Probe);
    let mut probe = ledger.try_take(9, 1, true, later).unwrap();
    assert!(ledger.try_take(9, 1, true, later).is_none(), "one probe");
    assert_eq!(ledger.outstanding().0, 1, "the place of the second was given back");
    assert_eq!(ledger.trust(&RULES, later), Trust::Rest(None));
    probe.heard(&RULES);
    assert!(matches!(ledger.trust(&RULES, later), Trust::Share(_)));
    assert_eq!(ledger.circuit(later).0, "closed");
}

#[test]
fn a_probe_that_is_dropped_lets_the_next_one_try() {
    let ledger = ledger();
    ledger.tell(0, &told(true, false), false, &RULES, at(0));
    (0..2).for_each(|_| {
        ledger.tell(0, &told(false, true), false, &RULES, at(1));
        ledger.tell(0, &told(true, false), false, &RULES, at(1));
    });
    let later = clock::now().plus_ms(1_000);
    drop(ledger.try_take(9, 1, true, later).unwrap());
    assert!(ledger.try_take(9, 1, true, clock::now().plus_ms(1_000)).is_some());
}

#[test]
fn a_worker_is_lost_when_its_last_core_has_lost_it_and_fails_once() {
    let ledger = ledger();
    for core in [0, 1] {
        ledger.tell(core, &told(true, false), false, &RULES, at(0));
    }
    ledger.tell(0, &told(false, true), false, &RULES, at(1));
    assert!(!ledger.is_ready_on(0) && ledger.is_ready_on(1));
    assert_eq!(ledger.circuit(at(1)).2, 0);
    ledger.tell(1, &told(false, true), false, &RULES, at(1));
    ledger.tell(1, &told(false, true), false, &RULES, at(2));
    assert_eq!(ledger.circuit(at(2)).2, 1);
}

#[test]
fn a_worker_that_comes_beside_others_starts_slowly_and_on_its_first_core_only() {
    let ledger = ledger();
    ledger.tell(0, &told(true, false), true, &RULES, at(0));
    ledger.tell(1, &told(true, false), true, &RULES, at(500));
    assert_eq!(ledger.trust(&RULES, at(500)), Trust::Share(50));
    assert!(ledger.has_served_for(500, at(500)) && !ledger.has_served_for(501, at(500)));
}

#[test]
fn what_others_gave_it_is_what_it_says_without_what_we_gave_it() {
    let ledger = ledger();
    let _ours = ledger.try_take(9, 1, false, at(0)).unwrap();
    ledger.tell(0, &told(true, false), false, &RULES, at(0));
    assert_eq!(ledger.foreign(), 2);
    ledger.tell(0, &Told { free_kv_tokens: 50, ..told(true, false) }, false, &RULES, at(0));
    assert!(ledger.is_tight(51) && !ledger.is_tight(50));
}
