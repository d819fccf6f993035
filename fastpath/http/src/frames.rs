//! The frames of one HTTP/2 connection, seen from beside: their nine-byte heads, and little else.
//!
//! The h2 crate frames and checks; what it has no limit for is counted here as the bytes pass (RFC 9113, 4.1 and 10.5),
//! and what it refuses by itself is read off the frames that it sends. No allocation, and nothing kept of any payload
//! but the first bytes of RST_STREAM and GOAWAY.

mod cursor;

use crate::limits::FrameLimits;
use cursor::{Cursor, Frame};
use dpu_types::Reason;

/// The 24 bytes that a client sends first (RFC 9113, 3.4).
const PREFACE_BYTES: u8 = 24;
/// DATA below this, without END_STREAM, costs more to handle than it brings.
const SMALL_DATA_BYTES: u32 = 256;
/// Answer DATA from this size on earns its WINDOW_UPDATEs; below it somebody opens the window byte by byte.
const EARNING_DATA_BYTES: u32 = 64;
/// What a padded frame may hold of padding (RFC 9113, 6.1).
const PADDING_BYTES_MAX: u32 = 256;
/// Control frames that one frame of an answer earns: a WINDOW_UPDATE for the stream and one for the connection.
const CONTROL_EARNED: u32 = 2;
/// Tiny DATA frames that an answer earns: a client may send a small body and its end apart.
const SMALL_DATA_EARNED: u32 = 4;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

/// What one connection's frames have come to.
pub struct FrameWatch {
    limits: FrameLimits,
    incoming: Cursor,
    outgoing: Cursor,
    resets: Pool,
    errors: Pool,
    control: Pool,
    small_data: Pool,
    continuations: u32,
    head_is_open: bool,
    heads: Heads,
    last_sent_head: u32,
    verdict: Option<Reason>,
}

/// Heads that came, and what became of them.
#[derive(Default)]
struct Heads {
    last_stream: u32,
    opened: u64,
    taken: u64,
    refused: Refused,
    told: Refused,
}

/// Heads that the h2 crate refused by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// One stream more than may be open (REFUSED_STREAM).
    pub streams: u64,
    /// Larger than its bound: it answered 431.
    pub too_large: u64,
    /// Malformed: it reset the stream.
    pub malformed: u64,
}

/// Frames that may still come. Starts full; never more than full.
struct Pool {
    left: u32,
    max: u32,
}

impl Pool {
    const fn full(max: u32) -> Self {
        Self { left: max, max }
    }

    /// False where there is nothing left.
    fn spend(&mut self) -> bool {
        let has = self.left > 0;
        self.left -= u32::from(has);
        has
    }

    fn earn(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(self.max);
    }
}

impl FrameWatch {
    /// At the start of a connection, before the client's preface.
    #[must_use]
    pub fn new(limits: FrameLimits) -> Self {
        Self {
            limits,
            incoming: Cursor::after(PREFACE_BYTES),
            outgoing: Cursor::after(0),
            resets: Pool::full(limits.resets_max),
            errors: Pool::full(limits.errors_max),
            control: Pool::full(limits.control_max),
            small_data: Pool::full(limits.small_data_max),
            continuations: 0,
            head_is_open: false,
            heads: Heads::default(),
            last_sent_head: 0,
            verdict: None,
        }
    }

    /// Bytes that the client sent, in order.
    pub fn received(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.verdict.is_none() {
            let (frame, done, rest) = self.incoming.feed(bytes);
            bytes = rest;
            if let Some(frame) = frame {
                self.incoming_begins(frame);
            }
            // A frame that was one too many counts no further, whether its end came with its beginning or later.
            if let Some(frame) = done.filter(|_| self.verdict.is_none()) {
                self.incoming_done(frame);
            }
        }
    }

