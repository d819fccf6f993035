//! The journal: one JSON line a request, formatted on the core, written by one thread.
//!
//! Cores hand over whole buffers, so that a busy core wakes the writer a few times a second and not once a
//! request. When the disk is slower than the traffic, lines are dropped and counted, never waited for.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender, TrySendError};
use std::sync::Arc;
use std::thread;

/// Buffers that may wait for the disk; at `BUFFER_BYTES` each this bounds the journal's memory to 4 MiB.
const BUFFERS_WAITING_MAX: usize = 64;
/// A core hands its buffer over when it is this long, or when its tick comes.
pub const BUFFER_BYTES: usize = 64 * 1024;

/// Lines that did not reach the disk.
#[derive(Debug, Default)]
pub struct JournalLosses {
    lines: AtomicU64,
}

impl JournalLosses {
    /// Lines lost since start.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    fn add(&self, buffer: &[u8]) {
        let lines = buffer.iter().filter(|byte| **byte == b'\n').count();
        self.lines.fetch_add(lines as u64, Ordering::Relaxed);
    }
}

/// A core's end of the journal.
#[derive(Clone)]
pub struct Journal {
    buffers: Option<SyncSender<Vec<u8>>>,
    losses: Arc<JournalLosses>,
}

impl Journal {
    /// Opens the journal: a path (appended to), "-" for standard output, `None` for no journal.
    ///
    /// # Errors
    /// The file cannot be opened, or no thread can be made.
    pub fn open(target: Option<&str>) -> io::Result<Self> {
        let losses = Arc::new(JournalLosses::default());
        let Some(target) = target else { return Ok(Self { buffers: None, losses }) };
        let file: Box<dyn Write + Send> = match target {
            "-" => Box::new(io::stdout()),
            path => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        };
        let (buffers, waiting) = sync_channel(BUFFERS_WAITING_MAX);
        let lost = Arc::clone(&losses);
        thread::Builder::new().name("dpu-journal".into()).spawn(move || write_all(file, &waiting, &lost))?;
        Ok(Self { buffers: Some(buffers), losses })
    }

    /// Whether lines are wanted at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.buffers.is_some()
    }

    /// Hands over a buffer of whole lines; it is dropped and counted when too many wait for the disk.
    pub fn submit(&self, buffer: Vec<u8>) {
        let Some(buffers) = &self.buffers else { return };
        match buffers.try_send(buffer) {
            Ok(()) => {}
            Err(TrySendError::Full(lost) | TrySendError::Disconnected(lost)) => self.losses.add(&lost),
        }
    }

    /// Lines that did not reach the disk.
    #[must_use]
    pub fn losses(&self) -> &Arc<JournalLosses> {
        &self.losses
    }
}

fn write_all(mut file: Box<dyn Write + Send>, waiting: &Receiver<Vec<u8>>, lost: &JournalLosses) {
    while let Ok(buffer) = waiting.recv() {
        if file.write_all(&buffer).and_then(|()| file.flush()).is_err() {
            lost.add(&buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn lines_reach_the_file() {
        let path = std::env::temp_dir().join(format!("dpu-journal-{}", std::process::id()));
        let journal = Journal::open(path.to_str()).unwrap();
        journal.submit(b"{\"a\":1}\n{\"a\":2}\n".to_vec());
        let until = Instant::now() + Duration::from_secs(5);
        while std::fs::read(&path).unwrap().is_empty() && Instant::now() < until {
            thread::yield_now();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"a\":2}\n");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(journal.losses().lines(), 0);
    }

    #[test]
    fn a_full_disk_loses_lines_and_counts_them() {
        let journal = Journal::open(Some("/dev/full")).unwrap();
        journal.submit(b"one\ntwo\n".to_vec());
        let until = Instant::now() + Duration::from_secs(5);
        while journal.losses().lines() < 2 && Instant::now() < until {
            thread::yield_now();
        }
        assert_eq!(journal.losses().lines(), 2);
    }

    #[test]
    fn a_slow_disk_loses_lines_and_never_makes_a_core_wait() {
        let (buffers, waiting) = sync_channel(1);
        let journal = Journal { buffers: Some(buffers), losses: Arc::default() };
        journal.submit(b"kept\n".to_vec());
        journal.submit(b"lost\nlost\n".to_vec());
        assert_eq!(journal.losses().lines(), 2);
        assert_eq!(waiting.recv().unwrap(), b"kept\n");
    }
}
