#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Facts about reservations: whichever way a request ends, what was not used comes back, and the books agree.

use super::super::bucket::Level;
use super::*;
use dpu_types::plan;

const NOW: MonoNs = MonoNs(1_000_000_000_000);

fn bucket(scope: Scope, burst: u64) -> Option<Arc<Bucket>> {
    let rate = plan::TokenRate { tokens: burst, interval_ms: 60_000, burst };
    Bucket::new(scope, Arc::from("name"), &rate, Arc::<Level>::default(), NOW).map(Arc::new)
}

fn three(tenant: u64, model: u64, all: u64) -> Buckets {
    [bucket(Scope::Tenant, tenant), bucket(Scope::Model, model), bucket(Scope::All, all)]
}

fn left(buckets: &Buckets) -> [i64; 3] {
    [0, 1, 2].map(|place| buckets[place].as_ref().map_or(-1, |bucket| bucket.left(NOW)))
}

/// A prompt of 10 + 32 estimated tokens.
fn ask(tokens: u32, choices: u32) -> Ask {
    Ask { prompt_bytes: 30, tokens, choices, tokens_min: 16 }
}

fn take(buckets: &Buckets, ask: Ask) -> Result<Reservation, Refusal> {
    Reservation::take(buckets.clone(), Arc::default(), ask, NOW)
}

#[test]
fn every_way_to_end_gives_back_what_was_not_used() {
    type Way = fn(&mut Reservation);
    let ways: [(&str, Way, Settled); 8] = [
        ("no worker, or refused before the first token", |_| {}, Settled::default()),
        (
            "answered",
            |r| {
                assert!(r.plan(10));
                r.sent(10);
                r.prompt_was(7);
                r.true_up(10);
            },
            Settled { prompt: 7, completion: 10 },
        ),
        (
            "engine without counts, trued up by its usage",
            |r| {
                assert!(r.plan(1));
                r.sent(1);
                r.prompt_was(7);
                r.true_up(3);
            },
            Settled { prompt: 7, completion: 3 },
        ),
        (
            "client gone while ten tokens were on their way and four had left",
            |r| {
                assert!(r.plan(10));
                r.sent(4);
            },
            Settled { prompt: 42, completion: 4 },
        ),
        ("engine began, nothing sent", |r| assert!(r.plan(0)), Settled { prompt: 42, completion: 0 }),
        ("whole answer that could not be written", |r| r.prompt_was(7), Settled { prompt: 7, completion: 0 }),
        (
            "engine that counts more than was granted",
            |r| {
                assert!(r.plan(100));
                r.sent(100);
                r.prompt_was(50);
                r.true_up(4_000_000_000);
            },
            Settled { prompt: 50, completion: 100 },
        ),
        (
            "worker that lies about the prompt",
            |r| r.prompt_was(u32::MAX),
            Settled { prompt: 30 + 4096, completion: 0 },
        ),
    ];
    for (name, way, expected) in ways {
        for by_drop in [false, true] {
            let buckets = three(10_000, 20_000, 30_000);
            let mut reservation = take(&buckets, ask(100, 1)).unwrap();
            assert_eq!(left(&buckets), [10_000 - 142, 20_000 - 142, 30_000 - 142]);
            way(&mut reservation);
            if !by_drop {
                assert_eq!(reservation.settle(NOW), expected, "{name}");
                assert_eq!(reservation.settle(NOW), expected, "twice is once");
            }
            drop(reservation);
            let used = expected.tokens() as i64;
            assert_eq!(left(&buckets), [10_000 - used, 20_000 - used, 30_000 - used], "{name}");
        }
    }
}

#[test]
fn a_chunk_that_would_pass_the_grant_is_not_planned() {
    let buckets = three(1_000, 1_000, 1_000);
    let mut reservation = take(&buckets, ask(10, 1)).unwrap();
    assert!(reservation.plan(9) && !reservation.is_reached());
    assert!(!reservation.plan(2) && !reservation.plan(u32::MAX));
    assert_eq!(reservation.planned(), 9);
    assert!(reservation.plan(1) && reservation.is_reached());
    assert!(!reservation.plan(1) && reservation.plan(0));
    reservation.sent(50);
    assert_eq!(reservation.settle(NOW).completion, 10, "never more than was planned");
}

#[test]
fn choices_share_evenly_and_the_rest_goes_back() {
    let buckets = three(1_000, 142, 1_000);
    let reservation = take(&buckets, ask(100, 3)).unwrap();
    assert_eq!((reservation.grant(), reservation.is_short()), (99, true));
    assert_eq!(left(&buckets), [859, 1, 859]);
}

#[test]
fn the_last_bucket_that_refuses_gives_the_first_ones_their_tokens_back() {
    let buckets = three(1_000, 1_000, 1_000);
    let held = take(&[None, None, buckets[2].clone()], ask(2_000, 1)).unwrap();
    let refused = take(&buckets, ask(100, 1)).unwrap_err();
    assert_eq!((refused.reason, refused.retry_after_ms), (Reason::TokenLimited, Some(3_480)));
    assert_eq!(left(&buckets), [1_000, 1_000, 0]);
    drop(held);
    assert!(take(&buckets, ask(100, 1)).is_ok());
}

#[test]
fn the_view_after_is_the_view_of_the_settled_buckets() {
    let buckets = three(1_000, 2_000, 3_000);
    let mut reservation = take(&buckets, ask(100, 1)).unwrap();
    assert_eq!(reservation.view_held(NOW).map(|view| view.remaining), Some(858));
    assert!(reservation.plan(20));
    reservation.sent(20);
    reservation.prompt_was(5);
    let before = reservation.view(NOW);
    reservation.settle(NOW);
    assert_eq!((before, before.map(|view| view.remaining)), (reservation.view(NOW), Some(975)));
}

#[test]
fn without_buckets_everything_is_granted_and_booked_all_the_same() {
    let ledgers = super::super::ledger::Ledgers::default();
    let ledger = ledgers.of(&Arc::from("alpha"), &Arc::from("chat"));
    let mut reservation = Reservation::take([None, None, None], ledger, ask(100, 2), NOW).unwrap();
    assert_eq!((reservation.grant(), reservation.is_limited(), reservation.view(NOW)), (200, false, None));
    assert!(reservation.plan(200));
    reservation.sent(150);
    reservation.prompt_was(3);
    reservation.cut();
    drop(reservation);
    let totals = ledgers.totals().remove(0).2;
    assert_eq!((totals.prompt, totals.completion, totals.refunded, totals.cut), (3, 150, 242 - 153, 1));
}
