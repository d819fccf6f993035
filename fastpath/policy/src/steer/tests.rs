#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Facts about buckets and the choice of a worker.

use super::*;

#[test]
fn buckets_are_the_ones_that_other_languages_compute() {
    // python3: xxhash.xxh64_intdigest(tenant + b"\0" + key) % 10_000
    let table: [(&str, &[u8], u16); 4] = [
        ("alpha", b"", 480),
        ("alpha", b"conversation-1", 9191),
        ("beta", b"conversation-1", 315),
        ("alpha", &[0xff; 100], 8030),
    ];
    for (tenant, key, bucket) in table {
        assert_eq!(bucket_of(tenant, key), bucket, "{tenant} {key:?}");
    }
}

#[test]
fn conversations_spread_evenly_over_the_buckets() {
    const CONVERSATIONS: usize = 100_000;
    let low = (0..CONVERSATIONS).filter(|i| bucket_of("alpha", i.to_string().as_bytes()) < 1_000).count();
    // 10 % expected; five standard deviations are 474.
    assert!(low.abs_diff(CONVERSATIONS / 10) < 474, "{low}");
}

fn idle(tokens: u64) -> Option<Candidate> {
    Some(Candidate { tokens, tight: false, probe: false })
}

#[test]
fn the_fewest_tokens_win_and_ties_rotate_with_the_turn() {
    type Loads = [Option<u64>; 3];
    type Expected = Option<(usize, Why)>;
    let cold = Warmth { worker: None, lead_tokens_max: 0 };
    let table: [(&[usize], usize, Loads, Expected); 8] = [
        (&[0, 1, 2], 0, [Some(1), Some(1), Some(1)], Some((0, Why::Least))),
        (&[0, 1, 2], 1, [Some(1), Some(1), Some(1)], Some((1, Why::Least))),
        (&[0, 1, 2], 5, [Some(1), Some(1), Some(1)], Some((2, Why::Least))),
        (&[0, 1, 2], 2, [Some(0), Some(0), Some(9)], Some((0, Why::Least))),
        (&[0, 1, 2], 0, [Some(5), Some(3), Some(4)], Some((1, Why::Least))),
        (&[0, 2], 0, [None, Some(0), Some(9)], Some((2, Why::Only))),
        (&[0, 1], 7, [None, None, Some(0)], None),
        (&[], 7, [Some(0), Some(0), Some(0)], None),
    ];
    for (workers, turn, loads, expected) in table {
        let chosen = choose(workers, turn, cold, |worker| loads[worker].and_then(idle));
        assert_eq!(chosen, expected, "{workers:?} {turn} {loads:?}");
    }
}

#[test]
fn a_warm_worker_is_taken_while_its_lead_is_small() {
    let table = [
        (Some(1), [100, 100, 100], (1, Why::Warm)),
        (Some(1), [0, 50, 10], (1, Why::Warm)),
        (Some(1), [0, 51, 10], (0, Why::Least)),
        (Some(2), [9, 9, 0], (2, Why::Warm)),
        (Some(7), [9, 3, 4], (1, Why::Least)),
        (None, [9, 3, 4], (1, Why::Least)),
    ];
    for (worker, loads, expected) in table {
        let warmth = Warmth { worker, lead_tokens_max: 50 };
        assert_eq!(choose(&[0, 1, 2], 0, warmth, |worker| idle(loads[worker])), Some(expected), "{loads:?}");
    }
}

#[test]
fn a_worker_without_room_in_its_cache_comes_last_and_is_never_taken_for_being_warm() {
    let look = |worker: usize| Some(Candidate { tokens: 1, tight: worker == 0, probe: false });
    let warm = Warmth { worker: Some(0), lead_tokens_max: 1_000 };
    assert_eq!(choose(&[0, 1], 0, warm, look), Some((1, Why::Least)));
    let all = |_| Some(Candidate { tokens: 1, tight: true, probe: false });
    assert_eq!(choose(&[0, 1], 1, warm, all), Some((0, Why::Warm)));
}

#[test]
fn a_worker_that_needs_a_probe_gets_the_next_request() {
    let look = |worker: usize| Some(Candidate { tokens: worker as u64, tight: false, probe: worker == 2 });
    let warm = Warmth { worker: Some(0), lead_tokens_max: 1_000 };
    assert_eq!(choose(&[0, 1, 2], 0, warm, look), Some((2, Why::Probe)));
}
