//! What the parsers are tried with: one function a parser, for any bytes; a panic is a finding.
//!
//! Each says what has to hold: the same answer whole, byte by byte and in any other cut; what is written reads back as
//! it was; what is accepted is in its one form. Never a panic, whatever comes from the network.
#![forbid(unsafe_code)]
// A broken promise is told by a panic: that is what a fuzzer looks for.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

pub mod capture;
pub mod cuts;
pub mod http1;
pub mod http2;
pub mod json;
pub mod mutate;
pub mod request;
pub mod seeds;
pub mod token;
pub mod wire;

/// A parser's trial.
#[derive(Clone, Copy)]
pub struct Target {
    /// For `make fuzz TARGET=`.
    pub name: &'static str,
    /// Panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 10] = [
    Target { name: "head", run: http1::heads, seeds: seeds::heads },
    Target { name: "body", run: http1::body, seeds: seeds::bodies },
    Target { name: "h2_head", run: http2::head, seeds: seeds::h2_heads },
    Target { name: "h2_frames", run: http2::frames, seeds: seeds::h2_frames },
    Target { name: "json", run: json::json, seeds: seeds::json },
    Target { name: "request", run: request::request, seeds: seeds::requests },
    Target { name: "frame", run: wire::frame, seeds: seeds::frames },
    Target { name: "token", run: token::token, seeds: seeds::tokens },
    Target { name: "capture", run: capture::capture, seeds: capture::seeds },
    Target { name: "trace", run: http2::trace, seeds: seeds::traces },
];

/// The target of a name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
