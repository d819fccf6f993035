//! The loop of the worker's thread: progress, work, look again for a moment where frames come close together, arm,
//! sleep. Idle costs no CPU.

use super::config::HostConfig;
use super::report::Report;
use super::shared::{Command, Shared};
use super::spin::Spin;
use super::work::Work;
use crate::clock;
use dpu_types::MonoNs;
use dpu_ucx::{Server, ServerEvent, Transport};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// The transport's descriptor is readable.
const TRANSPORT: Token = Token(0);
/// A command was queued.
pub const COMMAND: Token = Token(1);

/// Rounds without work, while something is pending that no descriptor tells of, before the loop naps.
const IDLE_ROUNDS_MAX: u32 = 64;
const NAP: Duration = Duration::from_millis(1);
/// How long the last frames may take to leave once nothing runs any more.
const LINGER_MS: u64 = 200;

/// The loop and what it needs.
pub struct Driver<T: Transport> {
    work: Work<T>,
    shared: Arc<Shared>,
    poll: Poll,
    ready: Events,
    /// Whether the transport has a descriptor.
    watched: bool,
    spin: Spin,
    drain_until: Option<MonoNs>,
    events: Vec<ServerEvent>,
    commands: VecDeque<Command>,
}

impl<T: Transport> Driver<T> {
    /// A loop that has not begun; `server` listens already, and `poll` has the waker of `shared`.
    ///
    /// # Errors
    /// The event descriptor cannot be watched.
    pub fn new(server: Server<T>, config: &HostConfig, shared: Arc<Shared>, poll: Poll) -> io::Result<Self> {
        let fd = server.event_fd().map(|fd| fd.as_raw_fd());
        if let Some(fd) = fd {
            poll.registry().register(&mut SourceFd(&fd), TRANSPORT, Interest::READABLE)?;
        }
        let work = Work::new(server, config, Arc::clone(&shared));
        let (events, commands, ready) = (Vec::new(), VecDeque::new(), Events::with_capacity(4));
        Ok(Self {
            work,
            shared,
            poll,
            ready,
            watched: fd.is_some(),
            spin: Spin::default(),
            drain_until: None,
            events,
            commands,
        })
    }

    /// Runs until drained. Returns how many requests were cut.
    ///
    /// # Errors
    /// Waiting failed, which the kernel does not do to a valid descriptor.
    pub fn run(mut self) -> io::Result<usize> {
        let mut idle_rounds = 0;
        loop {
            let now = clock::now();
            if self.progress(now) {
                idle_rounds = 0;
                self.spin.worked(now);
                continue;
            }
            if self.spin.goes_on(now) {
                // Others on this processor go first: they may be the ones who have something for us.
                std::thread::yield_now();
                continue;
            }
            if let Some(cut) = self.drained(now) {
                self.linger();
                return Ok(cut);
            }
            if self.work.server.arm() {
                idle_rounds = 0;
                let due = [self.work.next_timer(now), self.drain_until].into_iter().flatten().min();
                let timer = due.map(|due| Duration::from_nanos(due.since(now)));
                // A transport without a descriptor is polled.
                self.wait(if self.watched {
                    timer
                } else {
                    Some(timer.map_or(NAP, |timer| timer.min(NAP)))
                })?;
            } else {
                idle_rounds += 1;
                if idle_rounds > IDLE_ROUNDS_MAX {
                    self.wait(Some(NAP))?;
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
    fn linger(&mut self) {
        let until = clock::now().plus_ms(LINGER_MS);
        while !self.work.server.idle() && clock::now() < until {
            self.work.server.poll(clock::now(), &mut self.events);
            self.events.clear();
            std::thread::sleep(NAP);
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
            spun_ns: self.spin.spun_ns(),
        }
    }

    /// Sleeps until the transport has something, a command came, or the time is over. mio reports edges: that is
    /// enough, because every round looks at both sources before it comes here.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.ready, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }
}
