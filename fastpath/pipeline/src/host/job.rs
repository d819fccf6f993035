//! One request as an engine sees it.

use super::config::HostConfig;
use super::shared::{Command, Ending, Shared};
use dpu_types::{MonoNs, Reason};
use dpu_ucx::{OwnedRequest, StreamKey, Summary};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;

/// A job as both sides know it.
pub struct JobState {
    /// Which stream.
    pub stream: StreamKey,
    /// What is asked.
    pub request: OwnedRequest,
    /// Microseconds from arrival to a free slot.
    pub queue_us: u64,
    /// When the fast path gives up.
    pub deadline: MonoNs,
    cancelled: AtomicBool,
    unsent: AtomicUsize,
    /// Its first unsent fragment waits for credit.
    stalled: AtomicBool,
}

impl JobState {
    /// A job that nobody has begun; it came at `since`.
    pub fn new(stream: StreamKey, request: OwnedRequest, queue_us: u64, since: MonoNs) -> Arc<Self> {
        let deadline = since.plus_ms(request.deadline_ms.into());
        let (cancelled, unsent, stalled) = Default::default();
        Arc::new(Self { stream, request, queue_us, deadline, cancelled, unsent, stalled })
    }

    /// Tells the engine to stop at its next look.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Whether the engine should stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Whether its next fragment has to wait.
    pub fn is_full(&self) -> bool {
        self.unsent.load(Ordering::Acquire) >= HostConfig::UNSENT_MAX || self.is_stalled()
    }

    /// Whether its first unsent fragment waits for credit.
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }

    /// Says whether it waits for credit. True: it did before, and does not any longer.
    pub fn set_stalled(&self, stalled: bool) -> bool {
        // Read first: a fragment that finds credit, as nearly all do, costs no write to a line that two threads share.
        let was = self.stalled.load(Ordering::Acquire);
        if was != stalled {
            self.stalled.store(stalled, Ordering::Release);
        }
        was && !stalled
    }

    /// One more fragment waits.
    pub fn add_unsent(&self) {
        self.unsent.fetch_add(1, Ordering::AcqRel);
    }

    /// One fragment is sent or dropped. True: it was full before.
    pub fn remove_unsent(&self) -> bool {
        self.unsent.fetch_sub(1, Ordering::AcqRel) == HostConfig::UNSENT_MAX
    }
}

/// The engine's handle on a job. It ends the job exactly once; dropped without an end, the request fails.
pub struct Job {
    state: Arc<JobState>,
    shared: Arc<Shared>,
    ended: AtomicBool,
}

impl Job {
    pub(super) fn new(state: Arc<JobState>, shared: Arc<Shared>) -> Self {
        Self { state, shared, ended: AtomicBool::new(false) }
    }

    /// What is asked; `body` is canonical JSON.
    #[must_use]
    pub fn request(&self) -> &OwnedRequest {
        &self.state.request
    }

    /// Microseconds from arrival to a free slot.
    #[must_use]
    pub fn queue_us(&self) -> u64 {
        self.state.queue_us
    }

    /// Whether the fast path has sent CANCEL or is gone: stop, then call `stopped`.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state.is_cancelled()
    }

    /// Sends a fragment: `count` completion tokens, `choices` a JSON array on one line. Waits while `UNSENT_MAX`
    /// fragments are on their way, and while the stream has no credit: its client reads slower than it is written.
    /// Cancel, the deadline and the end of a drain end the wait. False: stop generating.
    #[must_use]
    pub fn tokens(&self, count: u32, choices: Vec<u8>, finish: bool) -> bool {
        !self.ended.load(Ordering::Acquire) && self.shared.push_tokens(&self.state, count, choices, finish)
    }

    /// Ends a request that is not streamed.
    pub fn result(&self, summary: Summary, choices: Vec<u8>) {
        self.end_as(Ending::Result(summary, choices));
    }

    /// Ends a stream.
    pub fn end(&self, summary: Summary) {
        self.end_as(Ending::End(summary));
    }

    /// Ends a request without its answer. `detail` is for people, never prompt text.
    pub fn fail(&self, reason: Reason, detail: String, retry: bool) {
        self.end_as(Ending::Fail { reason, detail, retry });
    }

    /// Says that a cancelled generation has stopped and its memory is free.
    pub fn stopped(&self, tokens_wasted: u32) {
        self.end_as(Ending::Stopped { tokens_wasted });
    }

    /// The first end counts; a thread that has closed takes none, and needs none.
    fn end_as(&self, ending: Ending) {
        if !self.ended.swap(true, Ordering::AcqRel) {
            let _ = self.shared.push(Command::Ended { job: Arc::clone(&self.state), ending });
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.fail(Reason::Internal, "the engine dropped the request".to_owned(), true);
    }
}
