#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Facts about token buckets: exact to the token, under any interleaving.

use super::*;
use proptest::prelude::*;
use std::sync::atomic::AtomicBool;

const START: MonoNs = MonoNs(1_000_000_000_000);

fn at(ms: u64) -> MonoNs {
    START.plus_ms(ms)
}

fn rate(tokens: u64, interval_ms: u64, burst: u64) -> plan::TokenRate {
    plan::TokenRate { tokens, interval_ms, burst }
}

fn bucket_on(level: &Arc<Level>, rate: plan::TokenRate, now: MonoNs) -> Bucket {
    Bucket::new(Scope::Tenant, Arc::from("beta"), &rate, Arc::clone(level), now).unwrap()
}

fn bucket(tokens: u64, interval_ms: u64, burst: u64) -> Bucket {
    bucket_on(&Arc::default(), rate(tokens, interval_ms, burst), START)
}

#[test]
fn a_bucket_begins_full_and_fills_evenly_up_to_its_burst() {
    let bucket = bucket(2_000, 60_000, 2_000);
    assert_eq!(bucket.take(1, 2_000, at(0)), Some(2_000));
    bucket.settle(2_000, 2_000, Some(at(0)));
    for (ms, left) in [(0, 0), (29, 0), (30, 1), (59, 1), (60, 2), (60_000, 2_000), (600_000, 2_000)] {
        assert_eq!(bucket.left(at(ms)), left, "at {ms} ms");
    }
}

#[test]
fn a_rate_that_does_not_divide_its_interval_does_not_drift() {
    let bucket = bucket(7, 60_000, 1_000_000);
    bucket.take(1, 1_000_000, at(0)).unwrap();
    assert_eq!(bucket.left(at(60_000 * 10_000 - 1)), 69_999);
    assert_eq!(bucket.left(at(60_000 * 10_000)), 70_000);
}

#[test]
fn the_time_to_wait_is_true_to_the_millisecond() {
    let bucket = bucket(7, 60_000, 100);
    bucket.take(1, 100, at(0)).unwrap();
    for need in [1, 2, 7, 50, 100] {
        let wait = bucket.wait_ms(need, at(0)).unwrap();
        assert!(bucket.left(at(wait)) >= need && bucket.left(at(wait - 1)) < need, "{need}");
        assert_eq!(bucket.wait_ms(need, at(wait)), Some(0));
    }
    assert_eq!(bucket.wait_ms(101, at(0)), None);
}

#[test]
fn what_comes_back_to_a_full_bucket_adds_nothing() {
    let bucket = bucket(2_000, 60_000, 2_000);
    bucket.take(1, 1_500, at(0)).unwrap();
    bucket.settle(1_500, 10, Some(at(60_000)));
    assert_eq!((bucket.left(at(60_000)), bucket.take(1, 9_999, at(60_000))), (2_000, Some(2_000)));
    assert_eq!(bucket.take(1, 1, at(60_000)), None);
}

#[test]
fn what_is_owed_is_paid_off_before_anybody_gets_anything() {
    let bucket = bucket(1_000, 1_000, 100);
    bucket.take(1, 10, at(0)).unwrap();
    bucket.settle(10, 150, Some(at(0)));
    assert_eq!((bucket.left(at(0)), bucket.take(1, 1, at(50))), (-50, None));
    assert_eq!(bucket.take(1, 10, at(51)), Some(1));
    assert_eq!(bucket.view(0, at(0)), TokenView { limit: 1_000, remaining: 0, reset_ms: 151 });
}

#[test]
fn a_debt_counts_from_a_full_bucket_where_it_is_full() {
    let bucket = bucket(1_000, 1_000, 100);
    bucket.take(1, 10, at(0)).unwrap();
    bucket.settle(10, 20, Some(at(5_000)));
    assert_eq!(bucket.left(at(5_000)), 90);
}

#[test]
fn a_smaller_burst_forgives_all_but_one_burst_and_what_runs() {
    let level = Arc::<Level>::default();
    let wide = bucket_on(&level, rate(1_000, 60_000, 100_000), START);
    wide.adopt(START);
    wide.take(1, 90_000, at(0)).unwrap();
    wide.settle(80_000, 80_000, Some(at(0)));
    let narrow = bucket_on(&level, rate(1_000, 60_000, 500), at(0));
    narrow.adopt(at(0));
    assert_eq!((narrow.left(at(0)), narrow.reserved()), (-10_000, 10_000));
    narrow.settle(10_000, 0, Some(at(0)));
    assert_eq!((narrow.left(at(0)), narrow.left(at(60_000))), (0, 500));
}

#[test]
fn a_plan_that_is_not_adopted_changes_nothing() {
    let level = Arc::<Level>::default();
    let first = bucket_on(&level, rate(1_000, 1_000, 1_000), START);
    first.adopt(START);
    first.take(1, 1_000, at(0)).unwrap();
    drop(bucket_on(&level, rate(1, 60_000, 1_000), at(0)));
    let third = bucket_on(&level, rate(2_000, 1_000, 1_000), at(500));
    assert_eq!((first.left(at(500)), third.left(at(500))), (500, 500));
}

