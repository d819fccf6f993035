//! What the worker's thread does: events of the transport, commands of the engines, steps of the echo engine.

use super::books::{Books, Running, Waiting};
use super::config::HostConfig;
use super::echo::{Echo, Step};
use super::job::JobState;
use super::report::{Ended, Totals};
use super::shared::{Command, Ending, Shared};
use dpu_types::{MonoNs, Reason};
use dpu_ucx::{OwnedRequest, Server, ServerEvent, StreamGone, StreamKey, Summary, Transport};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Steps of one echo stream before the others have their turn.
const BURST_STEPS: u32 = 64;
/// When a full transport is tried again; UCX tells nobody that there is room.
const RETRY_MS: u64 = 1;

/// The state of the worker's thread.
pub struct Work<T: Transport> {
    /// Sessions with the fast paths.
    pub server: Server<T>,
    /// Slots and queue.
    pub books: Books,
    /// How requests ended so far.
    pub totals: Totals,
    shared: Arc<Shared>,
    echoes: bool,
    /// When which echo stream takes its next step; entries of ended streams find nobody.
    timers: BTreeMap<(MonoNs, u64), StreamKey>,
    timers_made: u64,
    /// Jobs whose outbox waits for the transport.
    stuck: Vec<StreamKey>,
}

impl<T: Transport> Work<T> {
    /// Nothing to do yet.
    pub fn new(server: Server<T>, config: &HostConfig, shared: Arc<Shared>) -> Self {
        Self {
            server,
            books: Books::new(config.slots, config.queue_max),
            totals: Totals::new(config.engine == "echo"),
            shared,
            echoes: config.engine == "echo",
            timers: BTreeMap::new(),
            timers_made: 0,
            stuck: Vec::new(),
        }
    }

    /// When something has to be done although nothing arrives.
    pub fn next_timer(&self, now: MonoNs) -> Option<MonoNs> {
        let echo = self.timers.first_key_value().map(|((due, _), _)| *due);
        let retry = (!self.stuck.is_empty()).then(|| now.plus_ms(RETRY_MS));
        [echo, retry, self.server.next_timer()].into_iter().flatten().min()
    }

    /// Takes one event of the transport.
    pub fn on_event(&mut self, event: ServerEvent, now: MonoNs) {
        match event {
            ServerEvent::Request { stream, request } => self.on_request(stream, request, now),
            ServerEvent::Cancel { stream, .. } => self.on_cancel(stream, now),
            ServerEvent::Credit { stream } => self.on_credit(stream, now),
            ServerEvent::PeerLost { streams } => {
                streams.into_iter().for_each(|stream| self.on_lost(stream, now));
            }
        }
    }

    /// Takes one command of an engine. `Report` and `Drain` are the driver's.
    pub fn on_command(&mut self, command: Command, now: MonoNs) {
        let (Command::Tokens { job, .. } | Command::Ended { job, .. }) = &command else { return };
        let stream = job.stream;
        let Some(Running::Job { outbox, .. }) = self.books.running.get_mut(&stream) else { return };
        if is_bad_end(&command) && job.is_stalled() {
            // What waits for credit would hold the end back, and nobody would get to read it anyway.
            outbox.clear();
        }
        outbox.push_back(command);
        if outbox.len() == 1 {
            self.flush(stream, now);
        }
    }

