//! A round: jobs run side by side from "go" until the time is over; what has begun is finished and counted.

use crate::Fault;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;
use tokio::sync::{watch, Notify};

/// What one turn of a job has brought.
pub struct Sample {
    /// Answers, events or handshakes.
    pub units: u32,
}

/// What is done over and over, one at a time.
#[allow(async_fn_in_trait)] // One thread: nobody asks whether the future is Send.
pub trait Job {
    /// # Errors
    /// The answer is not the right one: that ends the program.
    async fn once(&mut self) -> Result<Sample, Fault>;
}

/// What all jobs have brought in a round.
#[derive(Default)]
pub struct Tally {
    /// Turns.
    pub turns: u64,
    /// Sum of the samples' units.
    pub units: u64,
    /// Microseconds of each turn: from when it was due (open loop) or begun (closed loop).
    pub latency_us: Vec<u32>,
}

/// What jobs and driver share.
pub struct Round {
    /// Number of the round; jobs wait for the next.
    number: watch::Sender<u64>,
    running: Cell<bool>,
    /// Open loop: turns are due when they are in `due`.
    paced: bool,
    due: RefCell<VecDeque<Instant>>,
    came: Notify,
    busy: Cell<usize>,
    idle: Notify,
    tally: RefCell<Tally>,
    fault: RefCell<Option<Fault>>,
}

impl Round {
    /// Before the first.
    #[must_use]
    pub fn new(paced: bool) -> Rc<Self> {
        Rc::new(Self {
            number: watch::Sender::new(0),
            running: Cell::new(false),
            paced,
            due: RefCell::default(),
            came: Notify::new(),
            busy: Cell::new(0),
            idle: Notify::new(),
            tally: RefCell::default(),
            fault: RefCell::default(),
        })
    }

    /// Lets `jobs` jobs run.
    pub fn go(&self, jobs: usize) {
        self.tally.take();
        self.busy.set(jobs);
        self.running.set(true);
        self.number.send_modify(|number| *number += 1);
    }

    /// One more turn of the open loop is due since `at`.
    pub fn push(&self, at: Instant) {
        self.due.borrow_mut().push_back(at);
        self.came.notify_one();
    }

    /// Begins nothing more, and waits until everything that has begun is over.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub async fn end(&self) -> Result<Tally, Fault> {
        self.running.set(false);
        self.came.notify_waiters();
        while self.busy.get() > 0 && self.fault.borrow().is_none() {
            self.idle.notified().await;
        }
        self.fault.take().map_or_else(|| Ok(self.tally.take()), Err)
    }

    /// Resolves when something went wrong.
    pub async fn broken(&self) {
        while self.fault.borrow().is_none() {
            self.idle.notified().await;
        }
    }

    /// Runs a job in every round; `delay` before its first turn of each spreads the jobs in time.
    pub async fn serve(self: Rc<Self>, mut job: impl Job, delay: std::time::Duration) {
        let mut number = self.number.subscribe();
        while number.changed().await.is_ok() {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            while let Some(since) = self.next().await {
                match job.once().await {
                    Ok(sample) => self.count(since, &sample),
                    Err(fault) => return self.fail(fault),
                }
            }
            self.busy.set(self.busy.get() - 1);
            if self.busy.get() == 0 {
                self.idle.notify_one();
            }
        }
    }

    /// When the next turn was due; None when the round is over.
    async fn next(&self) -> Option<Instant> {
        if !self.paced {
            return self.running.get().then(Instant::now);
        }
        loop {
            let due = self.due.borrow_mut().pop_front();
            if due.is_some() || !self.running.get() {
                return due;
            }
            self.came.notified().await;
        }
    }

    fn count(&self, since: Instant, sample: &Sample) {
        let mut tally = self.tally.borrow_mut();
        tally.turns += 1;
        tally.units += u64::from(sample.units);
        tally.latency_us.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
    }

    fn fail(&self, fault: Fault) {
        self.fault.borrow_mut().get_or_insert(fault);
        self.idle.notify_one();
    }
}
