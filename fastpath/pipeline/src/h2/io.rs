//! The plaintext side of an HTTP/2 connection with its frames counted as they pass.

use crate::caller::Caller;
use crate::connection::Io;
use crate::core::Core;
use crate::limit_hits::Quiet;
use crate::programmed::{Limits, Listener};
use dpu_http::FrameWatch;
use dpu_types::Reason;
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection's parts share: one thread, so nothing is locked.
pub struct Shared {
    core: Rc<Core>,
    /// Held once for all streams: cores share its count of references.
    listener: Arc<Listener>,
    caller: Caller,
    frames: RefCell<FrameWatch>,
    /// Plaintext bytes taken by TLS so far, and whether some wait for the client to read.
    written: Cell<u64>,
    blocked: Cell<bool>,
    /// Bytes of bodies that are not whole.
    pub bodies: Cell<usize>,
}

impl Shared {
    pub fn new(core: Rc<Core>, listener: Arc<Listener>, caller: Caller) -> Self {
        let frames = FrameWatch::new(listener.limits.frames);
        Self {
            core,
            listener,
            caller,
            frames: RefCell::new(frames),
            written: Cell::new(0),
            blocked: Cell::new(false),
            bodies: Cell::new(0),
        }
    }

    /// The limits of its listener.
    pub fn limits(&self) -> &Limits {
        &self.listener.limits
    }

    /// Whose connection it is.
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Why the connection has to end.
    pub fn verdict(&self) -> Option<Reason> {
        self.frames.borrow().verdict()
    }

    /// Whether a head has begun and not ended.
    pub fn head_is_open(&self) -> bool {
        self.frames.borrow().head_is_open()
    }

    /// Bytes written so far, where the client has to read before more can be.
    pub fn blocked_at(&self) -> Option<u64> {
        self.blocked.get().then(|| self.written.get())
    }

    /// Bytes here of this stream's DATA frame that is not whole.
    pub fn partial_data(&self, stream: u32) -> usize {
        self.frames.borrow().partial_data(stream)
    }

    /// An answer was begun.
    pub fn answer_begun(&self) {
        self.frames.borrow_mut().answer_begun();
    }

    /// A stream was handed to us.
    pub fn head_taken(&self) {
        self.frames.borrow_mut().head_taken();
    }

    /// Counts the heads that the h2 crate refused by itself; only when every other one was handed to us.
    pub fn count_refused(&self) {
        let Some(refused) = self.frames.borrow_mut().take_refused() else { return };
        let heads =
            [(Reason::HttpHeadTooLarge, refused.too_large), (Reason::HttpH2Protocol, refused.malformed)];
        for (reason, count) in heads.into_iter().filter(|(_, count)| *count > 0) {
            self.core.refuse_head(reason, count);
        }
        if refused.streams > 0 {
            self.core.limit_hit(Quiet::H2Streams, refused.streams);
        }
    }

    fn sent(&self, bytes: &[u8]) {
        self.frames.borrow_mut().sent(bytes);
    }
}

/// Reads until there is a verdict; what the client sends behind that is nobody's business.
pub struct WatchedIo {
    io: Io,
    shared: Rc<Shared>,
}

impl WatchedIo {
    pub const fn new(io: Io, shared: Rc<Shared>) -> Self {
        Self { io, shared }
    }

    fn note<T>(&self, polled: &Poll<io::Result<T>>) {
        if polled.is_pending() {
            self.shared.blocked.set(true);
        }
    }

    fn note_written(&self, size: usize) {
        self.shared.written.set(self.shared.written.get() + size as u64);
    }
}

impl AsyncRead for WatchedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.shared.verdict().is_some() {
            // Nobody is woken: the guard looks at the verdict after every poll.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = read {
            self.shared.frames.borrow_mut().received(&buffer.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for WatchedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        if let Poll::Ready(Ok(size)) = written {
            self.shared.sent(&bytes[..size.min(bytes.len())]);
            self.note_written(size);
        }
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        if let Poll::Ready(Ok(size)) = written {
            let mut left = size;
            for slice in slices {
                let part = left.min(slice.len());
                self.shared.sent(&slice[..part]);
                left -= part;
            }
            self.note_written(size);
        }
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.shared.blocked.set(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