    /// Bytes that were sent to the client, in order.
    pub fn sent(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (_, done, rest) = self.outgoing.feed(bytes);
            bytes = rest;
            if let Some(frame) = done {
                self.outgoing_done(frame);
            }
        }
    }

    /// Why the connection has to end: what the client did too often, or what the h2 crate's GOAWAY says.
    #[must_use]
    pub const fn verdict(&self) -> Option<Reason> {
        self.verdict
    }

    /// Whether a head has begun and not ended.
    #[must_use]
    pub const fn head_is_open(&self) -> bool {
        self.head_is_open
    }

    /// Payload bytes that are here of a DATA frame that is not whole, if it is this stream's.
    #[must_use]
    pub fn partial_data(&self, stream: u32) -> usize {
        self.incoming.partial(DATA, stream)
    }

    /// A stream was handed to us: its head is not one that the h2 crate refused.
    pub fn head_taken(&mut self) {
        self.heads.taken += 1;
    }

    /// An answer was begun (a 100 is none): the client may reset one stream more.
    pub fn answer_begun(&mut self) {
        self.resets.earn(1);
    }

    /// What the h2 crate refused since the last call. Only when every stream that it has was handed to us.
    pub fn take_refused(&mut self) -> Option<Refused> {
        let heads = &mut self.heads;
        let known = heads.taken + heads.refused.streams + heads.refused.too_large;
        heads.refused.malformed = heads.refused.malformed.max(heads.opened.saturating_sub(known));
        let (now, told) = (heads.refused, heads.told);
        heads.told = now;
        (now != told).then_some(Refused {
            streams: now.streams - told.streams,
            too_large: now.too_large - told.too_large,
            malformed: now.malformed - told.malformed,
        })
    }

    fn incoming_begins(&mut self, frame: Frame) {
        match frame.kind {
            HEADERS => {
                self.head_is_open = true;
                self.continuations = 0;
            }
            CONTINUATION => {
                self.continuations += 1;
                self.judge(self.continuations <= self.limits.continuations_max, Reason::H2Continuations);
            }
            _ => {}
        }
    }

    fn incoming_done(&mut self, frame: Frame) {
        match frame.kind {
            HEADERS | CONTINUATION => self.head_part(frame),
            DATA => self.data_received(frame),
            RST_STREAM => {
                let allowed = self.resets.spend();
                self.judge(allowed, Reason::H2Resets);
            }
            // SETTINGS, PING, PRIORITY, WINDOW_UPDATE, GOAWAY, and what nobody knows.
            _ => {
                let allowed = self.control.spend();
                self.judge(allowed, Reason::H2ControlFrames);
            }
        }
    }

    fn head_part(&mut self, frame: Frame) {
        if frame.flags & END_HEADERS == 0 {
            return;
        }
        self.head_is_open = false;
        // A second head on a stream is its trailers.
        if frame.stream > self.heads.last_stream {
            self.heads.last_stream = frame.stream;
            self.heads.opened += 1;
        }
    }

    fn data_received(&mut self, frame: Frame) {
        let padding = if frame.flags & PADDED == 0 { 0 } else { PADDING_BYTES_MAX };
        if frame.length.saturating_sub(padding) >= SMALL_DATA_BYTES {
            self.small_data.earn(1);
        } else if frame.flags & END_STREAM == 0 {
            let allowed = self.small_data.spend();
            self.judge(allowed, Reason::H2SmallData);
        }
    }

    fn outgoing_done(&mut self, frame: Frame) {
        let ends = frame.flags & END_STREAM != 0;
        match frame.kind {
            HEADERS => {
                self.last_sent_head = frame.stream;
                self.control.earn(CONTROL_EARNED);
            }
            DATA if ends || frame.length >= EARNING_DATA_BYTES => self.control.earn(CONTROL_EARNED),
            RST_STREAM => return self.reset_sent(frame.stream),
            GOAWAY => return self.goaway_sent(),
            _ => {}
        }
        if ends && matches!(frame.kind, HEADERS | DATA) {
            self.errors.earn(1);
            self.small_data.earn(SMALL_DATA_EARNED);
        }
    }

    fn reset_sent(&mut self, stream: u32) {
        let code = self.outgoing.word(0);
        // NO_ERROR: we have answered without the rest of the body. CANCEL: ours, and counted where it was decided.
        if matches!(code, NO_ERROR | CANCEL) {
            return;
        }
        // The crate answers a head over its bound with 431, then resets; every other head it resets at once.
        let answered = stream == self.last_sent_head && stream > 0;
        self.heads.refused.streams += u64::from(code == REFUSED_STREAM);
        self.heads.refused.too_large += u64::from(answered && code != REFUSED_STREAM);
        let allowed = self.errors.spend();
        self.judge(allowed, Reason::H2Errors);
    }

    fn goaway_sent(&mut self) {
        let code = self.outgoing.word(4);
        if code == NO_ERROR {
            return;
        }
        let reason = match self.outgoing.text(8) {
            b"too_many_resets" => Reason::H2Resets,
            b"too_many_internal_resets" => Reason::H2Errors,
            b"too_many_continuations" => Reason::H2Continuations,
            b"too_many_data_frames" => Reason::H2SmallData,
            b"header_list_way_too_large" => Reason::HttpHeadTooLarge,
            _ => Reason::HttpH2Protocol,
        };
        self.judge(false, reason);
    }

    /// The first reason stays.
    fn judge(&mut self, allowed: bool, reason: Reason) {
        if !allowed {
            self.verdict.get_or_insert(reason);
        }
    }
}

#[cfg(test)]
mod tests;
