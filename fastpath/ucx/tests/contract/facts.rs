//! What a session promises, whichever transport carries it.

use crate::world::{client_config, dispatch, id, server_config, summary, World};
use crate::Factory;
use dpu_types::{MonoNs, Reason, RequestId};
use dpu_ucx::{Event, ServerConfig, ServerEvent, StreamGone, WorkerPhase};
use std::time::Duration;

pub fn a_good_key_makes_a_worker_ready<F: Factory>(factory: &F) {
    let world = World::ready(factory);
    let state = world.client.state(0).unwrap();
    assert_eq!((state.worker_id.as_str(), state.engine.as_str(), state.slots), ("w0", "echo", 4));
    assert_eq!(state.models, ["m"]);
    assert!(!state.transport.is_empty());
    assert_eq!(world.client.load(0), Some(0));
    let peers = world.server.as_ref().unwrap().peers();
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].fastpath_id, "test/0");
    assert_eq!(peers[0].transport, state.transport);
    assert_eq!(world.client.counters().handshakes, 1);
}

pub fn a_bad_key_is_refused_and_told_nothing<F: Factory>(factory: &F) {
    let server = ServerConfig { key: b"another key".to_vec(), ..server_config() };
    let mut world = World::new(factory, client_config(), server);
    world.until("refused", |world| world.phase() == WorkerPhase::Refused);
    let state = world.client.state(0).unwrap();
    assert_eq!((state.worker_id.as_str(), state.models.len()), ("", 0));
    assert!(world.client.counters().handshake_failures >= 1);
    let now = world.now();
    assert_eq!(world.client.submit(&dispatch(1, b"{}".to_vec()), now), Err(Reason::NoWorker));
    assert!(world.server_events.is_empty());
    assert!(world.server().peers().is_empty());
}

pub fn a_stream_arrives_in_order_and_ends<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    let stream = world.request(1);
    let Some(ServerEvent::Request { request, .. }) = world.server_events.first().cloned() else { panic!() };
    let sent = dispatch(1, b"{}".to_vec());
    assert_eq!(
        (request.body, request.model, request.arm),
        (sent.body, sent.model.to_string(), sent.arm.to_string())
    );
    assert_eq!(request.trace, crate::world::trace());
    assert_eq!((request.epoch, request.token_budget, request.flags, request.priority), (9, 7, 1, 1));
    assert_eq!((request.tenant_hash, request.receipt_edits, request.deadline_ms), ([5; 16], 2, 5000));
    for word in [b"[1]", b"[2]", b"[3]"] {
        world.server().tokens(stream, 1, word, word == b"[3]").unwrap();
    }
    world.server().end(stream, &summary()).unwrap();
    assert_eq!(world.server().tokens(stream, 1, b"[]", false), Err(StreamGone::PeerLost));
    let tokens = |choices: &'static [u8], finish| Event::Tokens {
        id: id(1),
        token_count: 1,
        choices: choices.into(),
        finish,
    };
    let end = Event::End { id: id(1), summary: summary() };
    assert_eq!(
        world.until_answers(4),
        [tokens(b"[1]", false), tokens(b"[2]", false), tokens(b"[3]", true), end]
    );
    assert!(world.client.idle());
}

pub fn an_answer_arrives_whole<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    let stream = world.request(1);
    world.server().result(stream, &summary(), b"[{}]").unwrap();
    let answer = Event::Result { id: id(1), summary: summary(), choices: b"[{}]".as_slice().into() };
    assert_eq!(world.until_answers(1), [answer]);
}

pub fn a_failure_carries_its_reason<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    let stream = world.request(1);
    world.server().fail(stream, Reason::WorkersBusy, "later", true).unwrap();
    let fail =
        Event::Fail { id: id(1), reason: Reason::WorkersBusy, detail: "later".to_owned(), retry: true };
    assert_eq!(world.until_answers(1), [fail]);
}

