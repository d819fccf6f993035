//! bpf(2) and mmap(2): running an XDP program over bytes, and the memory that it answers in.

use crate::error::Error;
use dpu_types::gen::packet::ReplayIo;
use std::os::fd::RawFd;
use std::ptr::{read_volatile, write_volatile, NonNull};

const PROG_TEST_RUN: libc::c_int = 10;
const XDP_PASS: u32 = 2;
const XDP_DROP: u32 = 1;

/// The kernel runs nothing over less: an Ethernet header is as long.
pub const FRAME_BYTES_MIN: usize = 14;
/// What fits into one page of a test run beside its headroom (256) and tailroom (320); more would be shown to the
/// program in part.
pub const TEST_RUN_BYTES_MAX: usize = 3_520;

/// `union bpf_attr` as BPF_PROG_TEST_RUN reads it.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    pad: u32,
}

/// What a program says about one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// XDP_PASS; everything else does not go on.
    pub passed: bool,
    /// Number of abi/tables/reasons.toml.
    pub reason: u16,
    /// Service id.
    pub service: u16,
    /// Listener group id.
    pub group: u16,
    /// Destination port after the rewrite, 0 where nothing was steered.
    pub port: u16,
}

/// An XDP program compiled for replay, and the memory of its `replay_io`. The descriptors stay the caller's.
pub struct Program {
    fd: RawFd,
    io: Io,
    out: Vec<u8>,
}

impl Program {
    /// `io` is a memory-mapped array of one `struct replay_io`.
    pub fn new(fd: RawFd, io: RawFd) -> Result<Self, Error> {
        Ok(Self { fd, io: Io::map(io)?, out: vec![0; TEST_RUN_BYTES_MAX + 256] })
    }

    /// Runs it over one frame of FRAME_BYTES_MIN to TEST_RUN_BYTES_MAX bytes at `clock_ns`. Where `rewritten` is
    /// given it gets the frame as the program left it.
    pub fn ask(
        &mut self,
        frame: &[u8],
        clock_ns: u64,
        rewritten: Option<&mut Vec<u8>>,
    ) -> Result<Said, Error> {
        self.io.set_clock(clock_ns);
        let mut attr = TestRun {
            prog_fd: self.fd as u32,
            data_size_in: frame.len() as u32,
            data_in: frame.as_ptr() as u64,
            repeat: 1,
            ..TestRun::default()
        };
        if rewritten.is_some() {
            attr.data_out = self.out.as_mut_ptr() as u64;
            attr.data_size_out = self.out.len() as u32;
        }
        // SAFETY: attr is a bpf_attr of its own size; data_in lies in `frame` and data_out in `self.out`, with their
        // lengths beside them, and both outlive the call.
        let result = unsafe { libc::syscall(libc::SYS_bpf, PROG_TEST_RUN, &mut attr, size_of::<TestRun>()) };
        if result < 0 {
            let error = std::io::Error::last_os_error();
            let what = format!("running the program over a frame of {} bytes failed: {error}", frame.len());
            return Err(Error::new(what, "run it as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"));
        }
        if attr.retval != XDP_PASS && attr.retval != XDP_DROP {
            let what = format!("the program answered {}, which is neither pass nor drop", attr.retval);
            return Err(Error::new(what, "give a program of bpf/programs/ingress.c"));
        }
        if let Some(into) = rewritten {
            into.clear();
            into.extend_from_slice(&self.out[..(attr.data_size_out as usize).min(self.out.len())]);
        }
        Ok(self.io.said(attr.retval == XDP_PASS))
    }
}

/// The memory of a BPF array of one element.
struct Io {
    at: NonNull<ReplayIo>,
}

// SAFETY: the mapping belongs to this value alone, and is used by whoever holds it.
unsafe impl Send for Io {}
// SAFETY: through a shared reference it is only read.
unsafe impl Sync for Io {}

impl Io {
    fn map(fd: RawFd) -> Result<Self, Error> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping somewhere; nothing of ours lies there.
        let at = unsafe {
            libc::mmap(std::ptr::null_mut(), size_of::<ReplayIo>(), access, libc::MAP_SHARED, fd, 0)
        };
        match NonNull::new(at.cast()) {
            Some(pointer) if at != libc::MAP_FAILED => Ok(Self { at: pointer }),
            _ => {
                let what = format!("mapping replay_io failed: {}", std::io::Error::last_os_error());
                Err(Error::new(what, "give an array map that was made with BPF_F_MMAPABLE"))
            }
        }
    }

    fn set_clock(&mut self, clock_ns: u64) {
        // SAFETY: inside the mapping, which lives as long as self; the kernel's side is idle between two runs.
        unsafe { write_volatile(&raw mut (*self.at.as_ptr()).clock_ns, clock_ns) }
    }

    fn said(&self, passed: bool) -> Said {
        // SAFETY: the mapping is one whole ReplayIo, aligned to a page; every bit pattern is one.
        let io = unsafe { read_volatile(self.at.as_ptr()) };
        Said { passed, reason: io.reason, service: io.service, group: io.group, port: io.port }
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made, given back once.
        unsafe { libc::munmap(self.at.as_ptr().cast(), size_of::<ReplayIo>()) };
    }
}
