//! Bytes of the worker frames: header, cursor and the field types of `abi/tables/worker_frame.toml`.
//!
//! Decoding borrows from the buffer and never panics; every length is checked before it is used.

use crate::gen::worker_frame::{Body, FRAME_BYTES_MAX, HEADER_BYTES, MODELS_MAX, STRING_BYTES_MAX, VERSION};
use crate::RequestId;

/// Why bytes are not a worker frame. The peer is at fault and a retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Fewer bytes than a field or the header needs.
    Truncated,
    /// Another version.
    Version(u8),
    /// No such kind.
    UnknownKind(u8),
    /// A flag that the kind does not know.
    UnknownFlags(u16),
    /// The header's length is not the frame's.
    Length,
    /// Bytes after the last field.
    Trailing,
    /// A string is not UTF-8.
    NotUtf8,
    /// A string, list or frame above its limit.
    TooLarge,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncated => write!(f, "the frame ends inside a field"),
            Self::Version(v) => write!(f, "version {v}, {VERSION} is spoken here"),
            Self::UnknownKind(k) => write!(f, "unknown kind {k}"),
            Self::UnknownFlags(b) => write!(f, "unknown flags {b:#x}"),
            Self::Length => write!(f, "the length in the header is not the length of the frame"),
            Self::Trailing => write!(f, "bytes after the last field"),
            Self::NotUtf8 => write!(f, "a string is not UTF-8"),
            Self::TooLarge => write!(f, "a field or the frame is larger than is allowed"),
        }
    }
}

impl std::error::Error for FrameError {}

/// One model that a worker serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInfo<'a> {
    /// The engine's name.
    pub name: &'a str,
    /// SHA-256 of the model file; zero where the engine does not know.
    pub digest: [u8; 32],
    /// "Q4_1"; empty where the engine does not know.
    pub quantisation: &'a str,
    /// Tokens of context per request.
    pub context_tokens: u32,
}

/// A whole frame: what the header says, and the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Per connection and direction, from 0, without gaps.
    pub sequence: u64,
    /// `RequestId::NONE` where the frame is not about a request.
    pub request_id: RequestId,
    /// Bits of the kind.
    pub flags: u16,
    /// The fields.
    pub body: Body<'a>,
}

impl<'a> Frame<'a> {
    /// Appends the frame's bytes to `out`.
    ///
    /// # Errors
    /// `TooLarge` where a field or the frame is above its limit; `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let start = out.len();
        out.resize(start + HEADER_BYTES, 0);
        let mut writer = Writer { out, too_large: false };
        self.body.put(&mut writer);
        let too_large = writer.too_large;
        let total = out.len() - start;
        if too_large || total > FRAME_BYTES_MAX {
            out.truncate(start);
            return Err(FrameError::TooLarge);
        }
        self.put_header(&mut out[start..], total - HEADER_BYTES);
        Ok(())
    }

    fn put_header(&self, head: &mut [u8], body_bytes: usize) {
        head[0] = VERSION;
        head[1] = self.body.kind();
        head[2..4].copy_from_slice(&self.flags.to_le_bytes());
        // The frame is at most FRAME_BYTES_MAX, so its length fits into 32 bits.
        head[4..8].copy_from_slice(&(body_bytes as u32).to_le_bytes());
        head[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        head[16..32].copy_from_slice(&self.request_id.0);
    }

    /// Reads one frame from exactly its bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(FrameError::TooLarge);
        }
        let mut reader = Reader { bytes };
        let version = reader.u8()?;
        let kind = reader.u8()?;
        let flags = reader.u16()?;
        let body_bytes = reader.u32()?;
        let sequence = reader.u64()?;
        let request_id = RequestId(reader.bytes16()?);
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let known = Body::flags_known(kind).ok_or(FrameError::UnknownKind(kind))?;
        if flags & !known != 0 {
            return Err(FrameError::UnknownFlags(flags));
        }
        if body_bytes as usize != reader.bytes.len() {
            return Err(FrameError::Length);
        }
        let body = Body::take(kind, &mut reader)?;
        if !reader.bytes.is_empty() {
            return Err(FrameError::Trailing);
        }
        Ok(Self { sequence, request_id, flags, body })
    }
}

