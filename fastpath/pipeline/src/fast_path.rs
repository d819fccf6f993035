//! The request path as a whole: its cores, the plan that they serve by, its status and its end.

use crate::clock;
use crate::core::Flag;
use crate::core_thread::{Command, CoreConfig, CoreHandle};
use crate::counters::CoreCounters;
use crate::journal::Journal;
use crate::programmed::{sha256, Programmed};
use crate::room::RoomView;
use crate::status::{self, Status};
use dpu_policy::LimitState;
use dpu_types::plan::Problem;
use dpu_ucx::TransportKind;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Connections that the kernel holds for a core that is busy, per listener and core.
const BACKLOG: i32 = 4096;
/// For all cores to take a plan. They take it between two events, so this is met only by a core that hangs.
const ADOPT_TIMEOUT: Duration = Duration::from_secs(5);

/// How to start.
pub struct Config {
    /// For people and for the workers' logs.
    pub name: String,
    /// Cores.
    pub threads: usize,
    /// Whether each thread keeps to one core.
    pub pinned: bool,
    /// Path, "-", or none.
    pub journal: Option<String>,
    /// Which transports UCX may take.
    pub transport: TransportKind,
}

/// What came of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// Programmed now, by this call or before.
    pub applied: bool,
    /// This call changed something.
    pub changed: bool,
    /// Programmed now; 0 for none.
    pub epoch: u64,
    /// Why not.
    pub problems: Vec<Problem>,
}

/// The request path.
pub struct FastPath {
    cores: Mutex<Vec<CoreHandle>>,
    /// The plan of each core; none before the first one. All are kept here, so that a plan that is replaced ends in
    /// `apply` and not between two requests.
    programmed: Mutex<Vec<Arc<Programmed>>>,
    limits: LimitState,
    journal: Journal,
    draining: watch::Sender<bool>,
    is_draining: Flag,
    broken: Flag,
}