pub fn a_cancelled_request_is_confirmed<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    let stream = world.request(1);
    world.server().tokens(stream, 2, b"[]", false).unwrap();
    world.until_answers(1);
    let now = world.now();
    assert!(world.client.cancel(id(1), Reason::ClientGone, now));
    let cancel = ServerEvent::Cancel { stream, reason: Reason::ClientGone };
    world.until("cancelled", |world| world.server_events.contains(&cancel));
    assert_eq!(world.server().tokens(stream, 1, b"[]", false), Err(StreamGone::Cancelled));
    assert_eq!(world.server().end(stream, &summary()), Err(StreamGone::Cancelled));
    let now = world.now();
    world.server().cancelled(stream, 5, now).unwrap();
    let answers = world.until_answers(2);
    let Event::Cancelled { id: ended, tokens_sent: 2, tokens_wasted: 5, .. } = answers[1] else {
        panic!("{answers:?}")
    };
    assert_eq!(ended, id(1));
    assert!(world.client.idle());
    assert!(!world.client.cancel(id(1), Reason::ClientGone, now), "nothing follows for what has ended");
}

pub fn a_cancel_without_confirmation_times_out<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    world.request(1);
    let now = world.now();
    world.client.cancel(id(1), Reason::ClientGone, now);
    let answers = world.until_answers(1);
    let Event::Fail { reason: Reason::WorkerTimeout, retry: false, .. } = answers[0] else {
        panic!("{answers:?}")
    };
    assert!(world.now().since(now) >= 300_000_000);
    assert_eq!(world.client.counters().cancels_timed_out, 1);
}

pub fn an_end_that_crosses_a_cancel_counts_as_cancelled<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    let stream = world.request(1);
    world.server().tokens(stream, 4, b"[]", true).unwrap();
    world.server().end(stream, &summary()).unwrap();
    let now = world.now();
    world.client.cancel(id(1), Reason::ClientGone, now);
    let answers = world.until_answers(1);
    let Event::Cancelled { tokens_sent: 4, tokens_wasted: 0, .. } = answers[0] else { panic!("{answers:?}") };
}

pub fn a_body_of_4_mib_arrives_whole<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    let body: Vec<u8> = (0..4 << 20).map(|at: u32| (at % 251) as u8).collect();
    let now = world.now();
    world.client.submit(&dispatch(1, body.clone()), now).unwrap();
    world.until("requested", |world| world.stream(id(1)).is_some());
    let Some(ServerEvent::Request { stream, request }) = world.server_events.pop() else { panic!() };
    assert!(request.body == body);
    world.server().result(stream, &summary(), &body).unwrap();
    let answers = world.until_answers(1);
    assert!(matches!(&answers[0], Event::Result { choices, .. } if *choices == body));
}

pub fn two_hundred_streams_run_at_once<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    let now = world.now();
    for number in 0..200 {
        world.client.submit(&dispatch(number, vec![number; 900]), now).unwrap();
    }
    assert_eq!(world.client.load(0), Some(200));
    world.until("requested", |world| (0..200).all(|number| world.stream(id(number)).is_some()));
    for round in 0..3 {
        for number in 0..200 {
            let stream = world.stream(id(number)).unwrap();
            world.server().tokens(stream, 1, &[number; 120], round == 2).unwrap();
        }
        world.step();
    }
    for number in 0..200 {
        let stream = world.stream(id(number)).unwrap();
        world.server().end(stream, &summary()).unwrap();
    }
    let answers = world.until_answers(800);
    let ends = answers.iter().filter(|event| matches!(event, Event::End { .. })).count();
    assert_eq!((answers.len(), ends), (800, 200));
    assert!(world.client.idle() && world.server().outstanding() == 0);
}

pub fn a_lost_worker_ends_its_requests<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    let stream = world.request(1);
    world.request(2);
    world.server().tokens(stream, 1, b"[]", false).unwrap();
    world.until_answers(1);
    world.server = None;
    let answers = world.until_answers(3);
    let mut fails: Vec<(RequestId, Reason, bool)> = answers[1..]
        .iter()
        .map(|event| match event {
            Event::Fail { id, reason, retry, .. } => (*id, *reason, *retry),
            other => panic!("{other:?}"),
        })
        .collect();
    fails.sort_by_key(|fail| fail.0 .0);
    assert_eq!(fails, [(id(1), Reason::WorkerLost, false), (id(2), Reason::WorkerLost, true)]);
    assert!(world.client.idle());
    let now = world.now();
    assert_eq!(world.client.submit(&dispatch(3, b"{}".to_vec()), now), Err(Reason::NoWorker));
}

