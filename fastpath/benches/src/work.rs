//! What is asked for and what a right answer is.

use crate::events::Events;
use crate::options::Options;
use crate::{fault, Fault};
use bytes::Bytes;
use memchr::memmem;
use std::rc::Rc;

/// One shape of request and the answer that has to come back; several only in their keys.
pub struct Work {
    /// Path of the endpoint.
    pub path: String,
    /// The JSON to send.
    pub body: Bytes,
    /// API keys, taken in turns by connections and requests.
    pub keys: Vec<String>,
    /// Each has to be somewhere in a whole answer.
    pub expect: Vec<Vec<u8>>,
    /// Completion tokens of each answer.
    pub tokens: u32,
}

impl Work {
    /// # Errors
    /// Options that are missing or no numbers; files that cannot be read.
    pub fn of(options: &Options) -> Result<Rc<Self>, Fault> {
        let tokens: u32 = options.need("tokens")?;
        let keys = String::from_utf8(options.file("keys")?).map_err(fault("keys"))?;
        let expect = [
            format!("\"content\":\"{}\"", " tok".repeat(tokens as usize)),
            format!("\"completion_tokens\":{tokens},"),
        ];
        Ok(Rc::new(Self {
            path: options.need("path")?,
            body: options.file("body")?.into(),
            keys: keys.lines().map(str::to_owned).collect(),
            expect: expect.map(String::into_bytes).to_vec(),
            tokens,
        }))
    }

    /// The HTTP/1.1 request with one of the keys.
    #[must_use]
    pub fn request(&self, turn: usize) -> Vec<u8> {
        let key = self.key(turn);
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: localhost\r\nuser-agent: dpu-load\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.path,
            self.body.len()
        );
        [head.as_bytes(), &self.body].concat()
    }

    /// One of the keys.
    #[must_use]
    pub fn key(&self, turn: usize) -> &str {
        self.keys.get(turn % self.keys.len().max(1)).map_or("", String::as_str)
    }

    /// Whether a whole answer is the right one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_whole(&self, status: u16, body: &[u8]) -> Result<(), Fault> {
        let right = status == 200 && self.expect.iter().all(|part| memmem::find(body, part).is_some());
        right.then_some(()).ok_or_else(|| describe(status, body))
    }

    /// Whether a stream that has ended is the right one; how many events it had.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_stream(&self, status: u16, events: &Events) -> Result<u32, Fault> {
        if status != 200 {
            return Err(format!("status {status} instead of a stream"));
        }
        events.check(self.tokens)?;
        Ok(events.count)
    }
}

fn describe(status: u16, body: &[u8]) -> Fault {
    let start = body.get(..body.len().min(300)).unwrap_or_default();
    format!("wrong answer: status {status}, {} bytes: {}", body.len(), String::from_utf8_lossy(start))
}
