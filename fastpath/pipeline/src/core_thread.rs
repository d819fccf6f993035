//! One core: a thread with a runtime of its own, driven by commands.

use crate::clock;
use crate::connection;
use crate::core::{Core, Flag};
use crate::counters::SharedCounters;
use crate::journal::Journal;
use crate::programmed::Programmed;
use crate::rdma;
use dpu_types::Reason;
use dpu_ucx::{TransportKind, WorkerState};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::mpsc::{sync_channel, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::{spawn_local, AbortHandle};

/// How often a core publishes how it sees the workers.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(200);
/// Between looks at whether the last request has ended, while draining.
const DRAIN_LOOK: Duration = Duration::from_millis(10);
/// For error events to be written once the drain time is over.
const CUT_TIME: Duration = Duration::from_millis(500);

/// What a core is told.
pub enum Command {
    /// Take a plan that is ready, and the sockets of listeners that are new.
    Adopt {
        /// The plan.
        plan: Arc<Programmed>,
        /// Bound and listening, one for this core.
        sockets: Vec<(SocketAddr, TcpListener)>,
        /// Told when the core serves by the plan, or why it cannot.
        done: SyncSender<Result<(), String>>,
    },
    /// Finish what runs; then end the thread. `draining` is up already.
    Drain {
        /// For what runs.
        timeout: Duration,
        /// Told how many requests were cut.
        done: SyncSender<usize>,
    },
}

/// A core as its owner sees it.
pub struct CoreHandle {
    commands: UnboundedSender<Command>,
    /// What it has counted.
    pub counters: SharedCounters,
    workers: Arc<Mutex<Vec<WorkerState>>>,
    thread: Option<JoinHandle<()>>,
}

/// What every core is made with.
#[derive(Clone)]
pub struct CoreConfig {
    /// Name of the fast path, for people.
    pub name: String,
    /// Whether the thread keeps to one core.
    pub pinned: bool,
    /// Which transports UCX may take.
    pub transport: TransportKind,
    /// Where decision records go.
    pub journal: Journal,
    /// Raised when a core cannot go on: the process has to end, and says why on standard error.
    pub broken: Flag,
}

impl CoreHandle {
    /// Starts the thread of core `index`; where it is pinned, to the `index`th processor that this process may use.
    ///
    /// # Errors
    /// No thread, or no runtime, can be made.
    pub fn start(
        index: usize,
        config: CoreConfig,
        draining: (watch::Receiver<bool>, Flag),
    ) -> io::Result<Self> {
        let (commands, receiver) = unbounded_channel();
        let counters = SharedCounters::default();
        let workers = Arc::new(Mutex::new(Vec::new()));
        let (shared, published) = (counters.clone(), Arc::clone(&workers));
        let (tell, told) = sync_channel(1);
        let body = move || {
            if config.pinned {
                pin(index);
            }
            // A runtime of one thread whose tasks need not be `Send`; it is made where it runs, and cannot move.
            let runtime =
                match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(tell.send(Err(error))),
                };
            if tell.send(Ok(())).is_ok() {
                let core = Rc::new(Core::new(index, config.journal.clone(), shared, draining));
                runtime.block_on(main(core, config, receiver, published));
            }
        };
        let thread = thread::Builder::new().name(format!("dpu-core-{index}")).spawn(body)?;
        told.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended at once")))?;
        Ok(Self { commands, counters, workers, thread: Some(thread) })
    }

    /// Sends a command; false where the core has ended.
    #[must_use]
    pub fn command(&self, command: Command) -> bool {
        self.commands.send(command).is_ok()
    }

    /// How it saw the workers a moment ago.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerState> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the thread, after a drain.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A core that panicked has said so on standard error already.
            let _ = thread.join();
        }
    }
}

