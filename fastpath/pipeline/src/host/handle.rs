//! The handle on a worker: starts its thread, hands out jobs, reports, drains.

use super::config::HostConfig;
use super::driver::{Driver, COMMAND};
use super::job::Job;
use super::report::Report;
use super::shared::{Command, Shared};
use crate::clock;
use crate::core::fill_random;
use dpu_ucx::{Server, Transport, TransportKind, UcxConfig, UcxTransport};
use mio::{Poll, Waker};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a report may take; the thread answers within a round, unless the machine is stuck.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// A running worker.
pub struct HostRuntime {
    shared: Arc<Shared>,
    listening: SocketAddr,
    thread: Mutex<Option<JoinHandle<usize>>>,
}

impl HostRuntime {
    /// Starts a worker over UCX.
    ///
    /// # Errors
    /// Why it cannot listen, in words for people.
    pub fn start(config: HostConfig, kind: TransportKind) -> Result<Self, String> {
        let settings = UcxConfig { kind, ..UcxConfig::default() };
        Self::start_on(config, move || UcxTransport::new(settings).map_err(|error| error.to_string()))
    }

    /// Starts a worker over any transport. `make` runs in the worker's thread, where the transport then lives.
    ///
    /// # Errors
    /// Why it cannot listen, in words for people.
    pub fn start_on<T, F>(config: HostConfig, make: F) -> Result<Self, String>
    where
        T: Transport,
        F: FnOnce() -> Result<T, String> + Send + 'static,
    {
        let (poll, waker) = poll_and_waker().map_err(|error| format!("no event queue: {error}"))?;
        let shared = Arc::new(Shared::new(waker));
        let (tell, told) = sync_channel(1);
        let theirs = Arc::clone(&shared);
        let body = move || {
            let made = make().and_then(|transport| listen(transport, &config, &theirs, poll));
            let (driver, address) = match made {
                Ok(made) => made,
                Err(error) => {
                    let _ = tell.send(Err(error));
                    return 0;
                }
            };
            let _ = tell.send(Ok(address));
            let cut = driver.run().unwrap_or(0);
            // Whatever ended it, nobody waits for this thread any longer.
            theirs.close();
            cut
        };
        let thread = std::thread::Builder::new().name("dpu-host".to_owned()).spawn(body);
        let thread = thread.map_err(|error| format!("no thread: {error}"))?;
        let listening =
            told.recv().unwrap_or_else(|_| Err("the worker's thread ended at once".to_owned()))?;
        Ok(Self { shared, listening, thread: Mutex::new(Some(thread)) })
    }

    /// The address really bound.
    #[must_use]
    pub fn listening(&self) -> SocketAddr {
        self.listening
    }

    /// The next request that has a slot; `None` when none came in time. Any number of threads may wait.
    #[must_use]
    pub fn next(&self, timeout: Duration) -> Option<Job> {
        self.shared.next_job(timeout).map(|state| Job::new(state, Arc::clone(&self.shared)))
    }

    /// Peers with the transport of each, running, queued: a JSON object. `{}` once the worker has ended.
    #[must_use]
    pub fn status(&self) -> String {
        self.report().map_or_else(|| "{}".to_owned(), |report| report.status().to_string())
    }

    /// Metric families, a JSON array. `[]` once the worker has ended.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.report().map_or_else(|| "[]".to_owned(), |report| report.families().to_string())
    }

    /// Takes no new work, waits until nothing runs or the time is over, ends the thread. Returns how many requests
    /// were cut; 0 when it had ended before.
    pub fn drain(&self, timeout: Duration) -> usize {
        let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let _ = self.shared.push(Command::Drain(clock::now().plus_ms(ms)));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.and_then(|thread| thread.join().ok()).unwrap_or(0)
    }

    fn report(&self) -> Option<Report> {
        let (tell, told) = sync_channel(1);
        if !self.shared.push(Command::Report(tell)) {
            return None;
        }
        told.recv_timeout(REPORT_TIMEOUT).ok()
    }
}

impl Drop for HostRuntime {
    fn drop(&mut self) {
        self.drain(Duration::ZERO);
    }
}

fn poll_and_waker() -> io::Result<(Poll, Waker)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), COMMAND)?;
    Ok((poll, waker))
}

fn listen<T: Transport>(
    transport: T,
    config: &HostConfig,
    shared: &Arc<Shared>,
    poll: Poll,
) -> Result<(Driver<T>, SocketAddr), String> {
    let mut server = Server::new(transport, config.server(), Box::new(fill_random));
    let address = server.listen(config.listen).map_err(|error| format!("{}: {error}", config.listen))?;
    let driver = Driver::new(server, config, Arc::clone(shared), poll);
    Ok((driver.map_err(|error| format!("the event descriptor: {error}"))?, address))
}
