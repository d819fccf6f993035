//! One frame with its time.

/// Largest frame of a capture: libpcap's own bound for Ethernet.
pub const FRAME_BYTES_MAX: usize = 262_144;

/// Used again for each frame, so that a run takes memory once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Nanoseconds since whatever the source counts from.
    pub clock_ns: u64,
    /// Bytes that were on the wire; more than `data` where the capture cut it.
    pub wire_bytes: u32,
    /// From the Ethernet header on.
    pub data: Vec<u8>,
}

impl Frame {
    /// Takes the bytes over.
    pub fn set(&mut self, clock_ns: u64, wire_bytes: u32, data: &[u8]) {
        self.clock_ns = clock_ns;
        self.wire_bytes = wire_bytes;
        self.data.clear();
        self.data.extend_from_slice(data);
    }

    /// Whether the capture holds less than was on the wire.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.data.len() < self.wire_bytes as usize
    }

    /// Zeros in place of what the capture cut off, so that lengths in headers hold.
    pub fn pad(&mut self) {
        let bytes = (self.wire_bytes as usize).clamp(self.data.len(), FRAME_BYTES_MAX);
        self.data.resize(bytes, 0);
    }
}
