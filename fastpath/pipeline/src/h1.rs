//! HTTP/1.x on one connection: head, body, exchange, answer; again while the connection is kept.

use crate::alarm::Alarm;
use crate::answer::{refusal_answer, Answer};
use crate::begin::{admit, begin, refuse, Begun};
use crate::body_clock::BodyClock;
use crate::caller::Caller;
use crate::connection::{Io, LINGER_BYTES_MAX};
use crate::core::Core;
use crate::exchange::{Exchange, Step};
use crate::limit_hits::Quiet;
use crate::programmed::{Limits, Listener};
use crate::record::{Protocol, Record};
use bytes::{Buf, Bytes, BytesMut};
use dpu_http::respond::{self, ResponseHead, EVENT_STREAM, JSON};
use dpu_http::{BodyDecoder, BodyFraming, Head, HeadParser};
use dpu_types::{Reason, Refusal};
use std::cell::Cell;
use std::future::{poll_fn, Future};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{pin, Pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::{timeout, Instant};

/// An input buffer that held more than this is given back to the allocator after use.
const IN_BYTES_KEPT: usize = 64 * 1024;
/// An answer buffer larger than this is given back to the allocator after use.
const OUT_BYTES_KEPT: usize = 64 * 1024;
/// How long a close may take, with what is read and dropped of a refused body: a socket closed over unread bytes is
/// reset, and the reset may overtake the answer (RFC 9112, 9.6).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves a connection until it ends. Every way out has been counted where there was something to count.
pub async fn serve(core: &Rc<Core>, io: Io, listener: &Listener, caller: Caller) {
    let mut connection = Connection {
        core: Rc::clone(core),
        io,
        limits: &listener.limits,
        caller,
        input: BytesMut::new(),
        out: Vec::with_capacity(1024),
        parser: HeadParser::new(),
        requests: 0,
        ahead_is_full: false,
        alarm: Alarm::new(),
        drained: Box::pin(drained(core.draining.clone())),
    };
    while matches!(connection.one_request().await, Ok(Next::Keep)) {}
    // The client may be gone, and then there is nobody to tell.
    let _ = timeout(CLOSE_TIMEOUT, connection.close()).await;
}

struct Connection<'l> {
    core: Rc<Core>,
    io: Io,
    limits: &'l Limits,
    caller: Caller,
    input: BytesMut,
    out: Vec<u8>,
    parser: HeadParser,
    /// Heads that were accepted.
    requests: u32,
    /// The client has sent as far ahead of its answer as is read.
    ahead_is_full: bool,
    alarm: Alarm,
    /// Ready once the process drains. One for all requests: to begin to watch costs a lock each time.
    drained: Pin<Box<dyn Future<Output = ()>>>,
}

async fn drained(mut draining: watch::Receiver<bool>) {
    // An error says that nobody is left who could drain us: the process ends.
    let _ = draining.wait_for(|on| *on).await;
}

/// Whether the connection is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Keep,
    Close,
}

/// What came first: the answer, or the client's going.
enum Turn {
    Step(Step),
    Gone,
}

/// How this request's answer is framed.
#[derive(Clone, Copy)]
struct Framing {
    keep_alive: bool,
    http10: bool,
    /// The answer to HEAD has no body.
    bodiless: bool,
}

