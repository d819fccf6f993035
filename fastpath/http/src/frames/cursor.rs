//! Where one direction of an HTTP/2 connection stands: in a frame's head, or in its payload.

/// Bytes of a frame's head (RFC 9113, 4.1).
const HEAD_BYTES: usize = 9;
/// Bytes kept of a payload: GOAWAY's two words and the debug data that the h2 crate writes.
const KEPT_BYTES: usize = 40;

/// A frame's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub length: u32,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

pub(super) struct Cursor {
    /// Bytes before the first frame.
    skip: u8,
    head: [u8; HEAD_BYTES],
    have: usize,
    frame: Frame,
    left: u32,
    kept: [u8; KEPT_BYTES],
    kept_len: usize,
}

impl Cursor {
    pub const fn after(skip: u8) -> Self {
        Self {
            skip,
            head: [0; HEAD_BYTES],
            have: 0,
            frame: Frame { length: 0, kind: 0, flags: 0, stream: 0 },
            left: 0,
            kept: [0; KEPT_BYTES],
            kept_len: 0,
        }
    }

    /// Takes some bytes, at most to the end of a frame: the frame that begins, the one that ends, the bytes behind.
    pub fn feed<'b>(&mut self, bytes: &'b [u8]) -> (Option<Frame>, Option<Frame>, &'b [u8]) {
        if self.skip > 0 {
            let skipped = bytes.len().min(usize::from(self.skip));
            // It is no larger than `skip`, which is a u8.
            self.skip -= skipped as u8;
            return (None, None, &bytes[skipped..]);
        }
        if self.have == HEAD_BYTES {
            let (done, rest) = self.payload(bytes);
            return (None, done, rest);
        }
        let taken = bytes.len().min(HEAD_BYTES - self.have);
        self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
        self.have += taken;
        if self.have < HEAD_BYTES {
            return (None, None, &[]);
        }
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.head;
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        self.frame = Frame { length, kind, flags, stream };
        (self.left, self.kept_len) = (length, 0);
        let (done, rest) = self.payload(&bytes[taken..]);
        (Some(self.frame), done, rest)
    }

    fn payload<'b>(&mut self, bytes: &'b [u8]) -> (Option<Frame>, &'b [u8]) {
        let taken = bytes.len().min(self.left as usize);
        let kept = taken.min(KEPT_BYTES - self.kept_len);
        self.kept[self.kept_len..self.kept_len + kept].copy_from_slice(&bytes[..kept]);
        self.kept_len += kept;
        // It is no larger than `left`, which is a u32.
        self.left -= taken as u32;
        if self.left > 0 {
            return (None, &bytes[taken..]);
        }
        self.have = 0;
        (Some(self.frame), &bytes[taken..])
    }

    /// Bytes here of a frame of this kind and stream that is not whole.
    pub fn partial(&self, kind: u8, stream: u32) -> usize {
        let is_it = self.have == HEAD_BYTES && self.frame.kind == kind && self.frame.stream == stream;
        if is_it {
            (self.frame.length - self.left) as usize
        } else {
            0
        }
    }

    /// Four bytes of the payload as a number; 0 where they are not there.
    pub fn word(&self, at: usize) -> u32 {
        match self.kept[..self.kept_len].get(at..at + 4) {
            Some(&[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]),
            _ => 0,
        }
    }

    /// The payload's bytes from `at` on, as far as they were kept.
    pub fn text(&self, at: usize) -> &[u8] {
        self.kept[..self.kept_len].get(at..).unwrap_or_default()
    }
}
