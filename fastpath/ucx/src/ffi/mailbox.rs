//! What UCX's callbacks leave for us.

use super::endpoint::PeerTag;
use super::listener::ConnectionRequest;
use super::status::Status;
use super::sys;
use crate::transport::PeerId;
use dpu_types::gen::worker_frame::FRAME_BYTES_MAX;
use dpu_types::OwnKeyMap;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ffi::c_void;

/// Something that happened inside UCX.
pub enum Mail {
    /// A frame came whole.
    Frame { peer: PeerId, bytes: Vec<u8> },
    /// A large frame was announced; `Lane::receive` fetches it.
    Announced { peer: PeerId, handle: RendezvousHandle },
    /// A frame above the limit was thrown away.
    TooLarge { peer: PeerId, size: usize },
    /// A send is complete; its buffer comes back.
    Sent { peer: PeerId, buffer: Vec<u8>, status: Status },
    /// A large frame is here, or is not.
    Fetched { peer: PeerId, bytes: Vec<u8>, status: Status },
    /// The connection is broken.
    Failed { peer: PeerId, status: Status },
    /// A close is complete.
    Closed { peer: PeerId },
    /// Somebody wants to connect.
    Asked(ConnectionRequest),
}

/// A large frame that waits inside UCX.
pub struct RendezvousHandle {
    pub(super) descriptor: *mut c_void,
    /// Bytes of the frame; at most FRAME_BYTES_MAX.
    pub size: usize,
}

/// One operation that UCX has not completed; it owns the buffer.
pub(super) struct Operation {
    pub mailbox: *const Mailbox,
    pub peer: PeerId,
    pub buffer: Vec<u8>,
    /// UCX's own handle, once it has started.
    pub request: *mut c_void,
}

/// Where the callbacks of one lane write. It lives as long as the lane's worker.
#[derive(Default)]
pub(super) struct Mailbox {
    pub mail: RefCell<Vec<Mail>>,
    /// Endpoint handle -> peer, for frames that name their endpoint.
    pub by_endpoint: RefCell<OwnKeyMap<usize, PeerId>>,
    /// The only peer of a lane that has just one.
    pub sole: Cell<Option<PeerId>>,
    /// Operations that UCX holds a pointer to.
    pub operations: RefCell<HashSet<*mut Operation>>,
    /// The operation (or tag of a close) that was completed last: it tells a starter that UCX called back before it returned.
    pub completed: Cell<usize>,
    /// Requests of closes that are not complete.
    pub closes: RefCell<HashSet<*mut c_void>>,
}

impl Mailbox {
    pub fn put(&self, mail: Mail) {
        self.mail.borrow_mut().push(mail);
    }

    fn peer_of(&self, endpoint: sys::ucp_ep_h) -> Option<PeerId> {
        if endpoint.is_null() {
            return self.sole.get();
        }
        self.by_endpoint.borrow().get(&(endpoint as usize)).copied()
    }
}

/// A frame came, or was announced.
pub(super) unsafe extern "C" fn on_message(
    mailbox: *mut c_void,
    _header: *const c_void,
    _header_bytes: usize,
    data: *mut c_void,
    size: usize,
    param: *const sys::ucp_am_recv_param_t,
) -> sys::ucs_status_t {
    // SAFETY: the argument is the mailbox of the lane, which outlives its worker.
    let mailbox = unsafe { &*mailbox.cast::<Mailbox>() };
    // SAFETY: UCX passes a valid structure.
    let param = unsafe { &*param };
    let named = param.recv_attr & u64::from(sys::UCP_AM_RECV_ATTR_FIELD_REPLY_EP) != 0;
    let endpoint = if named { param.reply_ep } else { std::ptr::null_mut() };
    // A frame from a peer that we closed is nobody's.
    let Some(peer) = mailbox.peer_of(endpoint) else { return sys::UCS_OK };
    if size > FRAME_BYTES_MAX {
        mailbox.put(Mail::TooLarge { peer, size });
        return sys::UCS_OK;
    }
    if param.recv_attr & u64::from(sys::UCP_AM_RECV_ATTR_FLAG_RNDV) != 0 {
        mailbox.put(Mail::Announced { peer, handle: RendezvousHandle { descriptor: data, size } });
        return sys::UCS_INPROGRESS;
    }
    let bytes = if size == 0 {
        Vec::new()
    } else {
        // SAFETY: an eager message: `size` readable bytes at `data` until we return.
        unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size) }.to_vec()
    };
    mailbox.put(Mail::Frame { peer, bytes });
    sys::UCS_OK
}

