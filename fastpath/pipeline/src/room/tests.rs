#![allow(clippy::unwrap_used)]
//! Places that are handed over: who gets them, on which core, and that none is lost.

use super::*;
use crate::health::HealthRules;
use crate::placement::Avoid;
use crate::programmed::Programmed;
use crate::worker::Told;
use dpu_policy::LimitState;
use dpu_types::plan;
use prost::Message;
use std::sync::atomic::AtomicU32;
use std::task::Wake;
use std::thread;

const RULES: QueueRules = QueueRules {
    requests_max: 100,
    requests_max_per_tenant: 100,
    bytes_max: 1_000,
    wait_max_ms: 1_000,
    passes_max: 3,
};

/// Two workers of one slot: w0 and w1, ready on cores 0 and 1.
fn programmed() -> Arc<Programmed> {
    let key = std::env::temp_dir().join(format!(
        "dpu-room-{}-{:?}.key",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&key, [7; 32]).unwrap();
    let worker = |name: &str, port: u16| plan::Worker {
        name: name.into(),
        address: format!("127.0.0.1:{port}"),
        stream_window_bytes: 256 * 1024,
        ..plan::Worker::default()
    };
    let plan = plan::Plan {
        epoch: 1,
        workers: vec![worker("w0", 1), worker("w1", 2)],
        worker_key_file: key.to_string_lossy().into_owned(),
        ..plan::Plan::default()
    };
    let built = Programmed::build_for(1, &plan.encode_to_vec(), &LimitState::new(), None);
    std::fs::remove_file(&key).unwrap();
    let programmed = built.map_err(|problems| format!("{problems:?}")).unwrap().remove(0);
    for worker in &programmed.workers {
        for core in [0, 1] {
            worker.ledger.tell(core, &ready(true), false, &programmed.steering.health, MonoNs(0));
        }
    }
    programmed
}

fn ready(ready: bool) -> Told<'static> {
    Told { ready, lost: false, slots: 1, models: &[], requests: 0, free_kv_tokens: 0 }
}

fn who(tenant: u8) -> Who {
    Who { priority: 0, tenant: [tenant; 16], weight: 1, pool: 0 }
}

fn search(plan: &Arc<Programmed>, core: usize) -> Search {
    Search::for_test(core, plan, &[0, 1], Avoid::default())
}

fn join(plan: &Arc<Programmed>, core: usize, who: Who) -> Seat {
    plan.steering.room.join(&RULES, who, 1, search(plan, core), MonoNs(0)).map_err(|r| r.reason).unwrap()
}

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll(seat: &Seat, woken: &Arc<Woken>) -> Option<Chosen> {
    let waker = Waker::from(Arc::clone(woken));
    match seat.poll(&Context::from_waker(&waker)) {
        Poll::Ready(chosen) => Some(chosen),
        Poll::Pending => None,
    }
}

#[test]
fn who_comes_while_there_is_room_gets_it_at_once_and_the_next_one_waits_for_it() {
    let (plan, woken) = (programmed(), Arc::<Woken>::default());
    let seats: Vec<Seat> = (0..4).map(|index| join(&plan, index % 2, who(1))).collect();
    let first = poll(&seats[0], &woken).unwrap();
    let second = poll(&seats[1], &woken).unwrap();
    assert_ne!(first.worker, second.worker);
    assert!(poll(&seats[2], &woken).is_none() && poll(&seats[3], &woken).is_none());
    assert_eq!(plan.steering.room.view().depths.values().sum::<usize>(), 2);
    let freed = second.worker;
    drop(second);
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    let third = poll(&seats[2], &woken).unwrap();
    assert_eq!(third.worker, freed);
    assert!(poll(&seats[3], &woken).is_none());
    drop(first);
    assert_eq!(woken.0.load(Ordering::SeqCst), 2);
    assert!(poll(&seats[3], &woken).is_some());
}

#[test]
fn a_place_that_was_given_to_one_who_left_goes_to_the_next() {
    let (plan, woken) = (programmed(), Arc::<Woken>::default());
    let seats: Vec<Seat> = (0..3).map(|_| join(&plan, 0, who(1))).collect();
    let [first, second, third] = <[Seat; 3]>::try_from(seats).map_err(|_| ()).unwrap();
    let held = poll(&second, &woken).unwrap();
    assert!(poll(&third, &woken).is_none());
    drop(first);
    assert!(poll(&third, &woken).is_some(), "the first never looked at its place");
    drop(held);
}

