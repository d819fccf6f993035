//! A lane: one UCX worker, the endpoints on it, and what it has in flight.

use super::context::Context;
use super::endpoint::{Endpoint, PeerTag};
use super::listener::ConnectionRequest;
use super::mailbox::{
    on_closed, on_failed, on_fetched, on_message, on_sent, Mail, Mailbox, Operation, RendezvousHandle,
};
use super::status::{outcome, Outcome, Status};
use super::{address, sys, Epoll};
use crate::transport::PeerId;
use dpu_types::gen::worker_frame::AM_ID;
use std::cell::RefCell;
use std::ffi::c_void;
use std::net::SocketAddr;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

/// What became of a send.
pub enum Sent {
    /// Complete; the buffer is free again.
    Done(Vec<u8>),
    /// `Mail::Sent` follows.
    Pending,
    /// Nothing was sent.
    Failed(Status),
}

/// Owns a `ucp_worker_h`.
pub struct Lane {
    pub(super) handle: sys::ucp_worker_h,
    pub(super) mailbox: Rc<Mailbox>,
    /// Tags of endpoints that are open or closing.
    tags: RefCell<Vec<*mut PeerTag>>,
    /// An operation that completed at once, for the next one.
    spare: RefCell<Option<Box<Operation>>>,
    _context: Arc<Context>,
}

// SAFETY: everything reachable from a lane (worker, endpoints, mailbox) belongs to one `UcxTransport` and moves with
// it as a whole, listener included; the worker is created with UCS_THREAD_MODE_SERIALIZED, which allows any thread,
// one at a time. UCX's own async thread never calls our callbacks: they run inside ucp_worker_progress.
unsafe impl Send for Lane {}

impl Lane {
    /// A worker whose events show on `epoll`.
    ///
    /// # Errors
    /// UCX's own.
    pub fn new(context: &Arc<Context>, epoll: &Epoll) -> Result<Self, Status> {
        let mask = sys::UCP_WORKER_PARAM_FIELD_THREAD_MODE
            | sys::UCP_WORKER_PARAM_FIELD_EVENTS
            | sys::UCP_WORKER_PARAM_FIELD_EVENT_FD;
        let params = sys::ucp_worker_params_t {
            field_mask: u64::from(mask),
            thread_mode: sys::UCS_THREAD_MODE_SERIALIZED,
            events: sys::UCP_WAKEUP_RX | sys::UCP_WAKEUP_TX,
            event_fd: epoll.fd(),
            // SAFETY: a plain C struct; zero is a valid value of each field, and the mask says which are read.
            ..unsafe { std::mem::zeroed() }
        };
        let mut handle = ptr::null_mut();
        // SAFETY: the context is alive, and stays so by the reference count in the lane.
        Status(unsafe { sys::ucp_worker_create(context.handle, &params, &mut handle) }).into_result()?;
        let lane = Self {
            handle,
            mailbox: Rc::default(),
            tags: RefCell::default(),
            spare: RefCell::default(),
            _context: Arc::clone(context),
        };
        lane.take_messages()?;
        Ok(lane)
    }

    fn take_messages(&self) -> Result<(), Status> {
        let mask = sys::UCP_AM_HANDLER_PARAM_FIELD_ID
            | sys::UCP_AM_HANDLER_PARAM_FIELD_CB
            | sys::UCP_AM_HANDLER_PARAM_FIELD_ARG
            | sys::UCP_AM_HANDLER_PARAM_FIELD_FLAGS;
        let params = sys::ucp_am_handler_param_t {
            field_mask: u64::from(mask),
            id: AM_ID,
            flags: sys::UCP_AM_FLAG_WHOLE_MSG,
            cb: Some(on_message),
            arg: Rc::as_ptr(&self.mailbox).cast_mut().cast::<c_void>(),
        };
        // SAFETY: the worker is alive; the mailbox outlives it (see Drop).
        Status(unsafe { sys::ucp_worker_set_am_recv_handler(self.handle, &params) }).into_result()
    }

