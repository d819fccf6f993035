//! The worker's side of the transport: one thread that owns the UCX server, slots, and the echo engine.
//!
//! Other engines live in other threads (Python): they take jobs with `HostRuntime::next` and answer through `Job`.
//! Nothing here runs while nothing happens.

mod books;
mod config;
mod driver;
mod echo;
mod echo_embed;
mod echo_text;
mod engine_totals;
mod handle;
mod job;
mod report;
mod shared;
mod spin;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_credit;
mod work;

pub use config::HostConfig;
pub use handle::HostRuntime;
pub use job::Job;
