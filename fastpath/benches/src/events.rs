//! Reading an event stream as it comes: how many events, how many tokens, and whether it ended as it should.

use crate::Fault;
use memchr::memmem;

const DONE: &[u8] = b"[DONE]";

/// What was seen of one stream.
#[derive(Default)]
pub struct Events {
    /// Bytes of an event whose end has not come.
    pending: Vec<u8>,
    /// Events, `[DONE]` included.
    pub count: u32,
    tokens: u32,
    used: Option<u32>,
    finished: u32,
    done: bool,
    /// Events after `[DONE]`, or that are no `data:`.
    strange: u32,
}

impl Events {
    /// Takes the next bytes, however they are cut.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.pending.is_empty() {
            let rest = self.whole_events(bytes);
            self.pending.extend_from_slice(rest);
            return;
        }
        let mut joined = std::mem::take(&mut self.pending);
        joined.extend_from_slice(bytes);
        let rest = self.whole_events(&joined).len();
        joined.drain(..joined.len() - rest);
        self.pending = joined;
    }

    fn whole_events<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        while let Some(end) = memmem::find(bytes, b"\n\n") {
            self.event(bytes.get(..end).unwrap_or_default());
            bytes = bytes.get(end + 2..).unwrap_or_default();
        }
        bytes
    }

    fn event(&mut self, event: &[u8]) {
        self.count += 1;
        let Some(data) = event.strip_prefix(b"data: ") else {
            self.strange += 1;
            return;
        };
        self.strange += u32::from(self.done);
        if data == DONE {
            self.done = true;
            return;
        }
        if let Some(at) = memmem::find(data, b"\"content\":\"") {
            let said = memmem::find_iter(data.get(at..).unwrap_or_default(), b" tok").count();
            self.tokens += u32::try_from(said).unwrap_or(u32::MAX);
        } else if memmem::find(data, b"\"finish_reason\":\"stop\"").is_some() {
            self.finished += 1;
        } else if let Some(at) = memmem::find(data, b"\"completion_tokens\":") {
            let digits =
                data.get(at + 20..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
            self.used = Some(digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0')));
        } else {
            self.strange += 1;
        }
    }

    /// # Errors
    /// The stream does not hold exactly so many tokens, one `stop`, the usage, and `[DONE]` as its end.
    pub fn check(&self, tokens: u32) -> Result<(), Fault> {
        let seen = (self.tokens, self.finished, self.used, self.done, self.strange, self.pending.len());
        if seen == (tokens, 1, Some(tokens), true, 0, 0) {
            return Ok(());
        }
        Err(format!(
            "wrong stream: {} of {tokens} tokens, usage {:?}, {} stops, ended {}, {} strange events, {} bytes over",
            self.tokens, self.used, self.finished, self.done, self.strange, self.pending.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str =
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\" tok\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\" tok\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"completion_tokens\":2,\"total_tokens\":5}}\n\n\
        data: [DONE]\n\n";

    fn read(parts: &[&[u8]]) -> Events {
        let mut events = Events::default();
        parts.iter().for_each(|part| events.feed(part));
        events
    }

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let bytes = STREAM.as_bytes();
        for cut in 0..bytes.len() {
            let events = read(&[&bytes[..cut], &bytes[cut..]]);
            assert_eq!((events.check(2), events.count), (Ok(()), 5), "cut at {cut}");
        }
        let each: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&each).check(2), Ok(()));
    }

    #[test]
    fn what_is_missing_too_much_or_after_the_end_is_told() {
        let cases = [
            STREAM.replacen(" tok", " tik", 1),
            STREAM.replace(":2,", ":3,"),
            STREAM.replace("stop", "length"),
            STREAM.replace("data: [DONE]\n\n", ""),
            format!("{STREAM}data: {{}}\n\n"),
            format!("{STREAM}data"),
            STREAM.replacen("data: ", "event: ", 1),
        ];
        for case in cases {
            assert!(read(&[case.as_bytes()]).check(2).is_err(), "{case}");
        }
        assert!(read(&[STREAM.as_bytes()]).check(3).is_err());
    }
}