    /// Connects to `address`. With `watched` UCX detects a dead peer itself, on transports that can.
    ///
    /// # Errors
    /// UCX's own: no transport reaches there.
    pub fn connect(&self, peer: PeerId, address: SocketAddr, watched: bool) -> Result<Endpoint, Status> {
        let (storage, size) = address::to_c(address);
        let mut params = Self::endpoint_params();
        params.field_mask |= u64::from(sys::UCP_EP_PARAM_FIELD_FLAGS | sys::UCP_EP_PARAM_FIELD_SOCK_ADDR);
        params.flags = sys::UCP_EP_PARAMS_FLAGS_CLIENT_SERVER;
        params.sockaddr = sys::ucs_sock_addr_t { addr: ptr::from_ref(&storage).cast(), addrlen: size };
        self.open(peer, watched, params)
    }

    /// Takes somebody who asked at a listener of the same context.
    ///
    /// # Errors
    /// UCX's own: the client has gone, or no transport is common.
    pub fn accept(
        &self,
        peer: PeerId,
        request: ConnectionRequest,
        watched: bool,
    ) -> Result<Endpoint, Status> {
        let mut params = Self::endpoint_params();
        params.field_mask |= u64::from(sys::UCP_EP_PARAM_FIELD_CONN_REQUEST);
        params.conn_request = request.0;
        self.open(peer, watched, params)
    }

    fn endpoint_params() -> sys::ucp_ep_params_t {
        sys::ucp_ep_params_t {
            field_mask: u64::from(
                sys::UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | sys::UCP_EP_PARAM_FIELD_ERR_HANDLER,
            ),
            // SAFETY: a plain C struct; zero is a valid value of each field, and the mask says which are read.
            ..unsafe { std::mem::zeroed() }
        }
    }

    fn open(
        &self,
        peer: PeerId,
        watched: bool,
        mut params: sys::ucp_ep_params_t,
    ) -> Result<Endpoint, Status> {
        let tag = Box::into_raw(Box::new(PeerTag { mailbox: Rc::as_ptr(&self.mailbox), peer }));
        params.err_mode =
            if watched { sys::UCP_ERR_HANDLING_MODE_PEER } else { sys::UCP_ERR_HANDLING_MODE_NONE };
        params.err_handler = sys::ucp_err_handler_t { cb: Some(on_failed), arg: tag.cast::<c_void>() };
        let mut handle = ptr::null_mut();
        // SAFETY: the worker is alive; what `params` points to lives through the call, the tag until it is forgotten.
        let status = Status(unsafe { sys::ucp_ep_create(self.handle, &params, &mut handle) });
        if let Err(status) = status.into_result() {
            // SAFETY: made above; no endpoint knows it.
            drop(unsafe { Box::from_raw(tag) });
            return Err(status);
        }
        self.tags.borrow_mut().push(tag);
        self.mailbox.by_endpoint.borrow_mut().insert(handle as usize, peer);
        Ok(Endpoint { handle, tag, watched })
    }

    /// Names the only peer of this lane: its frames need not carry an endpoint.
    pub fn set_sole_peer(&self, peer: PeerId) {
        self.mailbox.sole.set(Some(peer));
    }

    /// Sends one frame. `named`: it carries the endpoint, for lanes with several peers.
    pub fn send(&self, peer: PeerId, endpoint: &Endpoint, frame: Vec<u8>, named: bool) -> Sent {
        let operation = self.operation(peer, frame);
        let (data, size) = (operation.buffer.as_ptr(), operation.buffer.len());
        let raw = Box::into_raw(operation);
        let param = Self::request_params(
            sys::ucp_request_param_t__bindgen_ty_1 { send: Some(on_sent) },
            raw.cast::<c_void>(),
            if named { sys::UCP_AM_SEND_FLAG_REPLY } else { 0 },
        );
        // SAFETY: the endpoint is open; the buffer belongs to the operation, which lives until UCX completes it.
        let returned = unsafe {
            sys::ucp_am_send_nbx(endpoint.handle, AM_ID, ptr::null(), 0, data.cast(), size, &param)
        };
        match self.started(raw, returned) {
            (Outcome::Done, Some(buffer)) => Sent::Done(buffer),
            (Outcome::Failed(status), _) => Sent::Failed(status),
            _ => Sent::Pending,
        }
    }