/// Takes a completed operation back from UCX.
///
/// # Safety
/// `operation` is the user data of an operation that UCX just completed, and `request` its handle.
unsafe fn take(operation: *mut c_void, request: *mut c_void) -> Box<Operation> {
    // SAFETY: the request is complete, and its callback is the one place that frees it.
    unsafe { sys::ucp_request_free(request) };
    let operation = operation.cast::<Operation>();
    // SAFETY: made by Box::into_raw when the operation started, and given back once: UCX calls back once.
    let operation = unsafe { Box::from_raw(operation) };
    // SAFETY: the mailbox outlives the worker whose callback this is.
    let mailbox = unsafe { &*operation.mailbox };
    let address = std::ptr::from_ref(&*operation).cast_mut();
    mailbox.operations.borrow_mut().remove(&address);
    mailbox.completed.set(address as usize);
    operation
}

/// A send is complete.
pub(super) unsafe extern "C" fn on_sent(request: *mut c_void, status: sys::ucs_status_t, user: *mut c_void) {
    // SAFETY: UCX calls this once for the operation that was started with it.
    let Operation { mailbox, peer, buffer, .. } = *unsafe { take(user, request) };
    // SAFETY: the mailbox outlives the worker.
    unsafe { &*mailbox }.put(Mail::Sent { peer, buffer, status: Status(status) });
}

/// A large frame is here.
pub(super) unsafe extern "C" fn on_fetched(
    request: *mut c_void,
    status: sys::ucs_status_t,
    _size: usize,
    user: *mut c_void,
) {
    // SAFETY: UCX calls this once for the operation that was started with it.
    let Operation { mailbox, peer, buffer, .. } = *unsafe { take(user, request) };
    // SAFETY: the mailbox outlives the worker.
    unsafe { &*mailbox }.put(Mail::Fetched { peer, bytes: buffer, status: Status(status) });
}

/// A close is complete; the tag goes with it, for no other callback of this endpoint can follow.
pub(super) unsafe extern "C" fn on_closed(
    request: *mut c_void,
    _status: sys::ucs_status_t,
    user: *mut c_void,
) {
    // SAFETY: the request is complete, and its callback is the one place that frees it.
    unsafe { sys::ucp_request_free(request) };
    // SAFETY: the tag lives until the lane forgets the endpoint, which happens when this mail is read.
    let tag = unsafe { &*user.cast::<PeerTag>() };
    // SAFETY: the mailbox outlives the worker.
    let mailbox = unsafe { &*tag.mailbox };
    mailbox.closes.borrow_mut().remove(&request);
    mailbox.completed.set(user as usize);
    mailbox.put(Mail::Closed { peer: tag.peer });
}

/// The connection is broken.
pub(super) unsafe extern "C" fn on_failed(user: *mut c_void, _: sys::ucp_ep_h, status: sys::ucs_status_t) {
    // SAFETY: the tag lives until the close of its endpoint is complete.
    let tag = unsafe { &*user.cast::<PeerTag>() };
    // SAFETY: the mailbox outlives the worker.
    unsafe { &*tag.mailbox }.put(Mail::Failed { peer: tag.peer, status: Status(status) });
}

/// Somebody wants to connect.
pub(super) unsafe extern "C" fn on_asked(request: sys::ucp_conn_request_h, mailbox: *mut c_void) {
    // SAFETY: the argument is the mailbox of the listener's lane, which outlives its worker.
    unsafe { &*mailbox.cast::<Mailbox>() }.put(Mail::Asked(ConnectionRequest(request)));
}
