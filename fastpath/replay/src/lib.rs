//! The replay rig's loop: frames out of captures or a generator, through XDP programs by `BPF_PROG_TEST_RUN`.
//!
//! Memory is bounded whatever the input is: one frame, one piece of the file, as many results as are asked for.

pub mod capture;
pub mod counts;
pub mod error;
pub mod frame;
pub mod generate;
pub mod input;
pub mod kernel;
pub mod pcap;
pub mod pcapng;
pub mod run;
pub mod source;

pub use error::Error;
pub use frame::Frame;
pub use source::Source;
