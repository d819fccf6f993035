//! The life of a breaker and of a slow start, as tables of what happens and what follows.

use super::*;

/// When it may be tried again.
fn open_until(health: &Health) -> Option<MonoNs> {
    match health.gate().trust(&RULES, MonoNs(0)) {
        Trust::Rest(until) => until,
        Trust::Share(_) | Trust::Probe => None,
    }
}

const RULES: HealthRules = HealthRules {
    failures: 3,
    ratio_percent: 50,
    requests_min: 6,
    window_ms: 1_000,
    open_min_ms: 100,
    open_max_ms: 350,
    slow_start_ms: 1_000,
};

/// Milliseconds as a time.
const fn at(ms: u64) -> MonoNs {
    MonoNs(ms * 1_000_000)
}

enum Step {
    Answered,
    Failed,
    Lost,
    Probe(bool),
    ProbeAnswered,
    ProbeFailed,
    ProbeSilent,
}
use Step::*;

fn play(steps: &[(u64, Step)]) -> Health {
    let mut health = Health::default();
    for (ms, step) in steps {
        let now = at(*ms);
        match step {
            Answered => health.ended(Verdict::Answered, false, &RULES, now),
            Failed => health.ended(Verdict::Failed, false, &RULES, now),
            Lost => health.lost(&RULES, now),
            Probe(expected) => assert_eq!(health.try_probe(now), *expected, "probe at {ms}"),
            ProbeAnswered => health.ended(Verdict::Answered, true, &RULES, now),
            ProbeFailed => health.ended(Verdict::Failed, true, &RULES, now),
            ProbeSilent => health.ended(Verdict::Silent, true, &RULES, now),
        }
    }
    health
}

fn opened() -> Vec<(u64, Step)> {
    vec![(0, Failed), (1, Failed), (2, Failed)]
}

#[test]
fn failures_in_a_row_open_it_and_an_answer_between_starts_again() {
    assert_eq!(play(&opened()).gate().trust(&RULES, at(50)), Trust::Rest(Some(at(102))));
    let interrupted = play(&[(0, Failed), (1, Failed), (2, Answered), (3, Failed), (4, Failed)]);
    assert_eq!(interrupted.gate().trust(&RULES, at(5)), Trust::Share(100));
    assert!(interrupted.is_watching());
}

#[test]
fn a_share_of_a_window_opens_it_once_there_are_requests_enough() {
    let half = [(0, Failed), (1, Answered), (2, Failed), (3, Answered), (4, Answered), (5, Failed)];
    assert_eq!(play(&half).circuit_name(at(6)), "open");
    assert_eq!(play(&half[..5]).circuit_name(at(6)), "closed", "five requests say nothing");
    let later = [(0, Failed), (1, Answered), (2, Failed), (3, Answered), (4, Answered), (1_005, Failed)];
    assert_eq!(play(&later).circuit_name(at(1_006)), "closed", "a new window");
}

#[test]
fn a_window_that_passed_without_opening_is_forgotten_by_the_next_answer() {
    let quiet = play(&[(0, Failed), (1_500, Answered)]);
    assert!(!quiet.is_watching());
}

#[test]
fn one_probe_is_given_when_the_time_is_over_and_its_answer_closes_with_a_slow_start() {
    let mut steps = opened();
    steps.extend([(101, Probe(false)), (102, Probe(true)), (103, Probe(false))]);
    let probing = play(&steps);
    assert_eq!(
        (probing.gate().trust(&RULES, at(104)), probing.circuit_name(at(104))),
        (Trust::Rest(None), "half_open")
    );
    steps = opened();
    steps.extend([(102, Probe(true)), (110, ProbeAnswered)]);
    let back = play(&steps);
    assert_eq!(back.circuit_name(at(110)), "closed");
    let shares = [(110, 10), (310, 20), (610, 50), (1_110, 100), (9_999, 100)];
    for (ms, share) in shares {
        assert_eq!(back.gate().trust(&RULES, at(ms)), Trust::Share(share), "{ms}");
    }
}

#[test]
fn each_failed_probe_doubles_the_time_up_to_its_bound_and_two_answers_bring_it_back() {
    let mut health = play(&opened());
    let mut now = 2;
    for open_ms in [100, 200, 350, 350] {
        assert_eq!(open_until(&health), Some(at(now + open_ms)));
        now += open_ms;
        assert!(health.try_probe(at(now)));
        health.ended(Verdict::Failed, true, &RULES, at(now));
    }
    now += 350;
    assert!(health.try_probe(at(now)));
    health.ended(Verdict::Answered, true, &RULES, at(now));
    health.ended(Verdict::Answered, false, &RULES, at(now));
    (0..3).for_each(|_| health.ended(Verdict::Failed, false, &RULES, at(now)));
    assert_eq!(open_until(&health), Some(at(now + 100)));
    assert_eq!(health.totals().0, 6);
}

#[test]
fn a_probe_that_says_nothing_lets_the_next_request_be_the_probe() {
    let mut steps = opened();
    steps.extend([(102, Probe(true)), (103, ProbeSilent), (103, Probe(true)), (104, ProbeAnswered)]);
    assert_eq!(play(&steps).circuit_name(at(105)), "closed");
}

#[test]
fn what_began_before_it_opened_neither_closes_nor_prolongs_it() {
    let mut steps = opened();
    steps.extend([(50, Answered), (60, Failed)]);
    assert_eq!(open_until(&play(&steps)), Some(at(102)));
    steps.extend([(102, Probe(true)), (103, Answered), (104, Failed)]);
    assert_eq!(play(&steps).gate().trust(&RULES, at(105)), Trust::Rest(None));
}

#[test]
fn a_lost_connection_is_one_failure_and_ends_a_probe() {
    assert_eq!(play(&[(0, Lost), (1, Lost)]).circuit_name(at(2)), "closed");
    assert_eq!(play(&[(0, Lost), (1, Lost), (2, Lost)]).circuit_name(at(3)), "open");
    let mut steps = opened();
    steps.extend([(102, Probe(true)), (110, Lost), (120, ProbeFailed)]);
    assert_eq!(open_until(&play(&steps)), Some(at(310)));
}

#[test]
fn a_worker_that_comes_to_others_starts_slowly_and_a_first_one_does_not() {
    let mut health = Health::default();
    health.connected(at(0), false);
    assert_eq!(health.gate().trust(&RULES, at(0)), Trust::Share(100));
    health.connected(at(1_000), true);
    assert_eq!(health.gate().trust(&RULES, at(1_500)), Trust::Share(50));
    let off = HealthRules { slow_start_ms: 0, ..RULES };
    assert_eq!(health.gate().trust(&off, at(1_000)), Trust::Share(100));
}

#[test]
fn only_what_the_worker_caused_is_a_failure() {
    let table = [
        (Reason::None, Verdict::Answered),
        (Reason::WorkerFailed, Verdict::Failed),
        (Reason::WorkerTimeout, Verdict::Failed),
        (Reason::FrameMalformed, Verdict::Failed),
        (Reason::WorkerLost, Verdict::Silent),
        (Reason::WorkersBusy, Verdict::Silent),
        (Reason::SendQueueFull, Verdict::Silent),
        (Reason::FieldValue, Verdict::Silent),
        (Reason::ClientGone, Verdict::Silent),
        (Reason::ClientTooSlow, Verdict::Silent),
        (Reason::DrainCut, Verdict::Silent),
        (Reason::Internal, Verdict::Silent),
    ];
    for (reason, verdict) in table {
        assert_eq!(Verdict::of(reason), verdict, "{reason:?}");
    }
}
