//! UCX behind safe types: the only place of this crate with `unsafe`.
//!
//! Every callback does one thing: it appends to the mailbox of its lane. Nothing of ours runs inside UCX, so no
//! reference of ours is alive across a call into it except the mailbox's `RefCell`, which callbacks hold for one
//! statement.
#![allow(unsafe_code)]

mod address;
mod context;
mod endpoint;
mod epoll;
mod lane;
mod library;
mod listener;
mod mailbox;
mod name;
mod status;

/// The bindings as bindgen makes them.
#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    dead_code,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]
mod sys {
    include!(concat!(env!("OUT_DIR"), "/ucx.rs"));
}

pub use context::{Context, UcxOption};
pub use endpoint::Endpoint;
pub use epoll::Epoll;
pub use lane::{Lane, Sent};
pub use library::{peers_may_look, version, ENVIRONMENT};
pub use listener::{ConnectionRequest, Listener};
pub use mailbox::{Mail, RendezvousHandle};
pub use status::Status;
