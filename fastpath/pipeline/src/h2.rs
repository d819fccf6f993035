//! HTTP/2 on one connection through the h2 crate; every stream is a task of the core.

use crate::answer::{refusal_answer, Answer};
use crate::begin::{admit, begin, refuse, Begun};
use crate::connection::{Io, LINGER_BYTES_MAX};
use crate::core::Core;
use crate::exchange::{Exchange, Step};
use crate::programmed::{Limits, Listener};
use crate::record::{Protocol, Record};
use bytes::{Bytes, BytesMut};
use dpu_http::respond::{self, ResponseHead, EVENT_STREAM, JSON};
use dpu_http::{H2Head, LengthCheck};
use dpu_types::{Reason, Refusal};
use h2::server::{Connection, SendResponse};
use h2::{RecvStream, SendStream};
use std::future::{poll_fn, Future};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// Flow-control window of a stream: a whole ordinary chat body without a WINDOW_UPDATE.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Flow-control window of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Answer bytes that h2 may hold for a stream whose client does not read.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Streams reset by the client that h2 remembers; more ends the connection (rapid reset, CVE-2023-44487).
const RESET_STREAMS_MAX: usize = 64;

/// How long a refused body is still read.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// The client went away, or would not read.
struct Gone;

/// Serves a connection until it ends.
pub async fn serve(core: &Rc<Core>, io: Io, listener: &Arc<Listener>) {
    let limits = &listener.limits;
    let builder = builder(limits);
    let Ok(Ok(mut connection)) = timeout(limits.handshake_timeout, builder.handshake::<_, Bytes>(io)).await
    else {
        return refuse_connection(core);
    };
    let mut draining = core.draining.clone();
    // Every stream's task holds one more of these, so that an idle connection can be told from a waiting one.
    let running = Rc::new(());
    loop {
        let idle = timeout(limits.idle_timeout, next(&mut connection));
        tokio::select! {
            biased;
            accepted = idle => match accepted {
                Ok(Some(Ok((request, answer)))) => {
                    spawn(core, listener, &running, request, answer);
                }
                Ok(Some(Err(error))) => {
                    if error.is_go_away() || error.is_reset() { refuse_connection(core); }
                    return;
                }
                Ok(None) => return,
                // Streams may still run; only a connection without any is idle.
                Err(_) => if Rc::strong_count(&running) == 1 { connection.graceful_shutdown() },
            },
            _ = draining.wait_for(|on| *on) => {
                connection.graceful_shutdown();
                // The streams that run go on; nobody but the drain time ends them.
                while let Some(Ok((request, answer))) = next(&mut connection).await {
                    spawn(core, listener, &running, request, answer);
                }
                return;
            }
        }
    }
}

fn spawn(
    core: &Rc<Core>,
    listener: &Arc<Listener>,
    running: &Rc<()>,
    request: http::Request<RecvStream>,
    answer: SendResponse<Bytes>,
) {
    let (core, listener, running) = (Rc::clone(core), Arc::clone(listener), Rc::clone(running));
    spawn_local(async move {
        stream(core, listener, request, answer).await;
        drop(running);
    });
}

fn builder(limits: &Limits) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(limits.h2_streams_max)
        .max_header_list_size(u32::try_from(limits.head.head_bytes_max).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(Some(RESET_STREAMS_MAX));
    builder
}

type Accepted = Result<(http::Request<RecvStream>, SendResponse<Bytes>), h2::Error>;

async fn next(connection: &mut Connection<Io, Bytes>) -> Option<Accepted> {
    connection.accept().await
}

fn refuse_connection(core: &Core) {
    *core.counters.lock().connection_refusals.entry(Reason::HttpH2Protocol).or_default() += 1;
}

async fn stream(
    core: Rc<Core>,
    listener: Arc<Listener>,
    request: http::Request<RecvStream>,
    mut answer: SendResponse<Bytes>,
) {
    let limits = &listener.limits;
    let (parts, mut body) = request.into_parts();
    let bodiless = parts.method == http::Method::HEAD;
    let begun = match dpu_http::h2::request_head(&parts, &limits.head) {
        Ok(head) => read_on(&core, head, &mut body, &mut answer, limits).await,
        Err(refused) => {
            *core.counters.lock().head_refusals.entry(refused.refusal.reason).or_default() += 1;
            let refusal = refusal_answer(&refused.refusal, core.mint(), None);
            if send_answer(&core, &mut answer, &refusal, bodiless, limits).await.is_ok() {
                linger(&mut body).await;
            }
            return;
        }
    };
    match begun {
        Begun::Answered(answered) => {
            if send_answer(&core, &mut answer, &answered.answer, bodiless, limits).await.is_ok() {
                answered.ending.written();
                linger(&mut body).await;
            }
        }
        Begun::Running(exchange) => {
            // A client that went away has dropped the exchange: the worker is told.
            let _ = run(&core, *exchange, answer, limits).await;
        }
    }
}

/// From an accepted head to what policy makes of the request.
async fn read_on(
    core: &Rc<Core>,
    head: H2Head,
    body: &mut RecvStream,
    answer: &mut SendResponse<Bytes>,
    limits: &Limits,
) -> Begun {
    let endpoint = head.request.as_ref().ok().map(|request| request.endpoint);
    let mut record = Record::accept(core, endpoint, Protocol::H2);
    let request = match head.request {
        Ok(request) => request,
        Err(refusal) => return refuse(core, record, &refusal, None).allowing(head.allow),
    };
    let admitted = match admit(core, &mut record, &request) {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(core, record, &refusal, None),
    };
    let length = LengthCheck::new(head.content_length, limits.body_bytes_max);
    if head.expect_continue && length.is_ok() {
        // Where it cannot be sent the body does not come, and that has its own reason.
        let _ = answer.send_informational(interim());
    }
    match whole_body(body, length, limits).await {
        Ok(body) => begin(core, record, admitted, &request, &body, limits),
        Err(refusal) => refuse(core, record, &refusal, None),
    }
}