    /// Fetches an announced frame. `Mail::Fetched` follows.
    pub fn receive(&self, peer: PeerId, handle: &RendezvousHandle) {
        let operation = self.operation(peer, vec![0; handle.size]);
        let data = operation.buffer.as_ptr().cast_mut();
        let raw = Box::into_raw(operation);
        let callback = sys::ucp_request_param_t__bindgen_ty_1 { recv_am: Some(on_fetched) };
        let param = Self::request_params(callback, raw.cast::<c_void>(), 0);
        // SAFETY: the descriptor was announced and is used up here; the buffer has its size and belongs to the
        // operation, which lives until UCX completes it; nothing else looks at it until then.
        let returned = unsafe {
            sys::ucp_am_recv_data_nbx(self.handle, handle.descriptor, data.cast(), handle.size, &param)
        };
        let (status, bytes) = match self.started(raw, returned) {
            (Outcome::Done, Some(bytes)) => (Status::OK, bytes),
            (Outcome::Failed(status), _) => (status, Vec::new()),
            _ => return,
        };
        self.mailbox.put(Mail::Fetched { peer, bytes, status });
    }

    fn operation(&self, peer: PeerId, buffer: Vec<u8>) -> Box<Operation> {
        let mailbox = Rc::as_ptr(&self.mailbox);
        self.mailbox.completed.set(0);
        match self.spare.borrow_mut().take() {
            Some(mut spare) => {
                *spare = Operation { mailbox, peer, buffer, request: ptr::null_mut() };
                spare
            }
            None => Box::new(Operation { mailbox, peer, buffer, request: ptr::null_mut() }),
        }
    }

    /// Books a started operation, or takes the buffer of a completed one back.
    fn started(&self, raw: *mut Operation, returned: *mut c_void) -> (Outcome, Option<Vec<u8>>) {
        // A rendezvous that fails at once calls back before it returns, and still returns a request.
        if self.mailbox.completed.replace(0) == raw as usize {
            return (Outcome::Pending, None);
        }
        let outcome = outcome(returned);
        if matches!(outcome, Outcome::Pending) {
            // SAFETY: made by Box::into_raw, not completed; UCX only carries the pointer until it is.
            unsafe { (*raw).request = returned };
            self.mailbox.operations.borrow_mut().insert(raw);
            return (outcome, None);
        }
        // SAFETY: made by Box::into_raw just before; UCX is done with it and will not call back.
        let mut operation = unsafe { Box::from_raw(raw) };
        let buffer = std::mem::take(&mut operation.buffer);
        *self.spare.borrow_mut() = Some(operation);
        (outcome, Some(buffer))
    }

    fn request_params(
        cb: sys::ucp_request_param_t__bindgen_ty_1,
        user_data: *mut c_void,
        flags: u32,
    ) -> sys::ucp_request_param_t {
        sys::ucp_request_param_t {
            op_attr_mask: sys::UCP_OP_ATTR_FIELD_CALLBACK
                | sys::UCP_OP_ATTR_FIELD_USER_DATA
                | sys::UCP_OP_ATTR_FIELD_FLAGS,
            flags,
            cb,
            user_data,
            // SAFETY: a plain C struct; zero is a valid value of each field, and the mask says which are read.
            ..unsafe { std::mem::zeroed() }
        }
    }

