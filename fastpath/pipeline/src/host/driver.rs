//! The loop of the worker's thread: progress, work, arm, sleep. Idle costs no CPU.

use super::config::HostConfig;
use super::report::Report;
use super::shared::{Command, Shared};
use super::work::Work;
use crate::clock;
use dpu_types::MonoNs;
use dpu_ucx::{Server, ServerEvent, Transport};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::Interest;

/// Rounds without work, while something is pending that no descriptor tells of, before the loop naps.
const IDLE_ROUNDS_MAX: u32 = 64;
const NAP: Duration = Duration::from_millis(1);
/// How long the last frames may take to leave once nothing runs any more.
const LINGER_MS: u64 = 200;

/// The loop and what it needs.
pub struct Driver<T: Transport> {
    work: Work<T>,
    shared: Arc<Shared>,
    drain_until: Option<MonoNs>,
    events: Vec<ServerEvent>,
    commands: VecDeque<Command>,
}

impl<T: Transport> Driver<T> {
    /// A loop that has not begun; `server` listens already.
    pub fn new(server: Server<T>, config: &HostConfig, shared: Arc<Shared>) -> Self {
        let work = Work::new(server, config, Arc::clone(&shared));
        Self { work, shared, drain_until: None, events: Vec::new(), commands: VecDeque::new() }
    }

    /// Runs until drained. Returns how many requests were cut.
    ///
    /// # Errors
    /// The event descriptor cannot be watched.
    pub async fn run(mut self) -> io::Result<usize> {
        let fd = self.work.server.event_fd();
        let watched = fd.map(|fd| AsyncFd::with_interest(Borrowed(fd), Interest::READABLE)).transpose()?;
        let mut idle_rounds = 0;
        loop {
            let now = clock::now();
            if self.progress(now) {
                idle_rounds = 0;
                continue;
            }
            if let Some(cut) = self.drained(now) {
                self.linger().await;
                self.shared.close();
                return Ok(cut);
            }
            if self.work.server.arm() {
                idle_rounds = 0;
                self.sleep(watched.as_ref(), now).await?;
            } else {
                idle_rounds += 1;
                if idle_rounds > IDLE_ROUNDS_MAX {
                    self.nap(NAP).await;
                }
            }
        }
    }

    /// One round: true where something happened.
    fn progress(&mut self, now: MonoNs) -> bool {
        self.work.server.poll(now, &mut self.events);
        self.shared.take(&mut self.commands);
        let mut worked = !self.events.is_empty() || !self.commands.is_empty();
        for event in self.events.drain(..) {
            self.work.on_event(event, now);
        }
        while let Some(command) = self.commands.pop_front() {
            match command {
                // Whoever asked may have given up waiting.
                Command::Report(asked) => drop(asked.try_send(self.report())),
                Command::Drain(until) => {
                    self.work.server.drain();
                    self.drain_until = Some(until);
                }
                other => self.work.on_command(other, now),
            }
        }
        worked |= self.work.run(now);
        worked
    }

    /// Whether the thread may end, and how many requests that cuts.
    fn drained(&mut self, now: MonoNs) -> Option<usize> {
        let until = self.drain_until?;
        if self.work.server.outstanding() == 0 && self.work.books.load() == (0, 0) {
            return Some(0);
        }
        (now >= until).then(|| self.work.cut())
    }

    /// Lets the last frames leave.
    async fn linger(&mut self) {
        let until = clock::now().plus_ms(LINGER_MS);
        while !self.work.server.idle() && clock::now() < until {
            self.work.server.poll(clock::now(), &mut self.events);
            self.events.clear();
            tokio::time::sleep(NAP).await;
        }
    }

    fn report(&self) -> Report {
        let (running, queued) = self.work.books.load();
        Report {
            running,
            queued,
            draining: self.drain_until.is_some(),
            peers: self.work.server.peers(),
            totals: self.work.totals.clone(),
            session: self.work.server.counters().clone(),
            transport: self.work.server.transport_counters(),
        }
    }

    /// Sleeps until the transport has something, a command came, or a timer is due.
    async fn sleep(&self, watched: Option<&AsyncFd<Borrowed>>, now: MonoNs) -> io::Result<()> {
        let due = [self.work.next_timer(now), self.drain_until].into_iter().flatten().min();
        let Some(watched) = watched else {
            // A transport without a descriptor is polled.
            self.nap(NAP).await;
            return Ok(());
        };
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep(Duration::from_nanos(due.since(now))).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ready = watched.readable() => ready.map(|mut guard| guard.clear_ready()),
            () = self.shared.woken() => Ok(()),
            () = timer => Ok(()),
        }
    }

    async fn nap(&self, nap: Duration) {
        tokio::select! {
            () = self.shared.woken() => {}
            () = tokio::time::sleep(nap) => {}
        }
    }
}

/// The transport's descriptor: the server owns it and lives as long as the loop.
struct Borrowed(RawFd);

impl AsRawFd for Borrowed {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}