/// Reads and drops what is left of a body that was refused. RFC 9113, 8.1 lets us reset the stream instead, but there
/// are clients that then throw the answer away (curl 7.88).
async fn linger(body: &mut RecvStream) {
    let read = async {
        let mut dropped = 0;
        while let Some(Ok(data)) = body.data().await {
            dropped += data.len();
            if dropped > LINGER_BYTES_MAX || body.flow_control().release_capacity(data.len()).is_err() {
                return;
            }
        }
    };
    // Whoever is slower than that gets the reset.
    let _ = timeout(LINGER_TIME, read).await;
}

async fn whole_body(
    body: &mut RecvStream,
    length: Result<LengthCheck, Refusal>,
    limits: &Limits,
) -> Result<Bytes, Refusal> {
    let mut length = length?;
    let read = async {
        let mut whole = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data.map_err(|_| Refusal::from(Reason::HttpBodyIncomplete))?;
            length.add(data.len())?;
            // The window is given back at once: the bytes are ours now and bounded.
            let _ = body.flow_control().release_capacity(data.len());
            whole.extend_from_slice(&data);
        }
        length.end()?;
        Ok(whole.freeze())
    };
    timeout(limits.body_timeout, read).await.unwrap_or_else(|_| Err(Reason::HttpBodyTimeout.into()))
}

/// The 100 that a client with `Expect: 100-continue` waits for.
fn interim() -> http::Response<()> {
    let mut response = http::Response::new(());
    *response.status_mut() = http::StatusCode::CONTINUE;
    response
}

async fn run(
    core: &Rc<Core>,
    mut exchange: Exchange,
    mut answer: SendResponse<Bytes>,
    limits: &Limits,
) -> Result<(), Gone> {
    let mut events = Vec::new();
    let mut sending: Option<SendStream<Bytes>> = None;
    loop {
        events.clear();
        let step = turn(&mut exchange, &mut events, &mut answer, sending.as_mut()).await?;
        if let Step::Answer(ready) = step {
            send_answer(core, &mut answer, &ready, false, limits).await?;
            exchange.written();
            return Ok(());
        }
        if sending.is_none() {
            let date = core.date();
            let head = ResponseHead {
                status: 200,
                content_type: EVENT_STREAM,
                date: &date,
                extra: exchange.extra(),
            };
            let response = respond::h2_response(&head, None);
            sending = Some(answer.send_response(response, false).map_err(|_| Gone)?);
        }
        let Some(stream) = &mut sending else { return Err(Gone) };
        let last = matches!(step, Step::LastEvents);
        let stopped = exchange.stopped();
        tokio::select! {
            biased;
            sent = send_data(stream, Bytes::copy_from_slice(&events), last, limits) => sent?,
            () = stopped, if !last => {
                exchange.stop_unwritten();
                stream.send_reset(h2::Reason::CANCEL);
                return Err(Gone);
            }
        }
        if last {
            exchange.written();
            return Ok(());
        }
    }
}

/// Waits for the exchange while it watches for a reset by the client.
async fn turn(
    exchange: &mut Exchange,
    events: &mut Vec<u8>,
    answer: &mut SendResponse<Bytes>,
    mut sending: Option<&mut SendStream<Bytes>>,
) -> Result<Step, Gone> {
    let mut step = pin!(exchange.step(events));
    poll_fn(|context| {
        if let Poll::Ready(step) = step.as_mut().poll(context) {
            return Poll::Ready(Ok(step));
        }
        let reset = match &mut sending {
            Some(stream) => stream.poll_reset(context),
            None => answer.poll_reset(context),
        };
        reset.map(|_| Err(Gone))
    })
    .await
}

async fn send_answer(
    core: &Core,
    to: &mut SendResponse<Bytes>,
    answer: &Answer,
    bodiless: bool,
    limits: &Limits,
) -> Result<(), Gone> {
    let date = core.date();
    let head = ResponseHead { status: answer.status, content_type: JSON, date: &date, extra: &answer.extra };
    let response = respond::h2_response(&head, Some(answer.body.len()));
    if bodiless {
        return to.send_response(response, true).map(drop).map_err(|_| Gone);
    }
    let mut stream = to.send_response(response, false).map_err(|_| Gone)?;
    send_data(&mut stream, Bytes::copy_from_slice(&answer.body), true, limits).await
}

/// Sends as the client's window allows. A client that opens none is cut after the body's time.
async fn send_data(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    last: bool,
    limits: &Limits,
) -> Result<(), Gone> {
    let send = async {
        if data.is_empty() {
            return stream.send_data(data, last).map_err(|_| Gone);
        }
        while !data.is_empty() {
            stream.reserve_capacity(data.len());
            let granted = match poll_fn(|context| stream.poll_capacity(context)).await {
                Some(Ok(granted)) => granted.min(data.len()),
                Some(Err(_)) | None => return Err(Gone),
            };
            let part = data.split_to(granted);
            let end = last && data.is_empty();
            stream.send_data(part, end).map_err(|_| Gone)?;
        }
        Ok(())
    };
    match timeout(limits.body_timeout, send).await {
        Ok(sent) => sent,
        Err(_) => {
            stream.send_reset(h2::Reason::CANCEL);
            Err(Gone)
        }
    }
}
