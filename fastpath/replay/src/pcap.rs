//! libpcap's format: draft-ietf-opsawg-pcap. Both byte orders, micro- and nanoseconds.

use crate::capture::{not_ethernet, ETHERNET};
use crate::error::Error;
use crate::frame::{Frame, FRAME_BYTES_MAX};
use crate::input::{Input, Order};

const HEADER_BYTES: usize = 24;
const RECORD_BYTES: usize = 16;
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

/// An open capture.
pub struct Pcap {
    pub(crate) input: Input,
    order: Order,
    tick_ns: u64,
    /// Whether the file ended inside a record.
    pub ended_early: bool,
}

impl Pcap {
    /// Reads the header.
    pub(crate) fn open(mut input: Input) -> Result<Self, Error> {
        let Some(header) = input.take(HEADER_BYTES)? else {
            return Err(Error::new("the file is too short for a capture", "give a pcap or pcapng file"));
        };
        let (order, tick_ns) = match (Order::Little.u32(header, 0), Order::Big.u32(header, 0)) {
            (MICROSECONDS, _) => (Order::Little, 1_000),
            (NANOSECONDS, _) => (Order::Little, 1),
            (_, MICROSECONDS) => (Order::Big, 1_000),
            (_, NANOSECONDS) => (Order::Big, 1),
            _ => {
                return Err(Error::new(
                    "the file is neither pcap nor pcapng",
                    "give one that tcpdump or Wireshark wrote",
                ))
            }
        };
        // The upper half has no link type in it: it says how long a checksum each frame ends with.
        match order.u32(header, 20) as u16 {
            ETHERNET => Ok(Self { input, order, tick_ns, ended_early: false }),
            other => Err(not_ethernet(other)),
        }
    }

    /// The next frame; false at the end.
    pub(crate) fn next(&mut self, frame: &mut Frame) -> Result<bool, Error> {
        let at = self.input.position();
        let order = self.order;
        let Some(record) = self.input.take(RECORD_BYTES)? else {
            self.ended_early = !self.input.peek(1)?.is_empty();
            return Ok(false);
        };
        let seconds = u64::from(order.u32(record, 0));
        let ticks = u64::from(order.u32(record, 4));
        let (kept, wire) = (order.u32(record, 8), order.u32(record, 12));
        if kept as usize > FRAME_BYTES_MAX {
            return Err(Error::damaged(at, &format!("a frame of {kept} bytes")));
        }
        let Some(data) = self.input.take(kept as usize)? else {
            self.ended_early = true;
            return Ok(false);
        };
        frame.set(seconds * 1_000_000_000 + ticks * self.tick_ns, wire.max(kept), data);
        Ok(true)
    }
}
