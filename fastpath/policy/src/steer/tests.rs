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

#[test]
fn the_least_loaded_usable_worker_is_chosen_and_ties_rotate_with_the_bucket() {
    type Loads = [Option<u64>; 3];
    let table: [(&[usize], u16, Loads, Option<usize>); 8] = [
        (&[0, 1, 2], 0, [Some(1), Some(1), Some(1)], Some(0)),
        (&[0, 1, 2], 1, [Some(1), Some(1), Some(1)], Some(1)),
        (&[0, 1, 2], 5, [Some(1), Some(1), Some(1)], Some(2)),
        (&[0, 1, 2], 2, [Some(0), Some(0), Some(9)], Some(0)),
        (&[0, 1, 2], 0, [Some(5), Some(3), Some(4)], Some(1)),
        (&[0, 2], 0, [None, Some(0), Some(9)], Some(2)),
        (&[0, 1], 7, [None, None, Some(0)], None),
        (&[], 7, [Some(0), Some(0), Some(0)], None),
    ];
    for (workers, bucket, loads, expected) in table {
        assert_eq!(
            choose_worker(workers, bucket, |worker| loads[worker]),
            expected,
            "{workers:?} {bucket} {loads:?}"
        );
    }
}
