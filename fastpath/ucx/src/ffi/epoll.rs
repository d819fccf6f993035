//! One file descriptor over the event descriptors of all lanes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// An epoll instance. UCX adds the descriptors of each worker to it (`UCP_WORKER_PARAM_FIELD_EVENT_FD`).
pub struct Epoll(OwnedFd);

impl Epoll {
    /// # Errors
    /// The system's: no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and owned by nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sleeps until a lane has work, for so many milliseconds at most.
    pub fn wait(&self, timeout_ms: i32) {
        let mut polled = libc::pollfd { fd: self.fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid structure. An error is as good as a timeout.
        let _ = unsafe { libc::poll(&mut polled, 1, timeout_ms) };
    }

    /// Readable when a lane has work.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Epoll {
    /// Readable when a lane has work.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
