//! One HTTP/1.1 connection: a request, its answer, checked, and again.

use crate::body::Body;
use crate::connect::Io;
use crate::events::Events;
use crate::round::{Job, Sample};
use crate::work::Work;
use crate::{fault, Fault};
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const READ_BYTES: usize = 16 * 1024;
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A kept connection.
pub struct Connection {
    io: Box<dyn Io>,
    /// One request for each key that it uses.
    requests: Vec<Vec<u8>>,
    turn: usize,
    work: Rc<Work>,
    /// Answers are event streams.
    streams: bool,
    /// What has come and is not used.
    input: Vec<u8>,
}

impl Connection {
    /// `turns`: which keys it uses, one after another.
    pub fn new(io: Box<dyn Io>, work: Rc<Work>, turns: impl Iterator<Item = usize>, streams: bool) -> Self {
        let requests = turns.map(|turn| work.request(turn)).collect();
        Self { io, requests, turn: 0, work, streams, input: Vec::with_capacity(READ_BYTES) }
    }

    async fn exchange(&mut self) -> Result<u32, Fault> {
        let request = self.requests.get(self.turn % self.requests.len()).ok_or("no request")?;
        self.turn += 1;
        self.io.write_all(request).await.map_err(fault("send"))?;
        self.io.flush().await.map_err(fault("send"))?;
        let (status, mut body) = self.head().await?;
        if self.streams && status == 200 {
            let mut events = Events::default();
            self.body(&mut body, &mut |bytes| events.feed(bytes)).await?;
            return self.work.check_stream(status, &events);
        }
        let mut whole = Vec::with_capacity(1024);
        self.body(&mut body, &mut |bytes| whole.extend_from_slice(bytes)).await?;
        self.work.check_whole(status, &whole)?;
        Ok(1)
    }

    async fn head(&mut self) -> Result<(u16, Body), Fault> {
        loop {
            if let Some((used, status, body)) = parse_head(&self.input)? {
                self.input.drain(..used);
                return Ok((status, body));
            }
            if self.input.len() > HEAD_BYTES_MAX {
                return Err("an answer's head without an end".to_owned());
            }
            self.read().await?;
        }
    }

    async fn body(&mut self, body: &mut Body, content: &mut impl FnMut(&[u8])) -> Result<(), Fault> {
        loop {
            let used = body.feed(&self.input, content)?;
            self.input.drain(..used);
            if body.is_over() {
                return Ok(());
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Fault> {
        match self.io.read_buf(&mut self.input).await {
            Ok(0) => Err("the server closed the connection".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("receive: {error}")),
        }
    }
}

impl Job for Connection {
    async fn once(&mut self) -> Result<Sample, Fault> {
        let units = self.exchange().await?;
        if self.input.is_empty() {
            Ok(Sample { units })
        } else {
            Err(format!("{} bytes after the answer", self.input.len()))
        }
    }
}

/// Bytes of the head, status, and what the body is; None where the head is not all there.
fn parse_head(input: &[u8]) -> Result<Option<(usize, u16, Body)>, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(used) = head.parse(input).map_err(fault("answer's head"))? else {
        return Ok(None);
    };
    let field = |name: &str| {
        let found = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    let body = match (field("content-length"), field("transfer-encoding")) {
        (Some(length), None) => Body::Length(length.parse().map_err(fault("content-length"))?),
        (None, Some("chunked")) => Body::Size(Vec::new()),
        other => return Err(format!("an answer without an end: {other:?}")),
    };
    Ok(Some((used, head.code.unwrap_or_default(), body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_how_long_its_body_is() {
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Some((38, 200, Body::Length(5)))),
            ("HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n", Some((47, 503, Body::Size(vec![])))),
            ("HTTP/1.1 200 OK\r\nContent-Len", None),
        ];
        for (input, expected) in cases {
            assert_eq!(parse_head(input.as_bytes()), Ok(expected));
        }
        assert!(parse_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse_head(b"SSH-2.0\r\n\r\n").is_err());
    }
}
