//! HTTP without I/O: bytes in, values out. No sockets, no tokio, no clock; times come in as arguments.
//!
//! * [`head`]: an HTTP/1.x head, framed strictly (RFC 9110, RFC 9112), and [`h2`]: the same for HTTP/2.
//! * [`frames`]: HTTP/2's frames counted as they pass, where the h2 crate has no limit.
//! * [`body`]: the body behind it, by length or chunked.
//! * [`routing`]: method and path to endpoint, shared by both.
//! * [`respond`], [`answer`], [`sse`]: heads, whole JSON bodies and event streams of answers.

#![forbid(unsafe_code)]

pub mod answer;
pub mod body;
pub mod date;
mod fields;
pub mod frames;
pub mod h2;
pub mod head;
mod host;
mod json;
pub mod limits;
pub mod respond;
pub mod routing;
mod scan;
pub mod sse;
mod target;

pub use answer::{Kind, Usage};
pub use body::{BodyDecoder, Fed, LengthCheck};
pub use frames::FrameWatch;
pub use h2::H2Head;
pub use head::{BodyFraming, Head, HeadParser, HeadRefused};
pub use limits::{FrameLimits, HeadLimits};
pub use respond::{Extra, ResponseHead};