#[test]
fn rates_that_cannot_be_counted_are_none() {
    for (tokens, interval_ms, burst, countable) in [
        (0, 1, 1, false),
        (1, 0, 1, false),
        (1, 1, 0, false),
        (TOKENS_MAX, 1_000, TOKENS_MAX, true),
        (TOKENS_MAX, 999, TOKENS_MAX, false),
        (TOKENS_MAX + 1, 1_000_000, 1, false),
        (1, 1, TOKENS_MAX + 1, false),
        (1, u64::MAX, 1, false),
        (1, 1, 1, true),
    ] {
        assert_eq!(
            is_countable(&rate(tokens, interval_ms, burst)),
            countable,
            "{tokens} {interval_ms} {burst}"
        );
    }
    let fastest = bucket(TOKENS_MAX, 1_000, TOKENS_MAX);
    // In 292 years.
    let late = MonoNs(i64::MAX as u64);
    assert_eq!(fastest.take(1, 5, late), Some(5));
    assert_eq!(fastest.left(late), TOKENS_MAX as i64 - 5);
}

/// Threads take, use part, and give back, while a clock moves on; another one looks.
#[test]
fn threads_together_never_have_more_than_burst_and_refill() {
    const BURST: u64 = 1_000;
    let bucket = bucket(1_000, 1_000, BURST);
    let (used, clock_ms, over) = (AtomicI64::new(0), AtomicI64::new(0), AtomicBool::new(false));
    let now = || at(clock_ms.load(Ordering::SeqCst).unsigned_abs());
    std::thread::scope(|scope| {
        for thread in 0..4_i64 {
            let (bucket, used, clock_ms, over) = (&bucket, &used, &clock_ms, &over);
            scope.spawn(move || {
                for round in 0..5_000_i64 {
                    let Some(got) = bucket.take(5, 40 + thread, now()) else {
                        clock_ms.fetch_add(1, Ordering::SeqCst);
                        continue;
                    };
                    let spent = (round * 7 + thread) % (got + 1);
                    used.fetch_add(spent, Ordering::SeqCst);
                    // The clock is read after: it can only have moved on since.
                    let may = BURST as i64 + clock_ms.load(Ordering::SeqCst);
                    over.fetch_or(used.load(Ordering::SeqCst) > may, Ordering::SeqCst);
                    bucket.settle(got, spent, Some(now()));
                }
            });
        }
    });
    assert!(!over.into_inner());
    assert_eq!(bucket.reserved(), 0);
    assert!(bucket.left(now()) <= BURST as i64);
}

/// Without refill everything that threads used is missing, to the token.
#[test]
fn threads_conserve_every_token() {
    let bucket = bucket(1, 3_600_000, 1_000_000);
    let used = AtomicI64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_i64 {
            let (bucket, used) = (&bucket, &used);
            scope.spawn(move || {
                for round in 0..10_000_i64 {
                    let Some(got) = bucket.take(1, 200, at(0)) else { continue };
                    let spent = (round * 13 + thread) % (got + 3); // sometimes more than was taken
                    used.fetch_add(spent, Ordering::Relaxed);
                    bucket.settle(got, spent, Some(at(0)));
                }
            });
        }
    });
    assert_eq!(bucket.left(at(0)), 1_000_000 - used.into_inner());
}

#[derive(Clone, Debug)]
enum Act {
    Wait(u64),
    Take(i64, i64),
    Settle(usize, i64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (0_u64..5_000).prop_map(Act::Wait),
        (0_i64..50, 0_i64..400).prop_map(|(min, want)| Act::Take(min, want.max(min))),
        (0_usize..8, 0_i64..450).prop_map(|(which, used)| Act::Settle(which, used)),
    ];
    proptest::collection::vec(act, 1..60)
}

proptest! {
    /// Any order of takes, waits and settlements: what is left is what is missing from the burst, never above it; and
    /// at every moment debited + reserved is within burst + refill, but for what engines counted beyond their grant.
    #[test]
    fn levels_are_conserved(acts in acts(), tokens in 1_u64..5_000, burst in 1_u64..500) {
        let bucket = bucket(tokens, 60_000, burst);
        let (mut ms, mut held, mut debited, mut beyond) = (0, Vec::new(), 0_i64, 0_i64);
        for act in acts {
            match act {
                Act::Wait(more) => ms += more,
                Act::Take(min, want) => {
                    let left = bucket.left(at(ms));
                    let got = bucket.take(min, want, at(ms));
                    prop_assert_eq!(got, (left >= min).then_some(want.min(left)));
                    held.extend(got);
                    prop_assert_eq!(bucket.left(at(ms)), left - got.unwrap_or(0));
                }
                Act::Settle(which, used) if !held.is_empty() => {
                    let got: i64 = held.swap_remove(which % held.len());
                    let left = bucket.left(at(ms));
                    bucket.settle(got, used, Some(at(ms)));
                    debited += used;
                    beyond += (used - got).max(0);
                    let expected = (left + got - used).min(burst as i64);
                    prop_assert_eq!(bucket.left(at(ms)), expected);
                }
                Act::Settle(..) => {}
            }
            let refilled = i64::try_from(ms * tokens / 60_000).unwrap();
            prop_assert!(bucket.left(at(ms)) <= burst as i64);
            prop_assert_eq!(bucket.reserved(), held.iter().sum::<i64>());
            prop_assert!(debited + bucket.reserved() - beyond <= burst as i64 + refilled);
        }
    }
}
