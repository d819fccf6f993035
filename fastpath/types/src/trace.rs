//! W3C Trace Context: which trace a request belongs to, and which span of it is ours.

/// Bytes of a `traceparent` of version 00.
const TRACEPARENT_BYTES: usize = 55;
/// The flags that are defined: sampled (level 1) and random-trace-id (level 2); all others are sent as zero (3.2.2.5).
const FLAGS_KNOWN: u8 = 0x03;
/// Bytes of `tracestate` that are kept: what everybody has to take (W3C Trace Context, 3.3.1.5). Longer is left out.
pub const TRACESTATE_BYTES_MAX: usize = 512;
/// Members that `tracestate` may have (W3C Trace Context, 3.3.1.1).
const TRACESTATE_MEMBERS_MAX: usize = 32;

/// One span of one trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Zero where there is no trace.
    pub trace_id: [u8; 16],
    /// Its 16 hex digits are those of this number.
    pub span_id: u64,
    /// 1: sampled; 2: the trace id is random.
    pub flags: u8,
    /// `tracestate`, forwarded as it came; `None` where there is none or it is not sound.
    pub state: Option<Box<str>>,
}

impl Trace {
    /// Reads the value of a `traceparent` field (3.2.2, 3.2.3). A later version is read as far as we know it. `None` where
    /// it is not valid: a new trace is to be begun then.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, future) = value.split_at_checked(TRACEPARENT_BYTES)?;
        let dashes = [2, 35, 52].iter().all(|index| known[*index] == b'-');
        let version = hex(&known[..2])?;
        let tail = future.is_empty() || (version != 0 && future[0] == b'-');
        if !dashes || !tail || version == 0xff {
            return None;
        }
        let high = hex(&known[3..19])?;
        let low = hex(&known[19..35])?;
        let span_id = hex(&known[36..52])?;
        let flags = hex(&known[53..55])? as u8 & FLAGS_KNOWN; // two digits: fits
        let mut trace_id = [0; 16];
        trace_id[..8].copy_from_slice(&high.to_be_bytes());
        trace_id[8..].copy_from_slice(&low.to_be_bytes());
        (trace_id != [0; 16] && span_id != 0).then_some(Self { trace_id, span_id, flags, state: None })
    }

    /// With the values of all `tracestate` fields, in order. Too many or too long, or with bytes that may not be
    /// there: left out as a whole (3.3.1.5 allows it), the trace stays.
    #[must_use]
    pub fn with_state(mut self, fields: &[&[u8]]) -> Self {
        let bytes: usize = fields.iter().map(|field| field.len() + 1).sum();
        if bytes == 0 || bytes > TRACESTATE_BYTES_MAX + 1 {
            return self;
        }
        let joined = fields.join(&b","[..]);
        let members = joined.split(|byte| *byte == b',').filter(|member| !member.trim_ascii().is_empty());
        let sound = joined.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
        let count = members.count();
        if sound && (1..=TRACESTATE_MEMBERS_MAX).contains(&count) {
            self.state = String::from_utf8(joined).ok().map(String::into_boxed_str);
        }
        self
    }

    /// The value of a `traceparent` field, version 00.
    #[must_use]
    pub fn text(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", u128::from_be_bytes(self.trace_id), self.span_id, self.flags)
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.span_id != 0
    }
}

/// Up to 16 lower-case hex digits (3.2.2.2 knows no others).
fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_valid_traceparent_is_read_and_written_as_it_was() {
        let trace = Trace::parse(VALID.as_bytes()).unwrap();
        assert_eq!((trace.span_id, trace.flags, trace.trace_id[0]), (0xb7ad_6b71_6920_3331, 1, 0x0a));
        assert_eq!(trace.text(), VALID);
    }

    #[test]
    fn a_later_version_is_read_as_ours_and_unknown_flags_are_not_passed_on() {
        let later = format!("cc{}-more", &VALID[2..]);
        assert_eq!(Trace::parse(later.as_bytes()).unwrap().text(), VALID);
        let flags = format!("{}ff", &VALID[..53]);
        assert_eq!(Trace::parse(flags.as_bytes()).unwrap().flags, 3);
    }

    #[test]
    fn a_broken_traceparent_is_none() {
        let zero_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        let zero_span = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16));
        for value in [
            "",
            &VALID[..54],
            &VALID.to_uppercase(),
            &VALID.replace('-', "_"),
            &format!("{VALID}-more"),
            &format!("cc{}more", &VALID[2..]),
            &format!("ff{}", &VALID[2..]),
            &VALID.replace('b', "g"),
            &zero_trace,
            &zero_span,
        ] {
            assert_eq!(Trace::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn tracestate_is_kept_in_order_and_left_out_where_it_is_too_much() {
        let state = |fields: &[&[u8]]| Trace::default().with_state(fields).state.map(String::from);
        assert_eq!(state(&[b"rojo=00f0", b"congo=t61"]).as_deref(), Some("rojo=00f0,congo=t61"));
        assert_eq!(state(&[]), None);
        assert_eq!(state(&[b" ", b","]), None);
        assert_eq!(state(&[b"a=\x01"]), None);
        assert_eq!(state(&[b"a=\xff"]), None);
        let fits = [b'a'; TRACESTATE_BYTES_MAX];
        assert_eq!(state(&[&fits]).map(|text| text.len()), Some(TRACESTATE_BYTES_MAX));
        assert_eq!(state(&[&fits, b"b"]), None);
        assert_eq!(state(&[[&b"a=1,"[..]; 33].concat().as_slice()]), None);
        assert!(state(&[[&b"a=1,"[..]; 32].concat().as_slice()]).is_some());
    }
}
