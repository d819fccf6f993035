//! Identifiers and time, each a type of its own.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// 128 random bits minted by the fast path for each request; never the caller's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestId(pub [u8; 16]);

impl Hash for RequestId {
    /// Half of it: the bits are random.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [half @ .., _, _, _, _, _, _, _, _] = self.0;
        state.write_u64(u64::from_le_bytes(half));
    }
}

/// A map whose keys we made ourselves, or took from the plan: nobody outside can put keys into it that collide, whatever
/// they look for, and SipHash costs more than all else about a look-up.
pub type OwnKeyMap<K, V> = HashMap<K, V, BuildHasherDefault<OwnKeyHasher>>;

/// One multiplication a word (the hash that rustc and Firefox use). For keys that we made ourselves only.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnKeyHasher(u64);

impl OwnKeyHasher {
    /// 2^64 / pi, odd: spreads every bit of a word over the upper ones, which choose the place in the map.
    const FACTOR: u64 = 0x517c_c1b7_2722_0a95;
}

impl Hasher for OwnKeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(Self::FACTOR);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl RequestId {
    /// No request: frames of the connection itself.
    pub const NONE: Self = Self([0; 16]);
}

impl RequestId {
    /// 32 lower-case hex digits; several times faster than the formatter, and every request needs them.
    #[must_use]
    pub fn hex(&self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

impl fmt::Display for RequestId {
    /// 32 lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).unwrap_or_default())
    }
}

/// Nanoseconds of the monotonic clock. Only `pipeline` reads a clock; everybody else is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoNs(pub u64);

impl MonoNs {
    /// Nanoseconds since `earlier`, 0 if it is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time plus so many milliseconds.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000_000)))
    }
}