    /// Ends an endpoint; `Mail::Closed` follows where true is returned, else it is closed already. By force: at once,
    /// what is in flight is given up (only for a watched one); else after a flush, which a dead peer may keep waiting.
    pub fn close(&self, endpoint: &Endpoint, force: bool) -> bool {
        self.mailbox.by_endpoint.borrow_mut().remove(&(endpoint.handle as usize));
        self.mailbox.sole.set(None);
        let flags = if force && endpoint.watched { UCP_EP_CLOSE_FLAG_FORCE } else { 0 };
        let callback = sys::ucp_request_param_t__bindgen_ty_1 { send: Some(on_closed) };
        let param = Self::request_params(callback, endpoint.tag.cast::<c_void>(), flags);
        self.mailbox.completed.set(0);
        // SAFETY: the endpoint is open and not used after this; its tag lives until `forget`.
        let returned = unsafe { sys::ucp_ep_close_nbx(endpoint.handle, &param) };
        let pending = matches!(outcome(returned), Outcome::Pending);
        if pending && self.mailbox.completed.replace(0) != endpoint.tag as usize {
            self.mailbox.closes.borrow_mut().insert(returned);
        }
        pending
    }

    /// Frees what the callbacks of a closed endpoint were told.
    pub fn forget(&self, endpoint: &Endpoint) {
        self.tags.borrow_mut().retain(|tag| *tag != endpoint.tag);
        // SAFETY: made by Box::into_raw in `open`; the close is complete, so no callback can use it any more.
        drop(unsafe { Box::from_raw(endpoint.tag) });
    }

    /// Lets UCX work; what happens goes to the mail. Returns how much it did.
    pub fn progress(&self) -> u32 {
        // SAFETY: the worker is alive; no borrow of the mailbox is held.
        unsafe { sys::ucp_worker_progress(self.handle) }
    }

    /// Moves the mail to `out`.
    pub fn take_mail(&self, out: &mut Vec<Mail>) {
        out.append(&mut self.mailbox.mail.borrow_mut());
    }

    /// True: the next event will show on the epoll descriptor. False: there is work now.
    pub fn arm(&self) -> bool {
        // SAFETY: the worker is alive.
        self.mailbox.mail.borrow().is_empty() && unsafe { sys::ucp_worker_arm(self.handle) } == sys::UCS_OK
    }

    /// Operations that UCX has not completed.
    pub fn operations(&self) -> usize {
        self.mailbox.operations.borrow().len()
    }
}

/// `UCP_EP_CLOSE_FLAG_FORCE` is in an enum without a name, which the allow-list of bindgen cannot say.
const UCP_EP_CLOSE_FLAG_FORCE: u32 = 1;

impl Drop for Lane {
    fn drop(&mut self) {
        // UCX insists (it aborts) that nobody waits for a close any more; freeing a request in progress drops its
        // callback, and UCX lets the request go when it is done with it.
        let operations = self.mailbox.operations.borrow();
        // SAFETY: made by Box::into_raw, and in the set: not completed.
        let sends = operations.iter().map(|operation| unsafe { (**operation).request });
        for request in self.mailbox.closes.borrow_mut().drain().chain(sends) {
            // SAFETY: a request that UCX returned and has not completed; freed once.
            unsafe { sys::ucp_request_free(request) };
        }
        drop(operations);
        // SAFETY: made by ucp_worker_create, destroyed once; the transport drops the listener before.
        unsafe { sys::ucp_worker_destroy(self.handle) };
        // Nobody in this process can call back any more.
        for tag in self.tags.borrow_mut().drain(..) {
            // SAFETY: made by Box::into_raw in `open`, freed only here or in `forget`, which takes it off the list.
            drop(unsafe { Box::from_raw(tag) });
        }
        for operation in self.mailbox.operations.borrow_mut().drain() {
            // SAFETY: made by Box::into_raw, still in the set: UCX has not called back, and with the worker gone it
            // never will. Without cma (see `UcxTransport`) no other process reads the buffer by address.
            drop(unsafe { Box::from_raw(operation) });
        }
    }
}
