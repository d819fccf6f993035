//! HTTP/2 on one connection through the h2 crate; every stream is a task of the core.

mod body;
mod connection;
mod guard;
mod io;

pub use connection::serve;

use crate::answer::{refusal_answer, Answer};
use crate::begin::{admit, begin, refuse, Begun};
use crate::core::Core;
use crate::exchange::{Exchange, Step};
use crate::programmed::Limits;
use crate::record::{Protocol, Record};
use bytes::Bytes;
use dpu_http::respond::{self, ResponseHead, EVENT_STREAM, JSON};
use dpu_http::{H2Head, LengthCheck};
use dpu_types::Reason;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use io::Shared;
use std::cell::Cell;
use std::future::{poll_fn, Future};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::time::timeout;

/// Why an answer could not be sent.
enum Unsent {
    /// The client went away.
    Gone,
    /// It would not read.
    Stalled,
}
use Unsent::{Gone, Stalled};

impl Unsent {
    fn reason(&self, core: &Core) -> Reason {
        match self {
            Gone => core.gone_reason(),
            Stalled => Reason::ClientTooSlow,
        }
    }
}

async fn stream(
    core: Rc<Core>,
    shared: Rc<Shared>,
    request: http::Request<RecvStream>,
    mut answer: SendResponse<Bytes>,
) {
    let limits = shared.limits();
    let (parts, mut body) = request.into_parts();
    let bodiless = parts.method == http::Method::HEAD;
    let begun = match dpu_http::h2::request_head(&parts, &limits.head) {
        Ok(head) => read_on(&core, head, &mut body, &mut answer, limits, &shared).await,
        Err(refused) => {
            core.refuse_head(refused.refusal.reason, 1);
            shared.answer_begun();
            let refusal = refusal_answer(&refused.refusal, core.mint(), None);
            if send_answer(&core, &mut answer, &refusal, bodiless, limits).await.is_ok() {
                body::linger(&mut body).await;
            }
            return;
        }
    };
    match begun {
        Begun::Answered(answered) => {
            shared.answer_begun();
            match send_answer(&core, &mut answer, &answered.answer, bodiless, limits).await {
                Ok(()) => {
                    answered.ending.written();
                    body::linger(&mut body).await;
                }
                Err(unsent) => answered.ending.unwritten(unsent.reason(&core)),
            }
        }
        Begun::Running(exchange) => {
            run(&core, exchange, answer, limits, &shared).await;
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
    shared: &Rc<Shared>,
) -> Begun {
    let endpoint = head.request.as_ref().ok().map(|request| request.endpoint);
    let mut record = Record::accept(core, shared.caller(), endpoint, Protocol::H2);
    let request = match head.request {
        Ok(request) => request,
        Err(refusal) => return refuse(core, record, &refusal, None).allowing(head.allow),
    };
    let admitted = match admit(core, &mut record, &request, shared.caller()) {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(core, record, &refusal, None),
    };
    let fits = LengthCheck::new(head.content_length, limits.body_bytes_max).is_ok();
    if head.expect_continue && fits {
        // Where it cannot be sent the body does not come, and that has its own reason.
        let _ = answer.send_informational(interim());
    }
    match body::whole(body, head.content_length, limits, shared).await {
        Ok(body) => begin(core, record, admitted, &request, &body, limits),
        Err(refusal) => refuse(core, record, &refusal, None),
    }
}

/// The 100 that a client with `Expect: 100-continue` waits for.
fn interim() -> http::Response<()> {
    let mut response = http::Response::new(());
    *response.status_mut() = http::StatusCode::CONTINUE;
    response
}

/// Runs an exchange to its end. One whose client went away, or does not read, is dropped: the worker is told.
async fn run(
    core: &Rc<Core>,
    mut exchange: Box<Exchange>,
    mut answer: SendResponse<Bytes>,
    limits: &Limits,
    shared: &Shared,
) {
    match run_on(core, &mut exchange, &mut answer, limits, shared).await {
        Ok(true) => exchange.written(),
        Ok(false) => exchange.stop_unwritten(),
        Err(unsent) => exchange.unwritten(unsent.reason(core)),
    }
}

/// True where the answer was sent whole, false where we have stopped it.
async fn run_on(
    core: &Rc<Core>,
    exchange: &mut Exchange,
    answer: &mut SendResponse<Bytes>,
    limits: &Limits,
    shared: &Shared,
) -> Result<bool, Unsent> {
    let mut events = Vec::new();
    let mut sending: Option<SendStream<Bytes>> = None;
    loop {
        events.clear();
        let step = turn(exchange, &mut events, answer, sending.as_mut()).await?;
        if sending.is_none() {
            shared.answer_begun();
        }
        if let Step::Answer(ready) = step {
            send_counted(core, answer, &ready, limits, &exchange.handed()).await?;
            return Ok(true);
        }
        if sending.is_none() {
            sending = Some(send_stream_head(core, exchange, answer)?);
        }
        let Some(stream) = &mut sending else { return Err(Gone) };
        let last = matches!(step, Step::LastEvents);
        let (stopped, handed) = (exchange.stopped(), exchange.handed());
        tokio::select! {
            biased;
            sent = send_data(stream, Bytes::copy_from_slice(&events), last, limits, &handed) => sent?,
            () = stopped, if !last => {
                stream.send_reset(h2::Reason::CANCEL);
                return Ok(false);
            }
        }
        if last {
            return Ok(true);
        }
    }
}

fn send_stream_head(
    core: &Core,
    exchange: &Exchange,
    answer: &mut SendResponse<Bytes>,
) -> Result<SendStream<Bytes>, Unsent> {
    let date = core.date();
    let head =
        ResponseHead { status: 200, content_type: EVENT_STREAM, date: &date, extra: &exchange.extra() };
    answer.send_response(respond::h2_response(&head, None), false).map_err(|_| Gone)
}

/// Waits for the exchange while it watches for a reset by the client.
async fn turn(
    exchange: &mut Exchange,
    events: &mut Vec<u8>,
    answer: &mut SendResponse<Bytes>,
    mut sending: Option<&mut SendStream<Bytes>>,
) -> Result<Step, Unsent> {
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
) -> Result<(), Unsent> {
    match send_answer_head(core, to, answer, bodiless)? {
        Some(mut stream) => send_body(&mut stream, answer, limits, &Cell::new(0)).await,
        None => Ok(()),
    }
}

/// An answer with tokens in it; `handed` as for `send_data`.
async fn send_counted(
    core: &Core,
    to: &mut SendResponse<Bytes>,
    answer: &Answer,
    limits: &Limits,
    handed: &Cell<usize>,
) -> Result<(), Unsent> {
    match send_answer_head(core, to, answer, false)? {
        Some(mut stream) => send_body(&mut stream, answer, limits, handed).await,
        None => Ok(()),
    }
}

/// None where no body follows.
fn send_answer_head(
    core: &Core,
    to: &mut SendResponse<Bytes>,
    answer: &Answer,
    bodiless: bool,
) -> Result<Option<SendStream<Bytes>>, Unsent> {
    let date = core.date();
    let head = ResponseHead { status: answer.status, content_type: JSON, date: &date, extra: &answer.extra };
    let response = respond::h2_response(&head, Some(answer.body.len()));
    let stream = to.send_response(response, bodiless).map_err(|_| Gone)?;
    Ok((!bodiless).then_some(stream))
}

async fn send_body(
    stream: &mut SendStream<Bytes>,
    answer: &Answer,
    limits: &Limits,
    handed: &Cell<usize>,
) -> Result<(), Unsent> {
    send_data(stream, Bytes::copy_from_slice(&answer.body), true, limits, handed).await
}

/// Sends as the client's window allows, in `write_timeout` or not at all; `handed` counts the bytes that were taken.
async fn send_data(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    last: bool,
    limits: &Limits,
    handed: &Cell<usize>,
) -> Result<(), Unsent> {
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
            handed.set(handed.get() + granted);
        }
        Ok(())
    };
    match timeout(limits.write_timeout, send).await {
        Ok(sent) => sent,
        Err(_) => {
            stream.send_reset(h2::Reason::CANCEL);
            Err(Stalled)
        }
    }
}
