//! What the worker's thread and the engine's threads share: jobs one way, commands the other, both bounded.

use super::job::JobState;
use super::report::Report;
use crate::clock;
use dpu_types::{MonoNs, Reason};
use dpu_ucx::Summary;
use mio::Waker;
use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Something for the worker's thread to do.
pub enum Command {
    /// A fragment of a stream.
    Tokens { job: Arc<JobState>, count: u32, choices: Vec<u8>, finish: bool },
    /// The engine is done with a job.
    Ended { job: Arc<JobState>, ending: Ending },
    /// Somebody wants to know how things are.
    Report(SyncSender<Report>),
    /// No new work; the thread ends when nothing runs any more, or at this time.
    Drain(MonoNs),
}

/// How an engine ended a job.
pub enum Ending {
    /// A whole answer.
    Result(Summary, Vec<u8>),
    /// The end of a stream.
    End(Summary),
    /// No answer.
    Fail { reason: Reason, detail: String, retry: bool },
    /// Cancelled, and generation has stopped.
    Stopped { tokens_wasted: u32 },
}

/// Both queues. The jobs hold at most one per slot, the commands at most `UNSENT_MAX` fragments and one end per job.
pub struct Shared {
    queues: Mutex<Queues>,
    jobs_ready: Condvar,
    space: Condvar,
    waker: Waker,
}

#[derive(Default)]
struct Queues {
    jobs: VecDeque<Arc<JobState>>,
    commands: VecDeque<Command>,
    closed: bool,
}

impl Shared {
    /// Empty queues; `waker` wakes the worker's thread.
    pub fn new(waker: Waker) -> Self {
        let (queues, jobs_ready, space) = <(Mutex<Queues>, Condvar, Condvar)>::default();
        Self { queues, jobs_ready, space, waker }
    }

    /// Gives a job to whoever asks first.
    pub fn push_job(&self, job: Arc<JobState>) {
        self.lock().jobs.push_back(job);
        self.jobs_ready.notify_one();
    }

    /// Takes a job back that nobody has begun. False: somebody has.
    pub fn retract(&self, job: &Arc<JobState>) -> bool {
        let mut queues = self.lock();
        let before = queues.jobs.len();
        queues.jobs.retain(|waiting| !Arc::ptr_eq(waiting, job));
        queues.jobs.len() != before
    }

    /// The next job; `None` after `timeout`, or soon once closed.
    pub fn next_job(&self, timeout: Duration) -> Option<Arc<JobState>> {
        let until = Instant::now() + timeout;
        let mut queues = self.lock();
        loop {
            if let Some(job) = queues.jobs.pop_front() {
                return Some(job);
            }
            let left = until.checked_duration_since(Instant::now())?;
            // Once closed nothing will come; a short wait keeps a caller in a loop from spinning.
            let left = if queues.closed { left.min(Duration::from_millis(10)) } else { left };
            let closed_before = queues.closed;
            queues = self.jobs_ready.wait_timeout(queues, left).unwrap_or_else(PoisonError::into_inner).0;
            if closed_before {
                return queues.jobs.pop_front();
            }
        }
    }

    /// Queues a command. False: the thread has ended.
    pub fn push(&self, command: Command) -> bool {
        let mut queues = self.lock();
        if queues.closed {
            return false;
        }
        queues.commands.push_back(command);
        drop(queues);
        self.wake();
        true
    }

    /// Queues a fragment; waits while as many as may be of this job are unsent. False: stop generating.
    pub fn push_tokens(&self, job: &Arc<JobState>, count: u32, choices: Vec<u8>, finish: bool) -> bool {
        let mut queues = self.lock();
        while !queues.closed && !job.is_cancelled() && job.is_full() {
            let left = job.deadline.since(clock::now());
            if left == 0 {
                return false;
            }
            let left = Duration::from_nanos(left);
            queues = self.space.wait_timeout(queues, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if queues.closed || job.is_cancelled() {
            return false;
        }
        job.add_unsent();
        queues.commands.push_back(Command::Tokens { job: Arc::clone(job), count, choices, finish });
        drop(queues);
        self.wake();
        true
    }

    /// Moves everything queued into `out`.
    pub fn take(&self, out: &mut VecDeque<Command>) {
        out.append(&mut self.lock().commands);
    }

    /// A job has room again, or was cancelled: whoever waits should look. Taking the lock first closes the gap
    /// between a waiter's look and its sleep.
    pub fn notify_space(&self) {
        drop(self.lock());
        self.space.notify_all();
    }

    /// The thread ends: nobody waits any longer.
    pub fn close(&self) {
        let mut queues = self.lock();
        queues.closed = true;
        queues.jobs.clear();
        queues.commands.clear();
        drop(queues);
        self.space.notify_all();
        self.jobs_ready.notify_all();
    }

    fn wake(&self) {
        // It writes to an eventfd that lives as long as the queues; a full one wakes too.
        let _ = self.waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Nothing panics while it holds the lock, and the queues are valid after every statement.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
