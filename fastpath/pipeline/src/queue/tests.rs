#![allow(clippy::unwrap_used)]
//! The order of the queue is a fact: tables of who came and who is served.

use super::*;

const RULES: QueueRules = QueueRules {
    requests_max: 100,
    requests_max_per_tenant: 50,
    bytes_max: 1_000,
    wait_max_ms: 1_000,
    passes_max: 3,
};

/// A tenant by its letter: upper case has priority 5.
fn who(letter: char) -> Who {
    let priority = if letter.is_uppercase() { 5 } else { 0 };
    Who { priority, tenant: [letter as u8; 16], weight: 1, pool: 0 }
}

fn fill(queue: &mut FairQueue<char>, arrivals: &str) -> Vec<Place> {
    arrivals.chars().map(|c| queue.push(&RULES, who(c), 1, MonoNs(0), c).unwrap()).collect()
}

/// Selects and takes.
fn next<T>(queue: &mut FairQueue<T>, passes_max: u32, fits: impl FnMut(&T) -> bool) -> Option<Left<T>> {
    let selected = queue.select(passes_max, fits)?;
    assert!(queue.peek(&selected).is_some());
    queue.take(&selected)
}

fn served(queue: &mut FairQueue<char>) -> String {
    std::iter::from_fn(|| next(queue, RULES.passes_max, |_| true).map(|left| left.item)).collect()
}

#[test]
fn tenants_take_turns_however_much_one_of_them_sends() {
    let table = [
        ("aaaaaaaaaabb", "ababaaaaaaaa"),
        ("abc", "abc"),
        ("cba", "cba"),
        ("aaabbbccc", "abcabcabc"),
        ("aaaa", "aaaa"),
        ("", ""),
    ];
    for (arrivals, expected) in table {
        let mut queue = FairQueue::default();
        fill(&mut queue, arrivals);
        assert_eq!(served(&mut queue), expected, "{arrivals}");
        assert_eq!((queue.len(), queue.bytes), (0, 0));
    }
}

#[test]
fn a_tenant_that_asks_one_at_a_time_gains_nothing() {
    let mut queue = FairQueue::default();
    fill(&mut queue, "aaaaab");
    let mut order = String::new();
    for _ in 0..6 {
        let next = next(&mut queue, 3, |_| true).unwrap().item;
        order.push(next);
        if next == 'b' {
            fill(&mut queue, "b");
        }
    }
    assert_eq!(order, "ababab");
}

#[test]
fn weights_share_the_turns() {
    let mut queue = FairQueue::default();
    for letter in "aaaaaabbb".chars() {
        let weight = if letter == 'a' { 2 } else { 1 };
        queue.push(&RULES, Who { weight, ..who(letter) }, 1, MonoNs(0), letter).unwrap();
    }
    let order = served(&mut queue);
    assert_eq!(order[..6].matches('a').count(), 4, "{order}");
    assert_eq!(order, "abaabaaba");
}

#[test]
fn a_higher_priority_goes_first_and_a_passed_over_one_is_not_starved() {
    let mut queue = FairQueue::default();
    fill(&mut queue, "aaAAAAAAAA");
    assert_eq!(served(&mut queue), "AAAaAAAaAA");
}

#[test]
fn with_many_priorities_waiting_each_gets_its_place() {
    let mut queue = FairQueue::default();
    for round in 0..12 {
        for priority in 0..4 {
            let at = Who { priority, tenant: [priority; 16], ..who('a') };
            queue.push(&RULES, at, 0, MonoNs(round), char::from(b'0' + priority)).unwrap();
        }
    }
    let order: Vec<char> =
        (0..35).filter_map(|_| next(&mut queue, 3, |_| true)).map(|left| left.item).collect();
    for class in '0'..='3' {
        let at: Vec<_> = order.iter().enumerate().filter(|(_, c)| **c == class).map(|(i, _)| i).collect();
        let gaps = at.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(gaps.is_some_and(|gap| gap <= 3 + 4) && at[0] <= 3 + 4, "{class}: {order:?}");
    }
}

#[test]
fn what_does_not_fit_is_passed_by_and_keeps_its_place() {
    let mut queue = FairQueue::default();
    for (letter, pool) in [('a', 1), ('a', 2), ('b', 2), ('a', 1)] {
        queue.push(&RULES, Who { pool, ..who(letter) }, 1, MonoNs(0), (letter, pool)).unwrap();
    }
    let mut asked = 0;
    let mut next = |queue: &mut FairQueue<(char, u64)>, wanted: u64| {
        next(queue, 3, |(_, pool)| {
            asked += 1;
            *pool == wanted
        })
    };
    assert_eq!(next(&mut queue, 2).unwrap().item, ('a', 2));
    assert_eq!(next(&mut queue, 2).unwrap().item, ('b', 2));
    assert!(next(&mut queue, 2).is_none());
    assert_eq!(next(&mut queue, 1).unwrap().item, ('a', 1));
    assert_eq!(asked, 6, "once a pool");
    assert_eq!(queue.len(), 1);
}

#[test]
fn every_bound_refuses_the_first_entry_beyond_it() {
    let rules = QueueRules { requests_max: 3, requests_max_per_tenant: 2, ..RULES };
    let mut queue = FairQueue::default();
    let mut push = |letter, bytes| queue.push(&rules, who(letter), bytes, MonoNs(0), letter).map(|_| ());
    let table = [
        ('a', 1, Ok(())),
        ('a', 1, Ok(())),
        ('a', 1, Err(Full::Tenant)),
        ('b', 999, Err(Full::Queue)),
        ('b', 998, Ok(())),
        ('c', 0, Err(Full::Queue)),
    ];
    for (letter, bytes, expected) in table {
        assert_eq!(push(letter, bytes), expected, "{letter} {bytes}");
    }
}

#[test]
fn a_tenants_bound_counts_what_waits_under_an_older_priority() {
    let rules = QueueRules { requests_max_per_tenant: 1, ..RULES };
    let mut queue = FairQueue::default();
    queue.push(&rules, who('a'), 1, MonoNs(0), 1).unwrap();
    let raised = Who { priority: 9, ..who('a') };
    assert_eq!(queue.push(&rules, raised, 1, MonoNs(0), 2), Err(Full::Tenant));
}

#[test]
fn who_leaves_is_gone_at_once_and_only_once() {
    let mut queue = FairQueue::default();
    let places = fill(&mut queue, "aabB");
    assert_eq!(queue.depths().collect::<Vec<_>>(), [(0, 3), (5, 1)]);
    assert_eq!(queue.remove(places[0]).unwrap().item, 'a');
    assert_eq!(queue.remove(places[3]).unwrap().priority, 5);
    assert!(queue.remove(places[0]).is_none() && queue.remove(places[3]).is_none());
    assert_eq!(queue.depths().collect::<Vec<_>>(), [(0, 2)]);
    assert_eq!(served(&mut queue), "ab");
    assert_eq!((queue.len(), queue.bytes), (0, 0));
}

#[test]
fn when_an_entry_came_is_told_when_it_leaves() {
    let mut queue = FairQueue::default();
    queue.push(&RULES, who('a'), 0, MonoNs(7), ()).unwrap();
    assert_eq!(next(&mut queue, 1, |()| true).unwrap().since, MonoNs(7));
}