#[test]
fn who_leaves_makes_room_in_the_queue_and_is_counted_by_why() {
    let plan = programmed();
    let mut seats: Vec<Seat> = (0..4).map(|_| join(&plan, 0, who(1))).collect();
    let refused = seats.pop().unwrap().give_up().map(|_| ()).unwrap_err();
    assert_eq!((refused.reason, refused.retry_after_ms.is_some()), (Reason::QueueTimeout, true));
    drop(seats.pop());
    let view = plan.steering.room.view();
    assert_eq!(view.depths.values().sum::<usize>(), 0);
    assert_eq!((view.refusals.timeout, view.refusals.left), (1, 1));
}

#[test]
fn a_full_queue_refuses_with_a_time_and_is_counted() {
    let plan = programmed();
    let _working: Vec<Seat> = (0..2).map(|_| join(&plan, 0, who(1))).collect();
    let rules = QueueRules { requests_max: 2, requests_max_per_tenant: 1, ..RULES };
    let room = &plan.steering.room;
    let ask = |tenant| room.join(&rules, who(tenant), 1, search(&plan, 0), MonoNs(0));
    let _waiting = ask(1).map_err(|refusal| refusal.reason).unwrap();
    assert_eq!(ask(1).map(|_| ()).unwrap_err().reason, Reason::QueueFullTenant);
    let _other = ask(2).map_err(|refusal| refusal.reason).unwrap();
    let full = ask(3).map(|_| ()).unwrap_err();
    assert_eq!((full.reason, full.retry_after_ms), (Reason::QueueFull, Some(1_000)));
    let refusals = room.view().refusals;
    assert_eq!((refusals.full, refusals.full_tenant), (1, 1));
}

#[test]
fn retry_after_follows_the_pace_at_which_places_become_free() {
    let plan = programmed();
    let room = &plan.steering.room;
    let mut held: Vec<Chosen> = [0, 1].map(|index| search(&plan, index).take(MonoNs(0)).unwrap()).into();
    let mut seats: Vec<Seat> = (0..8).map(|_| join(&plan, 0, who(1))).collect();
    for second in 1..=4_u64 {
        // Taken back without the room's own look, which would use the real clock.
        let place = held.remove(0);
        plan.workers[place.worker].ledger.tell(0, &ready(false), false, &plan.steering.health, MonoNs(0));
        drop(place);
        plan.workers.iter().for_each(|worker| {
            worker.ledger.tell(0, &ready(true), false, &plan.steering.health, MonoNs(0));
        });
        room.pump(MonoNs(second * 2_000_000_000));
        let woken = Arc::<Woken>::default();
        held.extend(seats.iter().find_map(|seat| poll(seat, &woken)));
    }
    let refused = seats.pop().unwrap().give_up().map(|_| ()).unwrap_err();
    // One place each two seconds, three still wait, and one comes after them.
    assert_eq!(refused.retry_after_ms, Some(2_000 * 4));
}

#[test]
fn a_place_goes_only_to_a_core_that_is_connected_to_the_worker() {
    let (plan, woken) = (programmed(), Arc::<Woken>::default());
    for worker in &plan.workers {
        worker.ledger.tell(1, &ready(false), false, &plan.steering.health, MonoNs(0));
    }
    let (away, here) = (join(&plan, 1, Who { pool: 1, ..who(1) }), join(&plan, 0, who(2)));
    assert!(poll(&here, &woken).is_some());
    assert!(poll(&away, &woken).is_none());
    plan.workers[1].ledger.tell(1, &ready(true), false, &HealthRules { ..plan.steering.health }, MonoNs(0));
    plan.steering.room.freed();
    assert_eq!(poll(&away, &woken).unwrap().worker, 1);
}

#[test]
fn no_place_is_lost_between_threads_that_come_and_go() {
    const ROUNDS: usize = 400;
    let plan = programmed();
    let served = AtomicU32::new(0);
    thread::scope(|scope| {
        for core in 0..4_usize {
            let (plan, served) = (&plan, &served);
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    // As a request does: directly where there is room and nobody waits, else by the queue.
                    let direct = (!plan.steering.room.is_waiting())
                        .then(|| search(plan, core % 2).take(clock::now()))
                        .flatten();
                    let chosen = direct.unwrap_or_else(|| wait(&join(plan, core % 2, who(core as u8))));
                    assert!(plan.workers[chosen.worker].ledger.outstanding().0 <= 1);
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(served.load(Ordering::SeqCst) as usize, 4 * ROUNDS);
    assert!(!plan.steering.room.is_waiting());
    assert!(plan.workers.iter().all(|worker| worker.ledger.outstanding() == (0, 0)));
}

/// Parks until the place comes: a lost one hangs the test.
fn wait(seat: &Seat) -> Chosen {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(chosen) = seat.poll(&Context::from_waker(&waker)) {
            return chosen;
        }
        thread::park();
    }
}