impl Connection<'_> {
    async fn close(&mut self) -> io::Result<()> {
        self.io.shutdown().await?;
        let mut dropped = 0;
        while dropped < LINGER_BYTES_MAX {
            self.input.clear();
            match read_some(&mut self.io, &mut self.input).await? {
                0 => break,
                read => dropped += read,
            }
        }
        Ok(())
    }

    async fn one_request(&mut self) -> io::Result<Next> {
        let head = match self.head().await? {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(Next::Close),
            Err(refusal) => return self.refuse_head(&refusal).await,
        };
        let endpoint = head.request.as_ref().ok().map(|request| request.endpoint);
        let mut record = Record::accept(&self.core, &self.caller, endpoint, Protocol::H1);
        let keep_alive = head.keep_alive && self.may_ask_again();
        let mut framing = Framing { keep_alive, http10: head.http10, bodiless: head.bodiless };
        let request = match &head.request {
            Ok(request) => request,
            Err(refusal) => {
                // The body is not wanted, and to read it only to throw it away would be work for both.
                // One whose length is not said may follow all the same.
                let unsaid = refusal.reason == Reason::HttpLengthRequired;
                framing.keep_alive &= head.body == BodyFraming::None && !unsaid;
                let begun = refuse(&self.core, record, refusal, None).allowing(head.allow);
                return self.answer_begun(begun, framing).await;
            }
        };
        let read = match admit(&self.core, &mut record, request, &self.caller) {
            Ok(admitted) => self.body(&head).await.map(|body| (admitted, body)),
            Err(refusal) => Err(refusal),
        };
        let begun = match read {
            Ok((admitted, body)) => begin(&self.core, record, admitted, request, &body, self.limits),
            Err(refusal) => {
                framing.keep_alive &= head.body == BodyFraming::None;
                refuse(&self.core, record, &refusal, None)
            }
        };
        framing.keep_alive &= !self.core.is_draining.is_up();
        self.answer_begun(begun, framing).await
    }

    /// The next head; `None` where the client is done or the connection idle for too long.
    async fn head(&mut self) -> io::Result<Result<Option<Head>, Refusal>> {
        self.parser.reset();
        let mut idle_until = None;
        // One time for the whole head, from its first byte: a byte now and then does not prolong it.
        let mut head_until = None;
        loop {
            if !self.input.is_empty() {
                match self.parser.parse(&self.input, &self.limits.head) {
                    Ok(Some(head)) => {
                        self.input.advance(head.consumed);
                        return Ok(Ok(Some(head)));
                    }
                    Ok(None) if !self.parser.has_begun(&self.input) => {}
                    Ok(None) => {
                        head_until.get_or_insert_with(|| Instant::now() + self.limits.head_timeout);
                    }
                    Err(refused) => return Ok(Err(refused.refusal)),
                }
            }
            let idle_timeout = self.limits.idle_timeout;
            let idle = || *idle_until.get_or_insert_with(|| Instant::now() + idle_timeout);
            let until = || head_until.unwrap_or_else(idle);
            let read = tokio::select! {
                biased;
                read = self.alarm.within(until, read_some(&mut self.io, &mut self.input)) => read,
                () = &mut self.drained, if head_until.is_none() => return Ok(Ok(None)),
            };
            match read {
                Some(Ok(0)) => return Ok(Ok(None)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None if head_until.is_some() => return Ok(Err(Reason::HttpHeadTimeout.into())),
                None => {
                    self.core.limit_hit(Quiet::IdleTimeout, 1);
                    return Ok(Ok(None));
                }
            }
        }
    }

    /// Counts a request; false for the last one that this connection may have.
    fn may_ask_again(&mut self) -> bool {
        self.requests += 1;
        let may = self.requests < self.limits.requests_per_connection_max;
        if !may {
            self.core.limit_hit(Quiet::RequestsPerConnection, 1);
        }
        may
    }

    /// The whole body, without a copy where its length was given.
    async fn body(&mut self, head: &Head) -> Result<Bytes, Refusal> {
        let mut decoder = BodyDecoder::new(head.body, self.limits.body_bytes_max)?;
        if head.expect_continue && head.body != BodyFraming::None && self.input.is_empty() {
            let sent = async {
                self.io.write_all(respond::CONTINUE).await?;
                self.io.flush().await
            };
            sent.await.map_err(|_| Refusal::from(Reason::ClientGone))?;
        }
        match head.body {
            BodyFraming::None => Ok(Bytes::new()),
            BodyFraming::Length(length) => self.body_of_length(length as usize).await,
            BodyFraming::Chunked => self.body_of_chunks(&mut decoder).await,
        }
    }

    async fn body_of_length(&mut self, length: usize) -> Result<Bytes, Refusal> {
        if self.input.len() < length {
            let clock = BodyClock::start(self.limits);
            while self.input.len() < length {
                self.read_more(&clock, self.input.len()).await?;
            }
        }
        let body = self.input.split_to(length).freeze();
        if length > IN_BYTES_KEPT {
            // What is left would keep the whole buffer alive, for as long as the connection is idle.
            self.input = BytesMut::from(&self.input[..]);
        }
        Ok(body)
    }

    async fn body_of_chunks(&mut self, decoder: &mut BodyDecoder) -> Result<Bytes, Refusal> {
        let mut body = Vec::new();
        let mut clock = None;
        loop {
            let fed = decoder.feed(&self.input, &mut body)?;
            self.input.advance(fed.consumed);
            if fed.done {
                return Ok(Bytes::from(body));
            }
            let clock = clock.get_or_insert_with(|| BodyClock::start(self.limits));
            self.read_more(clock, body.len()).await?;
        }
    }

    /// More of a body of which so many bytes are here.
    async fn read_more(&mut self, clock: &BodyClock, received: usize) -> Result<(), Refusal> {
        let (until, reason) = clock.until(received);
        match self.alarm.within(|| until, read_some(&mut self.io, &mut self.input)).await {
            Some(Ok(0) | Err(_)) => Err(Reason::HttpBodyIncomplete.into()),
            Some(Ok(_)) => Ok(()),
            None => Err(reason.into()),
        }
    }

    /// The head is not sound: answer and close. No request has begun.
    async fn refuse_head(&mut self, refusal: &Refusal) -> io::Result<Next> {
        self.core.refuse_head(refusal.reason, 1);
        let answer = refusal_answer(refusal, self.core.mint(), None);
        self.put_answer(&answer, Framing { keep_alive: false, http10: false, bodiless: false });
        self.write_out().await?;
        Ok(Next::Close)
    }

    async fn answer_begun(&mut self, begun: Begun, framing: Framing) -> io::Result<Next> {
        match begun {
            Begun::Answered(answered) => {
                self.put_answer(&answered.answer, framing);
                if let Err(error) = self.write_out().await {
                    answered.ending.unwritten(self.unwritten(&error));
                    return Err(error);
                }
                answered.ending.written();
                Ok(framing.next())
            }
            Begun::Running(exchange) => self.run(exchange, framing).await,
        }
    }

    async fn run(&mut self, mut exchange: Box<Exchange>, framing: Framing) -> io::Result<Next> {
        let mut events = Vec::new();
        let mut begun = false;
        loop {
            events.clear();
            let step = match self.turn(&mut exchange, &mut events).await {
                Turn::Step(step) => step,
                Turn::Gone => return Ok(Next::Close),
            };
            if let Step::Answer(answer) = step {
                self.put_answer(&answer, framing);
                let before = self.out.len().saturating_sub(answer.body.len());
                if let Err(error) = self.write_counted(&exchange.handed(), before).await {
                    exchange.unwritten(self.unwritten(&error));
                    return Err(error);
                }
                exchange.written();
                return Ok(framing.next());
            }
            if !begun {
                self.put_stream_head(&exchange, framing);
                begun = true;
            }
            let last = matches!(step, Step::LastEvents);
            let before = self.put_events(&events, last, framing.http10);
            let (stopped, handed) = (exchange.stopped(), exchange.handed());
            let written = tokio::select! {
                biased;
                written = self.write_counted(&handed, before) => written,
                () = stopped, if !last => {
                    exchange.stop_unwritten();
                    return Ok(Next::Close);
                }
            };
            if let Err(error) = written {
                exchange.unwritten(self.unwritten(&error));
                return Err(error);
            }
            if last {
                exchange.written();
                // Without chunks it is the close that ends an HTTP/1.0 stream.
                return Ok(if framing.http10 { Next::Close } else { framing.next() });
            }
        }
    }

    /// Waits for the exchange while it watches the client: what a pipelining client sends is kept for later.
    async fn turn(&mut self, exchange: &mut Exchange, events: &mut Vec<u8>) -> Turn {
        let mut step = pin!(exchange.step(events));
        let (io, input, ahead_max) = (&mut self.io, &mut self.input, self.limits.pipelined_bytes_max);
        let turn = poll_fn(|context| {
            if let Poll::Ready(step) = step.as_mut().poll(context) {
                return Poll::Ready(Turn::Step(step));
            }
            watch(io, input, ahead_max, context)
        })
        .await;
        let is_full = self.input.len() >= ahead_max;
        if is_full && !self.ahead_is_full {
            self.core.limit_hit(Quiet::PipelinedBytes, 1);
        }
        self.ahead_is_full = is_full;
        turn
    }

    fn put_answer(&mut self, answer: &Answer, framing: Framing) {
        let date = self.core.date();
        let head =
            ResponseHead { status: answer.status, content_type: JSON, date: &date, extra: &answer.extra };
        if framing.bodiless {
            return respond::h1_bodiless(&mut self.out, &head, framing.keep_alive, framing.http10);
        }
        respond::h1_full(&mut self.out, &head, &answer.body, framing.keep_alive, framing.http10);
    }

    fn put_stream_head(&mut self, exchange: &Exchange, framing: Framing) {
        let date = self.core.date();
        let head =
            ResponseHead { status: 200, content_type: EVENT_STREAM, date: &date, extra: &exchange.extra() };
        respond::h1_stream_head(&mut self.out, &head, framing.keep_alive, framing.http10);
    }

    /// Frames the events of a step; says how many bytes go out before the first of them.
    fn put_events(&mut self, events: &[u8], last: bool, http10: bool) -> usize {
        if http10 {
            self.out.extend_from_slice(events);
            return self.out.len() - events.len();
        }
        respond::chunk(&mut self.out, events);
        let before = self.out.len().saturating_sub(events.len() + 2); // CR LF
        if last {
            respond::last_chunk(&mut self.out);
        }
        before
    }

    /// Why an answer could not be written.
    fn unwritten(&self, error: &io::Error) -> Reason {
        match error.kind() {
            io::ErrorKind::TimedOut => Reason::ClientTooSlow,
            _ => self.core.gone_reason(),
        }
    }

    /// Hands everything to TLS, in `write_timeout` or not at all.
    async fn write_out(&mut self) -> io::Result<()> {
        self.write_counted(&Cell::new(0), 0).await
    }

    /// The same, and `handed` says how many bytes behind the first `before` TLS has taken, also where it fails.
    async fn write_counted(&mut self, handed: &Cell<usize>, before: usize) -> io::Result<()> {
        let write = async {
            let mut taken = 0;
            while taken < self.out.len() {
                match self.io.write(&self.out[taken..]).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    bytes => taken += bytes,
                }
                handed.set(taken.saturating_sub(before));
            }
            self.io.flush().await
        };
        let until = || Instant::now() + self.limits.write_timeout;
        let written = self.alarm.within(until, write).await;
        self.out.clear();
        if self.out.capacity() > OUT_BYTES_KEPT {
            self.out = Vec::with_capacity(1024);
        }
        written.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Framing {
    /// An HTTP/1.0 stream is ended by the close.
    const fn next(self) -> Next {
        if self.keep_alive {
            Next::Keep
        } else {
            Next::Close
        }
    }
}

async fn read_some(io: &mut Io, input: &mut BytesMut) -> io::Result<usize> {
    input.reserve(4096);
    io.read_buf(input).await
}

/// Reads what the client sends while it waits, up to a bound; ready when it has gone.
fn watch(io: &mut Io, input: &mut BytesMut, ahead_max: usize, context: &mut Context<'_>) -> Poll<Turn> {
    while input.len() < ahead_max {
        let mut space = [MaybeUninit::uninit(); 2048];
        let mut buffer = ReadBuf::uninit(&mut space);
        match Pin::new(&mut *io).poll_read(context, &mut buffer) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => input.extend_from_slice(buffer.filled()),
            Poll::Ready(_) => return Poll::Ready(Turn::Gone),
        }
    }
    Poll::Pending
}
