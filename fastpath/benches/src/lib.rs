//! The load client of `make bench` and the back end of event streams: closed and open loops, HTTP/1.1, HTTP/2,
//! handshakes, every answer checked. One thread, so that the other core is the proxy's.
//!
//! It knows nothing of dpu-app: all sides are asked in the same way. How it is driven stands in [`drive`].
#![forbid(unsafe_code)]

pub mod backend;
pub mod body;
pub mod connect;
pub mod drive;
pub mod events;
pub mod h1;
pub mod h2c;
pub mod handshake;
pub mod options;
pub mod round;
pub mod tickets;
pub mod work;

/// What went wrong, for people: the bench prints it and counts the run as failed.
pub type Fault = String;

/// Any error as a fault, with what was being done.
pub fn fault<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Fault {
    move |error| format!("{what}: {error}")
}
