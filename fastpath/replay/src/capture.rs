//! A capture of either format, told by its first bytes.

use crate::error::Error;
use crate::frame::Frame;
use crate::input::Input;
use crate::pcap::Pcap;
use crate::pcapng::Pcapng;
use std::io::Read;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Number of Ethernet among the link types (LINKTYPE_ETHERNET).
pub const ETHERNET: u16 = 1;

/// An open capture.
pub enum Capture {
    /// libpcap's own format.
    Pcap(Pcap),
    /// The block format of draft-ietf-opsawg-pcapng.
    Pcapng(Box<Pcapng>),
}

impl Capture {
    /// Reads as much as says what it is.
    pub fn open(from: Box<dyn Read + Send + Sync>) -> Result<Self, Error> {
        let mut input = Input::new(from);
        let start = input.peek(4)?;
        if start.starts_with(&GZIP) || start.starts_with(&ZSTD) {
            return Err(Error::new(
                "the capture is compressed",
                "unpack it, or give - and pipe it: zcat F | dpu-replay run --pcap -",
            ));
        }
        if start == crate::pcapng::SECTION.to_le_bytes() {
            return Ok(Self::Pcapng(Box::new(Pcapng::new(input))));
        }
        Pcap::open(input).map(Self::Pcap)
    }

    /// The next frame; false at the end.
    pub fn next(&mut self, frame: &mut Frame) -> Result<bool, Error> {
        match self {
            Self::Pcap(pcap) => pcap.next(frame),
            Self::Pcapng(pcapng) => pcapng.next(frame),
        }
    }

    /// Bytes of the file that lie behind.
    #[must_use]
    pub fn position(&self) -> u64 {
        match self {
            Self::Pcap(pcap) => pcap.input.position(),
            Self::Pcapng(pcapng) => pcapng.input.position(),
        }
    }

    /// Whether the file ended inside a record: a capture that was still written, or that was cut.
    #[must_use]
    pub fn ended_early(&self) -> bool {
        match self {
            Self::Pcap(pcap) => pcap.ended_early,
            Self::Pcapng(pcapng) => pcapng.ended_early,
        }
    }
}

/// Another link type than Ethernet, said so that somebody can act on it.
#[must_use]
pub fn not_ethernet(link_type: u16) -> Error {
    Error::new(
        format!("the capture has link type {link_type}, not Ethernet (1)"),
        "capture on the interface itself, not on 'any' or a tunnel",
    )
}
