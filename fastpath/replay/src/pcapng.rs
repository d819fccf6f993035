//! The block format of draft-ietf-opsawg-pcapng: sections, interfaces, packets of three kinds; other blocks are skipped.

use crate::capture::{not_ethernet, ETHERNET};
use crate::error::Error;
use crate::frame::{Frame, FRAME_BYTES_MAX};
use crate::input::{Input, Order};

/// Type of a section header block, the same in both byte orders.
pub const SECTION: u32 = 0x0a0d_0d0a;
const MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const PACKET: u32 = 6;
/// Type, length, and the length once more behind the body.
const FRAMING_BYTES: usize = 12;
/// Blocks that are read whole: a frame and its options.
const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX + 65_536;
/// Interfaces of a section; captures of real machines have a handful.
const INTERFACES_MAX: usize = 4_096;
const OPTION_RESOLUTION: u16 = 9;
const OPTION_OFFSET: u16 = 14;
const NS_PER_S: u128 = 1_000_000_000;

/// An open capture.
pub struct Pcapng {
    pub(crate) input: Input,
    order: Order,
    interfaces: Vec<Interface>,
    last_ns: u64,
    /// Whether the file ended inside a block.
    pub ended_early: bool,
}

#[derive(Clone, Copy)]
struct Interface {
    link_type: u16,
    snap_bytes: u32,
    ticks_per_s: u128,
    offset_s: i64,
}

impl Interface {
    fn clock_ns(&self, ticks: u64) -> u64 {
        let ns = u128::from(ticks) * NS_PER_S / self.ticks_per_s;
        let shifted = ns as i128 + i128::from(self.offset_s) * NS_PER_S as i128;
        u64::try_from(shifted.max(0)).unwrap_or(u64::MAX)
    }
}

impl Pcapng {
    pub(crate) const fn new(input: Input) -> Self {
        Self { input, order: Order::Little, interfaces: Vec::new(), last_ns: 0, ended_early: false }
    }

    /// The next frame; false at the end.
    pub(crate) fn next(&mut self, frame: &mut Frame) -> Result<bool, Error> {
        loop {
            let at = self.input.position();
            let head = self.input.peek(FRAMING_BYTES)?;
            if head.len() < FRAMING_BYTES {
                self.ended_early = !head.is_empty();
                return Ok(false);
            }
            if Order::Little.u32(head, 0) == SECTION {
                self.order = section_order(head)
                    .ok_or_else(|| Error::damaged(at, "no byte-order magic in a section header"))?;
                self.interfaces.clear();
            }
            let (kind, length) = (self.order.u32(head, 0), self.order.u32(head, 4) as usize);
            if length < FRAMING_BYTES || length % 4 != 0 {
                return Err(Error::damaged(at, &format!("a block of {length} bytes")));
            }
            let done = match kind {
                INTERFACE | OLD_PACKET | SIMPLE_PACKET | PACKET => self.block(at, kind, length, frame)?,
                _ => self.input.skip(length)?.then_some(false),
            };
            match done {
                Some(true) => return Ok(true),
                Some(false) => {}
                None => {
                    self.ended_early = true;
                    return Ok(false);
                }
            }
        }
    }

    /// Reads a block that is of use; whether it gave a frame, None where the file ends inside it.
    fn block(&mut self, at: u64, kind: u32, length: usize, frame: &mut Frame) -> Result<Option<bool>, Error> {
        let order = self.order;
        if length > BODY_BYTES_MAX {
            return Err(Error::damaged(at, &format!("a block of {length} bytes")));
        }
        let Some(block) = self.input.take(length)? else { return Ok(None) };
        if order.u32(block, length - 4) as usize != length {
            return Err(Error::damaged(at, "a block says two lengths"));
        }
        let body = &block[8..length - 4];
        if kind == INTERFACE {
            if self.interfaces.len() == INTERFACES_MAX {
                return Err(Error::damaged(at, "too many interfaces"));
            }
            self.interfaces.push(interface(order, body).map_err(|what| Error::damaged(at, what))?);
            return Ok(Some(false));
        }
        let packet = packet(order, kind, body)
            .ok_or_else(|| Error::damaged(at, "a packet block that is too short"))?;
        let Some(from) = self.interfaces.get(packet.interface) else {
            return Err(Error::damaged(at, "a packet of an interface that is not described"));
        };
        if from.link_type != ETHERNET {
            return Err(not_ethernet(from.link_type));
        }
        // A simple packet has no length of its own: it is as long as on the wire, or as the interface's snap length.
        let kept = packet.kept.unwrap_or(if from.snap_bytes == 0 {
            packet.wire
        } else {
            packet.wire.min(from.snap_bytes)
        });
        let data = packet.data.get(..kept as usize).filter(|data| data.len() <= FRAME_BYTES_MAX);
        let data = data.ok_or_else(|| Error::damaged(at, &format!("a frame of {kept} bytes")))?;
        self.last_ns = packet.ticks.map_or(self.last_ns, |ticks| from.clock_ns(ticks));
        frame.set(self.last_ns, packet.wire.max(kept), data);
        Ok(Some(true))
    }
}

fn section_order(head: &[u8]) -> Option<Order> {
    [Order::Little, Order::Big].into_iter().find(|order| order.u32(head, 8) == MAGIC)
}

struct Packet<'a> {
    interface: usize,
    ticks: Option<u64>,
    kept: Option<u32>,
    wire: u32,
    data: &'a [u8],
}

fn packet(order: Order, kind: u32, body: &[u8]) -> Option<Packet<'_>> {
    if kind == SIMPLE_PACKET {
        let data = body.get(4..)?;
        return Some(Packet { interface: 0, ticks: None, kept: None, wire: order.u32(body, 0), data });
    }
    let data = body.get(20..)?;
    let interface =
        if kind == PACKET { order.u32(body, 0) as usize } else { usize::from(order.u16(body, 0)) };
    let ticks = u64::from(order.u32(body, 4)) << 32 | u64::from(order.u32(body, 8));
    Some(Packet {
        interface,
        ticks: Some(ticks),
        kept: Some(order.u32(body, 12)),
        wire: order.u32(body, 16),
        data,
    })
}

fn interface(order: Order, body: &[u8]) -> Result<Interface, &'static str> {
    if body.len() < 8 {
        return Err("an interface block that is too short");
    }
    let mut found = Interface {
        link_type: order.u16(body, 0),
        snap_bytes: order.u32(body, 4),
        ticks_per_s: 1_000_000,
        offset_s: 0,
    };
    let mut options = &body[8..];
    while options.len() >= 4 {
        let (code, length) = (order.u16(options, 0), usize::from(order.u16(options, 2)));
        let Some(value) = options.get(4..4 + length) else { return Err("an option beyond its block") };
        match (code, length) {
            (0, _) => break,
            (OPTION_RESOLUTION, 1) => {
                found.ticks_per_s = ticks_per_s(value[0]).ok_or("a time resolution that nobody has")?
            }
            (OPTION_OFFSET, 8) => found.offset_s = order.u64(value, 0) as i64,
            _ => {}
        }
        options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(found)
}

/// if_tsresol: a negative power of 10, or of 2 where the highest bit is set.
fn ticks_per_s(resolution: u8) -> Option<u128> {
    let power = u32::from(resolution & 0x7f);
    let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
    // Finer than what 64 bits of ticks can count a second of.
    base.checked_pow(power).filter(|ticks| *ticks <= 1 << 64)
}
