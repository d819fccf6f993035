//! A listener: a socket address where UCX takes connections.

use super::lane::Lane;
use super::mailbox::{on_asked, Mailbox};
use super::status::Status;
use super::{address, sys};
use std::ffi::c_void;
use std::net::SocketAddr;
use std::ptr;
use std::rc::Rc;

/// Somebody who wants to connect: `Lane::accept` or `Listener::reject` takes it.
pub struct ConnectionRequest(pub(super) sys::ucp_conn_request_h);

/// Owns a `ucp_listener_h`. It must go before its lane; the transport drops it first.
pub struct Listener {
    handle: sys::ucp_listener_h,
    /// The callback's argument.
    _mailbox: Rc<Mailbox>,
}

impl Listener {
    /// Listens with the lane's worker. Requests come as `Mail::Asked`.
    ///
    /// # Errors
    /// UCX's own: busy, no such address.
    pub fn new(lane: &Lane, address: SocketAddr) -> Result<Self, Status> {
        let (storage, size) = address::to_c(address);
        let mailbox = Rc::clone(&lane.mailbox);
        let params = sys::ucp_listener_params_t {
            field_mask: u64::from(
                sys::UCP_LISTENER_PARAM_FIELD_SOCK_ADDR | sys::UCP_LISTENER_PARAM_FIELD_CONN_HANDLER,
            ),
            sockaddr: sys::ucs_sock_addr_t { addr: ptr::from_ref(&storage).cast(), addrlen: size },
            conn_handler: sys::ucp_listener_conn_handler_t {
                cb: Some(on_asked),
                arg: Rc::as_ptr(&mailbox).cast_mut().cast::<c_void>(),
            },
            // SAFETY: a plain C struct; zero is a valid value of each field, and the mask says which are read.
            ..unsafe { std::mem::zeroed() }
        };
        let mut handle = ptr::null_mut();
        // SAFETY: the worker is alive; `params` and the address it points to live through the call.
        Status(unsafe { sys::ucp_listener_create(lane.handle, &params, &mut handle) }).into_result()?;
        Ok(Self { handle, _mailbox: mailbox })
    }

    /// The address really bound.
    pub fn address(&self) -> Option<SocketAddr> {
        let mut attr = sys::ucp_listener_attr_t {
            field_mask: u64::from(sys::UCP_LISTENER_ATTR_FIELD_SOCKADDR),
            // SAFETY: a plain C struct; zero is a valid value of each field.
            ..unsafe { std::mem::zeroed() }
        };
        // SAFETY: the listener is alive, `attr` is valid for the result.
        Status(unsafe { sys::ucp_listener_query(self.handle, &mut attr) }).into_result().ok()?;
        address::from_c(&attr.sockaddr)
    }

    /// Sends somebody away.
    pub fn reject(&self, request: ConnectionRequest) {
        // SAFETY: the request came from this listener and is used up here. A failure leaves nothing to do.
        let _ = unsafe { sys::ucp_listener_reject(self.handle, request.0) };
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // SAFETY: made by ucp_listener_create, destroyed once, before its worker.
        unsafe { sys::ucp_listener_destroy(self.handle) };
    }
}