impl FastPath {
    /// Starts the cores; they serve nothing before the first plan.
    ///
    /// # Errors
    /// The journal cannot be opened or a thread not made.
    pub fn start(config: &Config) -> io::Result<Self> {
        let journal = Journal::open(config.journal.as_deref())?;
        let (draining, watched) = watch::channel(false);
        let (broken, is_draining) = (Flag::default(), Flag::default());
        let core = CoreConfig {
            name: config.name.clone(),
            pinned: config.pinned,
            transport: config.transport,
            journal: journal.clone(),
            broken: broken.clone(),
        };
        let start = |index| CoreHandle::start(index, core.clone(), (watched.clone(), is_draining.clone()));
        let cores = (0..config.threads.max(1)).map(start).collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            cores: Mutex::new(cores),
            programmed: Mutex::default(),
            limits: LimitState::new(),
            journal,
            draining,
            is_draining,
            broken,
        })
    }

    /// Programs a whole plan on every core, or nothing. `bytes` is a `Plan` of `fastpath.proto`.
    pub fn apply(&self, bytes: &[u8]) -> Applied {
        let mut programmed = lock(&self.programmed);
        let before = programmed.first().map(Arc::clone);
        let epoch = before.as_ref().map_or(0, |plan| plan.epoch);
        if before.as_ref().is_some_and(|plan| plan.sha256 == sha256(bytes)) {
            return Applied { applied: true, epoch, ..Applied::default() };
        }
        let refused = |problems| Applied { epoch, problems, ..Applied::default() };
        self.limits.set_now(clock::now());
        // Metrics and readiness ask the cores too, and a long plan takes its time for each of them.
        let count = lock(&self.cores).len();
        let plans = match Programmed::build_for(count, bytes, &self.limits, before.as_deref()) {
            Ok(plans) => plans,
            Err(problems) => return refused(problems),
        };
        let Some(plan) = plans.first().map(Arc::clone) else { return refused(Vec::new()) };
        let cores = lock(&self.cores);
        let sockets = match self.bind(&plan, before.as_deref(), count) {
            Ok(sockets) => sockets,
            Err(problems) => return refused(problems),
        };
        if let Err(why) = adopt(&cores, &plans, sockets) {
            return refused(vec![problem("plan", &why, "restart the fast path; its log has more")]);
        }
        plan.policy.adopt(clock::now());
        *programmed = plans;
        Applied { applied: true, changed: true, epoch: plan.epoch, problems: Vec::new() }
    }

    /// Sockets of the listeners that are new: for each core, one for each address.
    fn bind(
        &self,
        plan: &Programmed,
        before: Option<&Programmed>,
        cores: usize,
    ) -> Result<Vec<Vec<(SocketAddr, TcpListener)>>, Vec<Problem>> {
        let mut sockets: Vec<Vec<_>> = (0..cores).map(|_| Vec::new()).collect();
        for (index, listener) in plan.listeners.iter().enumerate() {
            if before.is_some_and(|p| p.listeners.iter().any(|l| l.address == listener.address)) {
                continue;
            }
            for core in &mut sockets {
                let socket = listen(listener.address).map_err(|error| {
                    let what = format!("{}: {error}", listener.address);
                    vec![problem(
                        &format!("listeners[{index}].address"),
                        &what,
                        "free the address or choose another",
                    )]
                })?;
                core.push((listener.address, socket));
            }
        }
        Ok(sockets)
    }

    /// What is programmed, and how the workers are.
    #[must_use]
    pub fn status(&self) -> Status {
        let programmed = self.plan();
        let views: Vec<_> = lock(&self.cores).iter().map(CoreHandle::workers).collect();
        status::of(programmed.as_deref(), &views, self.is_draining.is_up(), self.broken.is_up())
    }

    /// Everything that was counted, over all cores.
    #[must_use]
    pub fn counters(&self) -> CoreCounters {
        let mut total = CoreCounters::default();
        for core in lock(&self.cores).iter() {
            core.counters.add_to(&mut total);
        }
        total
    }

    /// Tokens debited and refunded since the start, by tenant and model.
    #[must_use]
    pub fn token_totals(&self) -> Vec<(Arc<str>, Arc<str>, dpu_policy::Totals)> {
        self.limits.totals()
    }

    /// Calls `look` with every token bucket of the plan.
    pub fn token_levels(&self, look: impl FnMut(dpu_policy::TokenLevel<'_>)) {
        if let Some(plan) = self.plan() {
            plan.policy.token_levels(clock::now()).for_each(look);
        }
    }

    /// The plan's listeners with their open connections.
    #[must_use]
    pub fn connections_open(&self) -> Vec<(String, u32)> {
        let programmed = self.plan();
        let listeners = programmed.iter().flat_map(|plan| plan.listeners.iter());
        let open = |l: &crate::programmed::Listener| l.open.load(std::sync::atomic::Ordering::Relaxed);
        listeners.map(|l| (l.name.to_string(), open(l))).collect()
    }

    /// Who waits for a worker.
    #[must_use]
    pub fn room(&self) -> RoomView {
        self.plan().map_or_else(RoomView::default, |plan| plan.steering.room.view())
    }

    /// The listeners' certificates.
    #[must_use]
    pub fn certificates(&self) -> Vec<(String, dpu_tls::CertificateInfo)> {
        let programmed = self.plan();
        let listeners = programmed.iter().flat_map(|plan| plan.listeners.iter());
        let each = |l: &Arc<crate::programmed::Listener>| {
            let name = l.name.to_string();
            l.tls.certificates.clone().into_iter().map(move |info| (name.clone(), info))
        };
        listeners.flat_map(each).collect()
    }

    /// Journal lines that did not reach the disk.
    #[must_use]
    pub fn journal_lines_lost(&self) -> u64 {
        self.journal.losses().lines()
    }

    /// The first core's plan: what all of them share is found there.
    fn plan(&self) -> Option<Arc<Programmed>> {
        lock(&self.programmed).first().map(Arc::clone)
    }

    /// Takes no new connection, lets requests finish for `timeout`, ends what is left with an error event, and
    /// ends the cores. Returns how many requests were cut; a second call returns 0.
    pub fn drain(&self, timeout: Duration) -> usize {
        self.is_draining.raise();
        self.draining.send_replace(true);
        // Nothing is locked while they finish: who asks for readiness or metrics meanwhile is to be told.
        let waiting: Vec<_> = lock(&self.cores).iter().filter_map(|core| drain_one(core, timeout)).collect();
        let cut = waiting.iter().filter_map(|done| done.recv().ok()).sum();
        lock(&self.cores).iter_mut().for_each(CoreHandle::join);
        cut
    }
}

fn drain_one(core: &CoreHandle, timeout: Duration) -> Option<std::sync::mpsc::Receiver<usize>> {
    let (done, waiting) = sync_channel(1);
    core.command(Command::Drain { timeout, done }).then_some(waiting)
}

fn adopt(
    cores: &[CoreHandle],
    plans: &[Arc<Programmed>],
    sockets: Vec<Vec<(SocketAddr, TcpListener)>>,
) -> Result<(), String> {
    let (done, waiting) = sync_channel(cores.len());
    for ((core, plan), sockets) in cores.iter().zip(plans).zip(sockets) {
        let plan = Arc::clone(plan);
        if !core.command(Command::Adopt { plan, sockets, done: done.clone() }) {
            return Err("a core has ended".to_owned());
        }
    }
    let until = Instant::now() + ADOPT_TIMEOUT;
    for _ in cores {
        let left = until.saturating_duration_since(Instant::now());
        waiting.recv_timeout(left).map_err(|_| "a core does not answer".to_owned())??;
    }
    Ok(())
}

/// A listening socket that shares its address with those of the other cores; the kernel spreads connections.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn problem(entry: &str, what: &str, fix: &str) -> Problem {
    Problem { entry: entry.to_owned(), what: what.to_owned(), fix: fix.to_owned() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is replaced whole, never changed in part.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
