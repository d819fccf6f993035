#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Facts about request rates and concurrency.

use super::*;
use std::sync::atomic::AtomicUsize;

const SECOND: u64 = 1_000_000_000;

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn at(ms: u64) -> MonoNs {
    MonoNs(1_000 * SECOND + ms * NS_PER_MS)
}

#[test]
fn a_burst_passes_and_the_next_waits_for_one_interval() {
    let (gcra, usage) = (Gcra::new(60, 60_000, 3).unwrap(), Usage::default());
    for left in [2, 1, 0] {
        assert_eq!(gcra.take(&usage, at(0)).unwrap().remaining, left);
    }
    let table =
        [(0, Err(1000)), (400, Err(600)), (999, Err(1)), (1000, Ok(0)), (1000, Err(1000)), (9000, Ok(2))];
    for (ms, expected) in table {
        assert_eq!(gcra.take(&usage, at(ms)).map(|view| view.remaining), expected, "at {ms} ms");
    }
}

#[test]
fn a_view_takes_nothing_and_says_when_all_is_paid_off() {
    let (gcra, usage) = (Gcra::new(60, 60_000, 5).unwrap(), Usage::default());
    assert_eq!(gcra.view(&usage, at(0)), RateView { limit: 60, remaining: 5, reset_ms: 0 });
    gcra.take(&usage, at(0)).unwrap();
    gcra.take(&usage, at(0)).unwrap();
    assert_eq!(gcra.view(&usage, at(500)), RateView { limit: 60, remaining: 3, reset_ms: 1500 });
    assert_eq!(gcra.view(&usage, at(500)), RateView { limit: 60, remaining: 3, reset_ms: 1500 });
}

#[test]
fn an_earlier_clock_does_not_let_more_through() {
    let (gcra, usage) = (Gcra::new(1, 1_000, 1).unwrap(), Usage::default());
    gcra.take(&usage, at(1_000)).unwrap();
    assert_eq!(gcra.take(&usage, at(0)), Err(2_000));
}

#[test]
fn zero_and_overflowing_rates_are_no_rates() {
    for (requests, interval_ms, burst) in
        [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, u64::MAX, 1), (1, 1 << 40, u32::MAX)]
    {
        assert_eq!(Gcra::new(requests, interval_ms, burst), None);
    }
}

#[test]
fn the_number_of_used_requests_stays_when_the_rate_changes() {
    let (slow, fast) = (Gcra::new(60, 60_000, 60).unwrap(), Gcra::new(600, 60_000, 600).unwrap());
    let usage = Usage::default();
    for _ in 0..40 {
        slow.take(&usage, at(0)).unwrap();
    }
    assert_eq!(fast.view(&usage, at(0)).remaining, 560);
    assert_eq!(slow.view(&usage, at(0)).remaining, 20);
    let tiny = Gcra::new(60, 60_000, 2).unwrap();
    assert_eq!(tiny.take(&usage, at(37_000)).map_err(|_| ()), Err(()));
    assert_eq!(tiny.view(&usage, at(38_500)).remaining, 0);
    assert_eq!(tiny.view(&usage, at(39_000)).remaining, 1);
}

#[test]
fn a_whole_burst_at_most_counts_as_used_after_a_change() {
    let (slow, small) = (Gcra::new(60, 60_000, 60).unwrap(), Gcra::new(120, 60_000, 2).unwrap());
    let usage = Usage::default();
    for _ in 0..60 {
        slow.take(&usage, at(0)).unwrap();
    }
    assert_eq!(small.take(&usage, at(0)), Err(500));
    assert!(small.take(&usage, at(500)).is_ok());
}

#[test]
fn threads_together_take_no_more_than_the_burst() {
    const BURST: u32 = 1_000;
    let (gcra, usage) = (Gcra::new(1, 3_600_000, BURST).unwrap(), Usage::default());
    let taken = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..BURST {
                    if gcra.take(&usage, at(0)).is_ok() {
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(taken.into_inner(), BURST as usize);
}

#[test]
fn places_are_bounded_and_come_back_on_drop() {
    let usage = Arc::<Usage>::default();
    let first = Permit::take(&usage, 2).unwrap();
    let second = Permit::take(&usage, 2).unwrap();
    assert!(Permit::take(&usage, 2).is_none());
    assert_eq!(second.in_flight(), 2);
    drop(first);
    assert!(Permit::take(&usage, 2).is_some());
    assert_eq!(second.in_flight(), 1);
}

#[test]
fn threads_together_hold_no_more_places_than_there_are() {
    const MAX: u32 = 3;
    let usage = Arc::<Usage>::default();
    let most = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    if let Some(permit) = Permit::take(&usage, MAX) {
                        most.fetch_max(permit.in_flight(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= MAX);
    assert_eq!(usage.in_flight.load(Ordering::Relaxed), 0);
}

#[test]
fn a_refund_gives_one_request_back() {
    let (gcra, usage) = (Gcra::new(60, 60_000, 1).unwrap(), Arc::<Usage>::default());
    gcra.take(&usage, at(0)).unwrap();
    assert!(gcra.take(&usage, at(0)).is_err());
    Permit::take(&usage, 0).unwrap().refund_request();
    assert!(gcra.take(&usage, at(0)).is_ok());
}

#[test]
fn use_is_kept_by_name_and_the_number_of_names_is_bounded() {
    let state = LimitState::new();
    let held = state.usage_of(&names(&["a", "b"]));
    assert!(Arc::ptr_eq(&held[1], &state.usage_of(&names(&["b"]))[0]));
    let many: Vec<Arc<str>> = (0..TENANTS_KEPT_MAX).map(|i| Arc::from(format!("t{i}"))).collect();
    drop(state.usage_of(&many));
    assert_eq!(state.len(), TENANTS_KEPT_MAX + 2, "all of them are in the newest plan or in a living policy");
    drop(state.usage_of(&names(&["c"])));
    assert_eq!(state.len(), 3);
}
