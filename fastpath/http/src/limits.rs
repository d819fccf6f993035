//! How large a head may be, and the limits that are not for operators to change.

/// Limits of one request head, from the plan's listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of request line and header fields together, with their line ends (431 above it). For HTTP/2 each
    /// field counts name + value + 32, as in SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113, 6.5.2).
    pub head_bytes_max: usize,
    /// Header fields (431 above it). HTTP/2 cookie crumbs count as one field, their bytes in full.
    pub headers_max: usize,
}

/// How many HTTP/2 frames that bring nothing a connection may send; each kind has its pool, which useful work refills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// RST_STREAM from the client.
    pub resets_max: u32,
    /// RST_STREAM that the client made us send.
    pub errors_max: u32,
    /// CONTINUATION of one head.
    pub continuations_max: u32,
    /// SETTINGS, PING, PRIORITY, WINDOW_UPDATE and unknown ones.
    pub control_max: u32,
    /// Tiny DATA.
    pub small_data_max: u32,
}

/// Ceiling over `HeadLimits::headers_max`: the parser's table lives on the stack (8 KiB at 256 fields).
pub const HEADERS_CEILING: usize = 256;

/// Digits of a chunk size. 16 hex digits are 64 bits; more could only be zeros or an overflow.
pub const CHUNK_SIZE_DIGITS_MAX: usize = 16;

/// Bytes of chunk extensions over one whole body. Nobody that we know sends any; without a bound over the whole
/// body, one-byte chunks with long extensions cost far more to read than the body limit says (CVE-2023-39326).
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 4096;

/// Bytes of the trailer section, line ends counted.
pub const TRAILER_BYTES_MAX: usize = 4096;

/// Bytes of a host name (RFC 1035 allows 253 characters; the rest is for a port and a final dot).
pub const HOST_BYTES_MAX: usize = 261;
