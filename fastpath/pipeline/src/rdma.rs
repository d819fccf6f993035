//! The RDMA loop of one core: progress, deliver, arm, sleep. Idle costs no CPU.

use crate::clock;
use crate::core::{fill_random, Core, Peer, TICK_MS};
use crate::programmed::Programmed;
use crate::worker::{Told, Worker};
use dpu_types::MonoNs;
use dpu_ucx::{
    Client, ClientConfig, Event, TransportKind, UcxConfig, UcxTransport, WorkerPhase, WorkerState,
};
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{pin, Pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::Interest;
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep};

/// Rounds without an event, while something is pending that no descriptor tells of, before the loop sleeps a
/// millisecond. One round is about a microsecond: shared memory that is full is looked at for this long.
const IDLE_ROUNDS_MAX: u32 = 64;
const NAP: Duration = Duration::from_millis(1);
/// How long CANCELLED is waited for: an engine stops between two tokens, and on a busy host one takes a second.
const CANCEL_TIMEOUT_MS: u32 = 3000;

/// Makes the client of a core.
///
/// # Errors
/// UCX's own words where it cannot start.
pub fn client(
    core: usize,
    name: &str,
    kind: TransportKind,
    plan: &Programmed,
) -> Result<Client<UcxTransport>, String> {
    let transport =
        UcxTransport::new(UcxConfig { kind, ..UcxConfig::default() }).map_err(|error| error.to_string())?;
    let config = ClientConfig {
        fastpath_id: format!("{name}/{core}"),
        key: plan.worker_key.clone(),
        previous_key: plan.worker_key_previous.clone(),
        cancel_timeout_ms: CANCEL_TIMEOUT_MS,
        ..ClientConfig::default()
    };
    Ok(Client::new(transport, config, Box::new(fill_random)))
}

/// Tells the client which workers there are.
pub fn set_workers(core: &Core, plan: &Programmed, now: MonoNs) {
    let workers: Vec<_> = plan.workers.iter().map(|w| (w.name.to_string(), w.address)).collect();
    if let Some(client) = core.client.borrow_mut().as_mut() {
        client.set_keys(&plan.worker_key, &plan.worker_key_previous);
        client.set_workers(&workers, now);
    }
    refresh_peers(core, plan, now);
    core.kick.notify_one();
}

/// The client's view of every worker, in the plan's order.
#[must_use]
pub fn worker_states(core: &Core) -> Vec<WorkerState> {
    let count = core.programmed.borrow().as_ref().map_or(0, |plan| plan.workers.len());
    let client = core.client.borrow();
    client
        .as_ref()
        .map_or_else(Vec::new, |client| (0..count).filter_map(|index| client.state(index)).collect())
}

fn refresh_peers(core: &Core, plan: &Programmed, now: MonoNs) {
    core.peers.borrow_mut().clear();
    for index in 0..plan.workers.len() {
        refresh_peer(core, plan, index, now);
    }
}

/// Takes over what one worker's connection is now, for this core and for those who wait.
fn refresh_peer(core: &Core, plan: &Programmed, index: usize, now: MonoNs) {
    let state = core.client.borrow().as_ref().and_then(|client| client.state(index));
    let (Some(state), Some(worker)) = (state, plan.workers.get(index)) else { return };
    let told = Told {
        ready: state.phase == WorkerPhase::Ready,
        lost: state.phase == WorkerPhase::Lost,
        slots: state.slots,
        models: &state.models,
        requests: state.running.saturating_add(state.queued),
        free_kv_tokens: state.free_kv_tokens,
    };
    let rules = &plan.steering.health;
    let serves_long =
        |(other, w): (usize, &Worker)| other != index && w.ledger.has_served_for(rules.slow_start_ms, now);
    let beside_others = told.ready && plan.workers.iter().enumerate().any(serves_long);
    worker.ledger.tell(core.index, &told, beside_others, rules, now);
    let peer = Peer { ready: told.ready, models: state.models, transport: Arc::from(state.transport) };
    let mut peers = core.peers.borrow_mut();
    match peers.get_mut(index) {
        Some(known) => *known = peer,
        None => peers.push(peer),
    }
    drop(peers);
    plan.steering.room.freed();
}

