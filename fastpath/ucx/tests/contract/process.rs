//! A peer in a process of its own, killed or stopped: what only the kernel can do to it.

use crate::world::{client_config, dispatch, id, random, server_config, World};
use crate::{Factory, Ucx};
use dpu_types::{MonoNs, Reason};
use dpu_ucx::{Client, ClientConfig, Event, Server, ServerConfig, ServerEvent, TransportKind, WorkerPhase};
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CHILD_ADDRESS: &str = "DPU_TEST_CHILD_ADDRESS";
const CHILD_KIND: &str = "DPU_TEST_CHILD_KIND";

/// The product's time to notice that a worker is gone, and the machine's to get round to it.
const NOTICED_MAX: Duration = Duration::from_secs(2);

fn child_factory() -> Option<Ucx> {
    let address = std::env::var(CHILD_ADDRESS).ok()?.parse().unwrap();
    Some(Ucx(std::env::var(CHILD_KIND).unwrap().parse().unwrap(), address))
}

/// Not a test: the worker of the tests below. It sends one token for each request and then nothing.
#[test]
#[ignore = "runs as a child of the other tests"]
fn child_worker() {
    let Some(factory) = child_factory() else { return };
    let mut server = Server::new(factory.make(), server_config(), random());
    println!("listening {}", server.listen(factory.address()).unwrap());
    let (clock, mut events) = (Instant::now(), Vec::new());
    while clock.elapsed() < Duration::from_secs(60) {
        server.poll(MonoNs(clock.elapsed().as_nanos() as u64), &mut events);
        for event in events.drain(..) {
            if let ServerEvent::Request { stream, .. } = event {
                // Its fast path may be gone by now.
                let _ = server.tokens(stream, 1, b"[]", false);
            }
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Not a test: the fast path of the tests below. It asks for one answer and then stops reading.
#[test]
#[ignore = "runs as a child of the other tests"]
fn child_fastpath() {
    let Some(factory) = child_factory() else { return };
    let mut client = Client::new(factory.make(), client_config(), random());
    let (clock, mut events) = (Instant::now(), Vec::new());
    client.set_workers(&[("w0".to_owned(), factory.address())], MonoNs(0));
    let mut asked = false;
    while clock.elapsed() < Duration::from_secs(60) {
        let now = MonoNs(clock.elapsed().as_nanos() as u64);
        client.poll(now, &mut events);
        if !asked && client.submit(&dispatch(1, b"{}".to_vec()), now).is_ok() {
            asked = true;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A child that dies with its test.
struct Process(Child);

impl Process {
    fn start(role: &str, kind: TransportKind, address: SocketAddr) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", role, "--ignored", "--nocapture", "--test-threads=1"]);
        // Segments without a name: nothing of a killed child stays in /dev/shm.
        command.env("UCX_POSIX_USE_PROC_LINK", "y");
        command.env(CHILD_ADDRESS, address.to_string()).env(CHILD_KIND, kind.name());
        Self(command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap())
    }

    fn worker(kind: TransportKind, address: SocketAddr) -> (Self, SocketAddr) {
        let mut process = Self::start("process::child_worker", kind, address);
        let lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
        let mut words = lines.map_while(Result::ok);
        let line = words.find_map(|line| line.split_once("listening ").map(|(_, rest)| rest.to_owned()));
        (process, line.unwrap().trim().parse().unwrap())
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn world_of(kind: TransportKind) -> (World<Ucx>, Process) {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let (process, address) = Process::worker(kind, any);
    let config = ClientConfig { peer_timeout_ms: 1000, ..client_config() };
    let mut world = World::new(&Ucx(kind, any), config, server_config());
    world.server = None;
    world.address = address;
    world.client.set_workers(&[("w0".to_owned(), address)], MonoNs(0));
    world.until("ready", |world| world.phase() == WorkerPhase::Ready);
    (world, process)
}

/// One stream that has begun, and large bodies of which some cannot be delivered any more.
fn load_up(world: &mut World<Ucx>, before: impl FnOnce()) {
    let now = world.now();
    world.client.submit(&dispatch(1, b"{}".to_vec()), now).unwrap();
    world.until_answers(1);
    before();
    for number in 2..5 {
        let now = world.now();
        world.client.submit(&dispatch(number, vec![1; 4 << 20]), now).unwrap();
        world.step();
    }
}

/// All four end by `WorkerLost`, in time; those for which nothing had come may be tried elsewhere.
fn assert_all_failed(world: &mut World<Ucx>) {
    let start = Instant::now();
    world.until("all failed", |world| world.client.idle());
    assert!(start.elapsed() < NOTICED_MAX, "noticed after {:?}", start.elapsed());
    let (mut begun, mut failed) = (HashSet::new(), HashSet::new());
    for event in world.answers() {
        match event {
            Event::Tokens { id, .. } => assert!(begun.insert(id)),
            Event::Fail { id, reason: Reason::WorkerLost, retry, .. } => {
                assert_eq!(retry, !begun.contains(&id));
                assert!(failed.insert(id));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(begun.contains(&id(1)));
    assert_eq!(failed.len(), 4);
}

/// A request goes through again.
fn assert_works(world: &mut World<Ucx>) {
    world.until("ready again", |world| world.phase() == WorkerPhase::Ready);
    world.events.clear();
    let now = world.now();
    world.client.submit(&dispatch(9, b"{}".to_vec()), now).unwrap();
    let answers = world.until_answers(1);
    assert!(matches!(answers[0], Event::Tokens { .. }), "{answers:?}");
}

fn a_killed_worker_is_noticed_and_its_successor_found(kind: TransportKind) {
    let (mut world, mut process) = world_of(kind);
    load_up(&mut world, || {});
    process.kill();
    assert_all_failed(&mut world);
    let (_successor, address) = Process::worker(kind, world.address);
    assert_eq!(address, world.address);
    assert_works(&mut world);
    assert_eq!(world.client.transport_counters().bytes_in_flight, 0);
}

fn a_stopped_worker_is_given_up_without_spinning(kind: TransportKind) {
    let (mut world, process) = world_of(kind);
    load_up(&mut world, || process.signal("-STOP"));
    assert_all_failed(&mut world);
    let (mut sleeps, mut rounds) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(500) {
        world.step();
        rounds += 1;
        sleeps += u32::from(world.client.arm());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(sleeps * 10 > rounds * 8, "armed {sleeps} times of {rounds}");
    process.signal("-CONT");
    assert_works(&mut world);
}

fn a_killed_fast_path_leaves_the_worker_whole(kind: TransportKind) {
    let factory = Ucx(kind, "127.0.0.1:0".parse().unwrap());
    let config = ServerConfig { peer_timeout_ms: 1000, ..server_config() };
    let mut world = World::new(&factory, client_config(), config);
    world.until("ready", |world| world.phase() == WorkerPhase::Ready);
    let mut process = Process::start("process::child_fastpath", kind, world.address);
    world.until("requested", |world| world.stream(id(1)).is_some());
    let stream = world.stream(id(1)).unwrap();
    process.signal("-STOP");
    let large = vec![b' '; 2 << 20];
    while world.server().tokens(stream, 1, &large, false).is_ok() {}
    process.kill();
    world.until("noticed", |world| {
        world.server_events.iter().any(|event| *event == ServerEvent::PeerLost { streams: vec![stream] })
    });
    let stream = world.request(5);
    world.server().result(stream, &crate::world::summary(), b"[]").unwrap();
    world.until_answers(1);
}

/// UCX aborts a process that ends its worker while a close waits for a connection that never came about. Nor may such
/// connections pile up; and when the worker goes on, it is found.
fn a_fast_path_lives_while_a_stopped_worker_does_not_greet_it(kind: TransportKind) {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    for goes_on in [true, false] {
        let (process, address) = Process::worker(kind, any);
        process.signal("-STOP");
        let config = ClientConfig { connect_timeout_ms: 50, reconnect_max_ms: 60, ..client_config() };
        let mut world = World::new(&Ucx(kind, any), config, server_config());
        world.server = None;
        world.client.set_workers(&[("w0".to_owned(), address)], MonoNs(0));
        world.until("tried in vain", |world| world.client.counters().reconnects >= 12);
        let closing = world.client.transport_counters().peers_closing;
        assert!(closing <= 3, "{closing} closes wait for nothing");
        if goes_on {
            process.signal("-CONT");
            // On a busy machine a handshake takes longer than it had so far.
            let config = ClientConfig { connect_timeout_ms: 2000, ..client_config() };
            let fresh = Client::new(Ucx(kind, any).make(), config, random());
            drop(std::mem::replace(&mut world.client, fresh));
            world.client.set_workers(&[("w0".to_owned(), address)], MonoNs(0));
            assert_works(&mut world);
        }
    }
}

/// The same with much on its way to a worker that was good and then hangs: more than any queue of UCX takes at once.
fn a_fast_path_ends_in_peace_while_a_worker_hangs_with_much_on_its_way(kind: TransportKind) {
    let (mut world, process) = world_of(kind);
    process.signal("-STOP");
    for number in 0..250 {
        let now = world.now();
        world.client.submit(&dispatch(number, vec![number; 300]), now).unwrap();
    }
    let now = world.now();
    world.client.submit(&dispatch(251, vec![1; 4 << 20]), now).unwrap();
    world.until("given up", |world| world.client.idle());
}

macro_rules! processes {
    ($($module:ident: $kind:expr),*) => { $(
        mod $module {
            #[test]
            fn a_killed_worker_is_noticed_and_its_successor_found() {
                super::a_killed_worker_is_noticed_and_its_successor_found($kind);
            }
            #[test]
            fn a_stopped_worker_is_given_up_without_spinning() {
                super::a_stopped_worker_is_given_up_without_spinning($kind);
            }
            #[test]
            fn a_fast_path_lives_while_a_stopped_worker_does_not_greet_it() {
                super::a_fast_path_lives_while_a_stopped_worker_does_not_greet_it($kind);
            }
            #[test]
            fn a_fast_path_ends_in_peace_while_a_worker_hangs_with_much_on_its_way() {
                super::a_fast_path_ends_in_peace_while_a_worker_hangs_with_much_on_its_way($kind);
            }
            #[test]
            fn a_killed_fast_path_leaves_the_worker_whole() {
                super::a_killed_fast_path_leaves_the_worker_whole($kind);
            }
        }
    )* };
}

processes!(tcp_process: dpu_ucx::TransportKind::Tcp, shm_process: dpu_ucx::TransportKind::Shm);