    /// Gives free slots to waiting requests, steps what is due, and says how busy we are. True: something moved.
    pub fn run(&mut self, now: MonoNs) -> bool {
        let mut worked = false;
        for stream in std::mem::take(&mut self.stuck) {
            self.flush(stream, now);
        }
        while let Some(waiting) = self.books.next() {
            self.start(waiting, now);
            worked = true;
        }
        // Streams that ask for another turn at once come after `now` has moved on, so that this ends.
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            let stream = entry.remove();
            self.step(stream, now);
            worked = true;
        }
        let (running, queued) = self.books.load();
        let fits = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        self.server.load(fits(running), fits(queued), 0);
        worked
    }

    /// Fails everything that has no end yet; returns how many there were.
    pub fn cut(&mut self) -> usize {
        let streams = self.books.streams();
        for stream in &streams {
            if let Some(Running::Job { state, .. }) = self.books.running.get(stream) {
                state.cancel();
            }
            let cut = self.server.fail(*stream, Reason::DrainCut, "the worker's drain time ended", true);
            self.totals.count(if cut.is_ok() { Ended::Cut } else { Ended::Lost });
        }
        self.shared.notify_space();
        streams.len()
    }

    fn on_request(&mut self, stream: StreamKey, request: OwnedRequest, now: MonoNs) {
        if !self.books.admit(Waiting { stream, request, since: now }) {
            self.fail(
                stream,
                Reason::WorkersBusy,
                "every slot and the queue are taken",
                true,
                Ended::Refused,
            );
        }
    }

    fn start(&mut self, waiting: Waiting, now: MonoNs) {
        let Waiting { stream, request, since } = waiting;
        let queue_us = now.since(since) / 1000;
        if !self.echoes {
            let state = JobState::new(stream, request, queue_us, since);
            let outbox = VecDeque::new();
            self.books.running.insert(stream, Running::Job { state: Arc::clone(&state), outbox });
            return self.shared.push_job(state);
        }
        match Echo::new(&request, now, queue_us) {
            Ok(mut echo) => {
                echo.model = request.model;
                self.books.running.insert(stream, Running::Echo(Box::new(echo)));
                self.time(stream, now);
            }
            Err(detail) => self.fail(stream, Reason::FieldValue, &detail, false, Ended::Failed),
        }
    }

    fn on_cancel(&mut self, stream: StreamKey, now: MonoNs) {
        let begun = self.books.running.get(&stream);
        match begun {
            Some(Running::Job { state, .. }) => {
                state.cancel();
                if !self.shared.retract(state) {
                    self.shared.notify_space(); // the engine stops, then says so
                    return self.flush(stream, now); // or has said so, behind fragments that waited for credit
                }
                self.books.running.remove(&stream);
            }
            Some(Running::Echo(_)) => self.remove_echo(stream, Ended::Cancelled),
            None => drop(self.books.unqueue(stream)),
        }
        self.confirm(stream, 0, now);
    }

    /// The client has read: what waited may go on.
    fn on_credit(&mut self, stream: StreamKey, now: MonoNs) {
        match self.books.running.get(&stream) {
            Some(Running::Job { .. }) => self.flush(stream, now),
            Some(Running::Echo(_)) => self.step(stream, now),
            None => {}
        }
    }

    /// The fast path is gone: nobody to tell. A job keeps its slot until its engine has stopped.
    fn on_lost(&mut self, stream: StreamKey, now: MonoNs) {
        self.totals.count(Ended::Lost);
        match self.books.running.get(&stream) {
            Some(Running::Job { state, .. }) => {
                state.cancel();
                if !self.shared.retract(state) {
                    self.shared.notify_space();
                    return self.flush(stream, now); // fragments that waited for credit go nowhere any more
                }
                self.books.running.remove(&stream);
            }
            Some(Running::Echo(_)) => self.remove_echo(stream, Ended::Cancelled),
            None => drop(self.books.unqueue(stream)),
        }
    }

    /// Sends what a job has ready, as far as the transport takes it.
    fn flush(&mut self, stream: StreamKey, now: MonoNs) {
        loop {
            let Some(Running::Job { state, outbox }) = self.books.running.get_mut(&stream) else { return };
            let Some(command) = outbox.pop_front() else { return };
            let state = Arc::clone(state);
            match command {
                Command::Tokens { count, choices, finish, .. } => {
                    match self.server.tokens(stream, count, &choices, finish) {
                        Err(StreamGone::Full) => {
                            self.stuck.push(stream);
                            return self
                                .put_back(stream, Command::Tokens { job: state, count, choices, finish });
                        }
                        Err(StreamGone::NoCredit) => {
                            state.set_stalled(true);
                            return self
                                .put_back(stream, Command::Tokens { job: state, count, choices, finish });
                        }
                        Err(StreamGone::TooLarge) => {
                            state.cancel();
                            self.fail(
                                stream,
                                Reason::AnswerTooLarge,
                                "a fragment is too large",
                                false,
                                Ended::Failed,
                            );
                        }
                        Err(StreamGone::Cancelled | StreamGone::PeerLost) => state.cancel(),
                        Ok(()) => self.totals.tokens += u64::from(count),
                    }
                    let goes_on = state.set_stalled(false);
                    if state.remove_unsent() || goes_on || state.is_cancelled() {
                        self.shared.notify_space();
                    }
                }
                Command::Ended { ending, .. } => {
                    self.books.running.remove(&stream);
                    return self.on_ending(stream, ending, now);
                }
                Command::Report(_) | Command::Drain(_) => {}
            }
        }
    }

    fn put_back(&mut self, stream: StreamKey, command: Command) {
        if let Some(Running::Job { outbox, .. }) = self.books.running.get_mut(&stream) {
            outbox.push_front(command);
        }
    }

    /// An engine's last word. CANCEL may have crossed it: then generation has stopped all the same.
    fn on_ending(&mut self, stream: StreamKey, ending: Ending, now: MonoNs) {
        let (sent, whole_tokens) = match &ending {
            Ending::Result(summary, choices) => {
                (self.server.result(stream, summary, choices), summary.completion_tokens)
            }
            Ending::End(summary) => (self.server.end(stream, summary), 0),
            Ending::Fail { reason, detail, retry } => {
                return self.fail(stream, *reason, detail, *retry, Ended::Failed);
            }
            Ending::Stopped { tokens_wasted } => return self.on_stopped(stream, *tokens_wasted, now),
        };
        match sent {
            Ok(()) => {
                self.totals.count(Ended::Answered);
                self.totals.tokens += u64::from(whole_tokens);
            }
            Err(StreamGone::Cancelled) => self.confirm(stream, whole_tokens, now),
            Err(StreamGone::TooLarge) => {
                self.fail(stream, Reason::AnswerTooLarge, "the answer is too large", false, Ended::Failed);
            }
            // Lost was counted when it happened; ends are never full and need no credit.
            Err(StreamGone::PeerLost | StreamGone::Full | StreamGone::NoCredit) => {}
        }
    }

    /// An engine stopped early: it was cancelled, or its deadline passed while it waited for a client that reads slowly.
    fn on_stopped(&mut self, stream: StreamKey, tokens_wasted: u32, now: MonoNs) {
        if self.server.is_cancelled(stream) == Some(false) {
            let detail = "the deadline passed before the client had read its answer";
            return self.fail(stream, Reason::WorkerTimeout, detail, false, Ended::Failed);
        }
        self.confirm(stream, tokens_wasted, now);
    }

    fn confirm(&mut self, stream: StreamKey, tokens_wasted: u32, now: MonoNs) {
        if let Ok(cancel_us) = self.server.cancelled(stream, tokens_wasted, now) {
            self.totals.count(Ended::Cancelled);
            self.totals.wasted += u64::from(tokens_wasted);
            self.totals.cancels.0.observe(cancel_us.saturating_mul(1000));
            if let Some(engine) = &mut self.totals.engine {
                engine.stopped(cancel_us);
            }
        }
    }

    fn fail(&mut self, stream: StreamKey, reason: Reason, detail: &str, retry: bool, ended: Ended) {
        if self.server.fail(stream, reason, detail, retry).is_ok() {
            self.totals.count(ended);
        }
    }

    fn time(&mut self, stream: StreamKey, due: MonoNs) {
        self.timers_made += 1;
        self.timers.insert((due, self.timers_made), stream);
    }

    /// Steps one echo stream until it sleeps, ends, or others should have their turn.
    fn step(&mut self, stream: StreamKey, now: MonoNs) {
        for _ in 0..BURST_STEPS {
            let Some(Running::Echo(echo)) = self.books.running.get_mut(&stream) else { return };
            let sent = match echo.step(now) {
                Step::Sleep(until) => return self.time(stream, until),
                Step::Tokens { count, choices, finish } => {
                    let sent = self.server.tokens(stream, count, &choices, finish);
                    if sent.is_ok() {
                        echo.advance();
                        self.totals.tokens += u64::from(count);
                    }
                    sent
                }
                over => return self.end_echo(stream, over, now),
            };
            match sent {
                Ok(()) => {}
                Err(StreamGone::Full) => return self.time(stream, now.plus_ms(RETRY_MS)),
                Err(StreamGone::NoCredit) => return, // `Credit` steps it again; until then it has no timer
                // Its event has been or will be handled.
                Err(_) => return self.remove_echo(stream, Ended::Cancelled),
            }
        }
        self.time(stream, MonoNs(now.0 + 1));
    }

    /// Takes an echo out of its slot and counts how it ended.
    fn remove_echo(&mut self, stream: StreamKey, ended: Ended) {
        if let (Some(Running::Echo(echo)), Some(engine)) =
            (self.books.running.remove(&stream), &mut self.totals.engine)
        {
            engine.count(&echo.model, ended);
        }
    }

    fn end_echo(&mut self, stream: StreamKey, step: Step, now: MonoNs) {
        let failed = matches!(step, Step::Fail(..));
        self.remove_echo(stream, if failed { Ended::Failed } else { Ended::Answered });
        if let (Step::Result(summary, _) | Step::End(summary), Some(engine)) =
            (&step, &mut self.totals.engine)
        {
            engine.answered(summary);
        }
        let ending = match step {
            Step::Result(summary, choices) => Ending::Result(summary, choices),
            Step::Fail(reason, detail) => Ending::Fail { reason, detail: detail.to_owned(), retry: false },
            Step::End(summary) => Ending::End(summary),
            Step::Sleep(_) | Step::Tokens { .. } => Ending::End(Summary::default()), // not ends; never passed in
        };
        self.on_ending(stream, ending, now);
    }
}

/// Whether an engine ended without its whole answer.
const fn is_bad_end(command: &Command) -> bool {
    matches!(command, Command::Ended { ending: Ending::Fail { .. } | Ending::Stopped { .. }, .. })
}
