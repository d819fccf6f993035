//! One file descriptor over the event descriptors of all lanes.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

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

    /// Readable when a lane has work.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
