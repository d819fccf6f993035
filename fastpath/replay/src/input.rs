//! Bytes of a stream, a piece at a time.

use crate::error::Error;
use std::io::Read;

/// How much is read at once.
const PIECE_BYTES: usize = 1 << 20;

/// A reader with a window on what comes next. The window grows to what is asked for and no further.
pub struct Input {
    from: Box<dyn Read + Send + Sync>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    passed: u64,
}

impl Input {
    /// Reads from there.
    #[must_use]
    pub fn new(from: Box<dyn Read + Send + Sync>) -> Self {
        Self { from, buffer: Vec::new(), start: 0, end: 0, passed: 0 }
    }

    /// Bytes that lie behind.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.passed
    }

    /// The next `bytes` without passing them; fewer where the stream ends before.
    pub fn peek(&mut self, bytes: usize) -> Result<&[u8], Error> {
        if self.end - self.start < bytes {
            self.fill(bytes)?;
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + bytes)])
    }

    /// The next `bytes`, passed; None where the stream ends before.
    pub fn take(&mut self, bytes: usize) -> Result<Option<&[u8]>, Error> {
        if self.peek(bytes)?.len() < bytes {
            return Ok(None);
        }
        let start = self.start;
        self.start += bytes;
        self.passed += bytes as u64;
        Ok(Some(&self.buffer[start..start + bytes]))
    }

    /// Passes `bytes` without keeping them; false where the stream ends before.
    pub fn skip(&mut self, mut bytes: usize) -> Result<bool, Error> {
        while bytes > 0 {
            let piece = bytes.min(PIECE_BYTES);
            if self.take(piece)?.is_none() {
                return Ok(false);
            }
            bytes -= piece;
        }
        Ok(true)
    }

    fn fill(&mut self, bytes: usize) -> Result<(), Error> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let wanted = bytes.max(PIECE_BYTES);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.end < bytes {
            match self.from.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(()),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::read(self.passed + self.end as u64, &error)),
            }
        }
        Ok(())
    }
}

/// Numbers in the byte order of the machine that wrote the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Least byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl Order {
    /// Two bytes at `at`; 0 beyond the end.
    #[must_use]
    pub fn u16(self, data: &[u8], at: usize) -> u16 {
        let bytes = data.get(at..at + 2).and_then(|slice| slice.try_into().ok()).unwrap_or_default();
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    /// Four bytes at `at`; 0 beyond the end.
    #[must_use]
    pub fn u32(self, data: &[u8], at: usize) -> u32 {
        let bytes = data.get(at..at + 4).and_then(|slice| slice.try_into().ok()).unwrap_or_default();
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// Eight bytes at `at`; 0 beyond the end.
    #[must_use]
    pub fn u64(self, data: &[u8], at: usize) -> u64 {
        let bytes = data.get(at..at + 8).and_then(|slice| slice.try_into().ok()).unwrap_or_default();
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }
}