/// Keeps the thread on one processor: its connections, its RDMA endpoints and its memory stay in one cache. Where others
/// use that processor too it has to wait for them there, whatever else is free.
fn pin(index: usize) {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return };
    let usable: Vec<_> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    let Some(cpu) = usable.get(index % usable.len().max(1)) else { return };
    let mut only = rustix::thread::CpuSet::new();
    only.set(*cpu);
    // A thread that is not pinned is slower and nothing else.
    let _ = rustix::thread::sched_setaffinity(None, &only);
}

async fn main(
    core: Rc<Core>,
    config: CoreConfig,
    mut commands: UnboundedReceiver<Command>,
    published: Arc<Mutex<Vec<WorkerState>>>,
) {
    let mut listening: HashMap<SocketAddr, AbortHandle> = HashMap::new();
    spawn_local(publish(Rc::clone(&core), published));
    while let Some(command) = commands.recv().await {
        match command {
            Command::Adopt { plan, sockets, done } => {
                // The receiver waits with a time limit; nobody is there to tell when it has given up.
                let _ = done.send(adopt(&core, &config, plan, sockets, &mut listening));
            }
            Command::Drain { timeout, done } => {
                let _ = done.send(drain(&core, timeout).await);
                return;
            }
        }
    }
}

fn adopt(
    core: &Rc<Core>,
    config: &CoreConfig,
    plan: Arc<Programmed>,
    sockets: Vec<(SocketAddr, TcpListener)>,
    listening: &mut HashMap<SocketAddr, AbortHandle>,
) -> Result<(), String> {
    if core.client.borrow().is_none() {
        let client = rdma::client(core.index, &config.name, config.transport, &plan)?;
        *core.client.borrow_mut() = Some(client);
        spawn_local(run_rdma(Rc::clone(core), config.broken.clone()));
    }
    let mut converted = Vec::with_capacity(sockets.len());
    for (address, socket) in sockets {
        converted
            .push((address, tokio::net::TcpListener::from_std(socket).map_err(|error| error.to_string())?));
    }
    core.counters.lock().series_max = plan.series_max;
    *core.programmed.borrow_mut() = Some(Arc::clone(&plan));
    rdma::set_workers(core, &plan, clock::now());
    for (address, socket) in converted {
        let task = spawn_local(connection::accept(Rc::clone(core), socket, address));
        listening.insert(address, task.abort_handle());
    }
    listening.retain(|address, task| {
        let wanted = plan.listeners.iter().any(|listener| listener.address == *address);
        if !wanted {
            task.abort();
        }
        wanted
    });
    Ok(())
}

async fn run_rdma(core: Rc<Core>, broken: Flag) {
    if let Err(error) = rdma::run(Rc::clone(&core)).await {
        eprintln!("dpu-fastpath: core {}: the RDMA loop cannot wait for events: {error}", core.index);
        broken.raise();
        core.stop_all(Reason::Internal);
    }
}

async fn publish(core: Rc<Core>, published: Arc<Mutex<Vec<WorkerState>>>) {
    loop {
        tokio::time::sleep(PUBLISH_INTERVAL).await;
        let states = rdma::worker_states(&core);
        if let Some(client) = core.client.borrow().as_ref() {
            core.counters.lock().frames.clone_from(client.counters());
        }
        core.counters.lock().tokens = core.tokens.borrow().counts();
        *published.lock().unwrap_or_else(PoisonError::into_inner) = states;
    }
}

/// Waits for what runs; what runs longer is told to end, with an error event.
async fn drain(core: &Rc<Core>, timeout: Duration) -> usize {
    let ended = tokio::time::timeout(timeout, none_left(core)).await.is_ok();
    let cut = if ended { 0 } else { core.stop_all(Reason::DrainCut) };
    if !ended {
        // Those that write their last event in time are done; for the others nobody reads.
        let _ = tokio::time::timeout(CUT_TIME, none_left(core)).await;
    }
    core.tick(clock::now());
    cut
}

async fn none_left(core: &Core) {
    while core.open_requests() > 0 {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}
