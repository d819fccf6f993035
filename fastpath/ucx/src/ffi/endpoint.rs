//! An endpoint: our end of one connection.

use super::mailbox::Mailbox;
use super::{name, sys};
use crate::transport::PeerId;
use std::ffi::{c_char, c_void};
use std::ptr;

/// What the error and close callbacks of an endpoint are told.
pub(super) struct PeerTag {
    pub mailbox: *const Mailbox,
    pub peer: PeerId,
}

/// An open endpoint. `Lane::close` ends it; the lane's end ends it too.
pub struct Endpoint {
    pub(super) handle: sys::ucp_ep_h,
    pub(super) tag: *mut PeerTag,
    /// UCX watches the peer (`UCP_ERR_HANDLING_MODE_PEER`), and lets us close by force.
    pub watched: bool,
}

impl Endpoint {
    /// The transports that UCX chose: "posix", "tcp/lo", "rc_verbs/rxe0:1"; joined by "+". Empty while it connects.
    pub fn transport_name(&self) -> String {
        name::transports(&self.info())
    }

    /// What `ucp_ep_print_info` prints.
    fn info(&self) -> String {
        let mut text: *mut c_char = ptr::null_mut();
        let mut size = 0;
        // SAFETY: both pointers outlive the stream, which is closed below.
        let stream = unsafe { libc::open_memstream(&mut text, &mut size) };
        if stream.is_null() {
            return String::new();
        }
        // SAFETY: the endpoint is open, the stream too.
        unsafe { sys::ucp_ep_print_info(self.handle, stream) };
        // SAFETY: open, and not used afterwards.
        unsafe { libc::fclose(stream) };
        if text.is_null() {
            return String::new();
        }
        // SAFETY: after fclose `text` points to `size` bytes.
        let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), size) };
        let info = String::from_utf8_lossy(bytes).into_owned();
        // SAFETY: open_memstream's buffer is ours to free, once.
        unsafe { libc::free(text.cast::<c_void>()) };
        info
    }
}