/// Appends fields; remembers when one was above its limit.
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    too_large: bool,
}

impl Writer<'_> {
    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Sixteen bytes as they are.
    pub fn bytes16(&mut self, value: &[u8; 16]) {
        self.out.extend_from_slice(value);
    }

    /// Thirty-two bytes as they are.
    pub fn bytes32(&mut self, value: &[u8; 32]) {
        self.out.extend_from_slice(value);
    }

    /// u16 length, then UTF-8.
    pub fn string(&mut self, value: &str) {
        match u16::try_from(value.len()) {
            Ok(length) if value.len() <= STRING_BYTES_MAX => {
                self.u16(length);
                self.out.extend_from_slice(value.as_bytes());
            }
            _ => self.too_large = true,
        }
    }

    /// u32 length, then the bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        match u32::try_from(value.len()) {
            Ok(length) if value.len() <= FRAME_BYTES_MAX => {
                self.u32(length);
                self.out.extend_from_slice(value);
            }
            _ => self.too_large = true,
        }
    }

    /// u16 count, then each model.
    pub fn models(&mut self, models: &[ModelInfo<'_>]) {
        match u16::try_from(models.len()) {
            Ok(count) if models.len() <= MODELS_MAX => self.u16(count),
            _ => self.too_large = true,
        }
        for model in models {
            self.string(model.name);
            self.bytes32(&model.digest);
            self.string(model.quantisation);
            self.u32(model.context_tokens);
        }
    }
}

/// A cursor; what it returns borrows from the frame.
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn raw(&mut self, size: usize) -> Result<&'a [u8], FrameError> {
        let (part, rest) = self.bytes.split_at_checked(size).ok_or(FrameError::Truncated)?;
        self.bytes = rest;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (part, rest) = self.bytes.split_first_chunk::<N>().ok_or(FrameError::Truncated)?;
        self.bytes = rest;
        Ok(*part)
    }

    /// One byte.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn u8(&mut self) -> Result<u8, FrameError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Two bytes, little-endian.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn u16(&mut self) -> Result<u16, FrameError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes, little-endian.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn u32(&mut self) -> Result<u32, FrameError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn u64(&mut self) -> Result<u64, FrameError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Sixteen bytes as they are.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn bytes16(&mut self) -> Result<[u8; 16], FrameError> {
        self.array()
    }

    /// Thirty-two bytes as they are.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn bytes32(&mut self) -> Result<[u8; 32], FrameError> {
        self.array()
    }

    /// u16 length, then UTF-8.
    ///
    /// # Errors
    /// `Truncated`, `TooLarge`, `NotUtf8`.
    pub fn string(&mut self) -> Result<&'a str, FrameError> {
        let size = usize::from(self.u16()?);
        if size > STRING_BYTES_MAX {
            return Err(FrameError::TooLarge);
        }
        std::str::from_utf8(self.raw(size)?).map_err(|_| FrameError::NotUtf8)
    }

    /// u32 length, then the bytes.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn bytes(&mut self) -> Result<&'a [u8], FrameError> {
        let size = self.u32()? as usize;
        self.raw(size)
    }

    /// u16 count, then each model.
    ///
    /// # Errors
    /// `Truncated`, `TooLarge`, `NotUtf8`.
    pub fn models(&mut self) -> Result<Vec<ModelInfo<'a>>, FrameError> {
        let count = usize::from(self.u16()?);
        if count > MODELS_MAX {
            return Err(FrameError::TooLarge);
        }
        (0..count)
            .map(|_| {
                Ok(ModelInfo {
                    name: self.string()?,
                    digest: self.bytes32()?,
                    quantisation: self.string()?,
                    context_tokens: self.u32()?,
                })
            })
            .collect()
    }
}