pub fn a_lost_fast_path_ends_its_streams<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    let stream = world.request(1);
    let now = world.now();
    world.client.set_workers(&[], now);
    world.client = dpu_ucx::Client::new(factory.make(), client_config(), crate::world::random());
    let lost = ServerEvent::PeerLost { streams: vec![stream] };
    world.until_server(&lost);
    assert_eq!(world.server().tokens(stream, 1, b"[]", false), Err(StreamGone::PeerLost));
    assert_eq!(world.server().outstanding(), 0);
}

impl<F: Factory> World<F> {
    fn until_server(&mut self, wanted: &ServerEvent) {
        for _ in 0..400_000 {
            let now = self.now();
            let server = self.server.as_mut().unwrap();
            if server.poll(now, &mut self.server_events) == 0 {
                std::thread::sleep(Duration::from_micros(50));
            }
            if self.server_events.contains(wanted) {
                return;
            }
        }
        panic!("never {wanted:?}");
    }
}

pub fn a_worker_that_comes_back_is_found_again<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    world.server = None;
    world.until("lost", |world| world.phase() != WorkerPhase::Ready);
    let mut server = dpu_ucx::Server::new(factory.make(), server_config(), crate::world::random());
    assert_eq!(server.listen(world.address).unwrap(), world.address);
    world.server = Some(server);
    world.until("ready again", |world| world.phase() == WorkerPhase::Ready);
    let stream = world.request(1);
    world.server().result(stream, &summary(), b"[]").unwrap();
    world.until_answers(1);
    assert!(world.client.counters().reconnects >= 1);
}

pub fn a_full_send_queue_refuses_and_recovers<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    let now = world.now();
    let body = vec![7; 4 << 20];
    let mut refused = None;
    let mut taken = 0;
    for number in 0..40 {
        match world.client.submit(&dispatch(number, body.clone()), now) {
            Ok(()) => taken += 1,
            Err(reason) => {
                refused = Some(reason);
                break;
            }
        }
    }
    assert_eq!(refused, Some(Reason::SendQueueFull));
    assert!(world.client.counters().send_queue_full >= 1);
    assert_eq!(world.client.load(0), Some(taken));
    world.until("all there", |world| (0..taken as u8).all(|number| world.stream(id(number)).is_some()));
    world.request(99);
}

pub fn a_body_that_does_not_match_its_receipt_is_refused<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    let mut lie = dispatch(1, b"{}".to_vec());
    lie.receipt_sha256[0] ^= 1;
    let now = world.now();
    world.client.submit(&lie, now).unwrap();
    let answers = world.until_answers(1);
    let Event::Fail { reason: Reason::WorkerRefused, retry: true, .. } = answers[0] else {
        panic!("{answers:?}")
    };
    assert!(world.server_events.is_empty());
    assert_eq!(world.server().counters().receipts_refused, 1);
}

pub fn a_draining_worker_takes_nothing_new<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    let stream = world.request(1);
    world.server().drain();
    // It crosses the DRAIN.
    let now = world.now();
    world.client.submit(&dispatch(2, b"{}".to_vec()), now).unwrap();
    world.until("draining", |world| world.phase() == WorkerPhase::Draining);
    let now = world.now();
    assert_eq!(world.client.submit(&dispatch(3, b"{}".to_vec()), now), Err(Reason::NoWorker));
    world.server().result(stream, &summary(), b"[]").unwrap();
    let answers = world.until_answers(2);
    let refused = |event: &Event| matches!(event, Event::Fail { reason: Reason::Draining, retry: true, .. });
    let answered = |event: &Event| matches!(event, Event::Result { .. });
    assert!(answers.iter().any(refused) && answers.iter().any(answered));
}

pub fn an_unlisted_worker_finishes_its_requests_first<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    let stream = world.request(1);
    let now = world.now();
    world.client.set_workers(&[], now);
    assert!(world.client.state(0).is_none());
    world.server().result(stream, &summary(), b"[]").unwrap();
    world.until_answers(1);
    world.until("closed", |world| world.server.as_ref().unwrap().peers().is_empty());
}

pub fn load_is_told<F: Factory>(factory: &F) {
    let mut world = World::ready(factory);
    world.server().load(3, 2, 1000);
    world.until("told", |world| {
        let state = world.client.state(0).unwrap();
        (state.running, state.queued) == (3, 2)
    });
    assert!(world.events.contains(&Event::WorkerChanged { worker: 0 }));
    assert!(world.client.next_timer() > Some(MonoNs(0)));
}