/// Runs until the core's tasks are dropped.
///
/// # Errors
/// The event descriptor cannot be watched.
pub async fn run(core: Rc<Core>) -> io::Result<()> {
    let watched = watched_fd(&core)?;
    let mut events = Vec::new();
    let mut last_tick = clock::now();
    let mut idle_rounds = 0;
    let mut alarm = pin!(tokio::time::sleep(Duration::ZERO));
    loop {
        let now = clock::now();
        if progress(&core, now, &mut events) {
            idle_rounds = 0;
            // Those who were told something go first; then one more look before any sleep.
            requeue().await;
            continue;
        }
        if now.since(last_tick) >= TICK_MS * 1_000_000 {
            core.tick(now);
            last_tick = now;
        }
        if core.client.borrow_mut().as_mut().is_some_and(Client::arm) {
            idle_rounds = 0;
            while sleep(&core, watched.as_ref(), alarm.as_mut()).await? == Woken::Kicked && send_queued(&core)
            {
            }
        } else {
            idle_rounds += 1;
            if idle_rounds > IDLE_ROUNDS_MAX {
                tokio::time::sleep(NAP).await
            } else {
                yield_now().await
            }
        }
    }
}

/// Sends what the core's requests have queued. True: the sleep may go on.
fn send_queued(core: &Core) -> bool {
    core.client.borrow_mut().as_mut().is_some_and(Client::send_queued)
}

/// What ended a sleep.
#[derive(PartialEq, Eq)]
enum Woken {
    /// The transport has something, or a timer is due.
    Due,
    /// Somebody of this core has something for the loop.
    Kicked,
}

/// Goes to the end of the core's queue. `yield_now` would ask the kernel for events in between: a system call for every
/// frame that arrives alone. The scheduler asks by itself after 61 tasks.
async fn requeue() {
    let mut again = false;
    poll_fn(|context| {
        if std::mem::replace(&mut again, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The transport's descriptor; a duplicate, so that it is ours for as long as the loop watches it.
fn watched_fd(core: &Core) -> io::Result<Option<AsyncFd<OwnedFd>>> {
    let client = core.client.borrow();
    let Some(fd) = client.as_ref().and_then(Client::event_fd) else { return Ok(None) };
    let owned = fd.try_clone_to_owned()?;
    // Deprecated because an `AsRawFd` may answer differently each time; an `OwnedFd` never does, and what replaces it
    // is an unsafe function, which this crate has none of.
    #[allow(deprecated)]
    AsyncFd::with_interest(owned, Interest::READABLE).map(Some)
}

/// One round: true where something happened.
fn progress(core: &Core, now: MonoNs, events: &mut Vec<Event>) -> bool {
    let worked = core.client.borrow_mut().as_mut().is_some_and(|client| client.poll(now, events) > 0);
    let worked = worked || !events.is_empty();
    for event in events.iter() {
        if let Event::WorkerChanged { worker } = event {
            let plan = core.programmed.borrow().clone();
            if let Some(plan) = plan {
                refresh_peer(core, &plan, *worker, now);
            }
        }
    }
    for event in events.drain(..) {
        core.deliver(event);
    }
    worked
}

/// Sleeps until the transport has something, somebody kicks, or a timer is due. The alarm is set anew only where it
/// would ring too late: one that rings early costs a round, and setting it for each request costs more.
async fn sleep(
    core: &Core,
    watched: Option<&AsyncFd<OwnedFd>>,
    mut alarm: Pin<&mut Sleep>,
) -> io::Result<Woken> {
    let now = clock::now();
    let timer = core.client.borrow().as_ref().and_then(Client::next_timer);
    let tick = core.has_timed_work().then(|| now.plus_ms(TICK_MS));
    let due = [timer, tick].into_iter().flatten().min();
    if let Some(due) = due {
        let until = Instant::now() + Duration::from_nanos(due.since(now).max(1_000_000));
        if alarm.is_elapsed() || alarm.deadline() > until {
            alarm.as_mut().reset(until);
        }
    }
    let readable = async {
        match watched {
            Some(watched) => watched.readable().await.map(|mut guard| guard.clear_ready()),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        ready = readable => ready.map(|()| Woken::Due),
        () = core.kick.notified() => Ok(Woken::Kicked),
        () = alarm, if due.is_some() => Ok(Woken::Due),
    }
}
