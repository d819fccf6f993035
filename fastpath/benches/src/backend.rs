//! The back end of event streams behind nginx, HAProxy and Envoy: the same events as our worker's echo engine makes,
//! one write an event. `tokens=N delay_ms=N` stand in the body, as for that engine.

use crate::options::Options;
use crate::{fault, Fault};
use memchr::memmem;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep_until, Instant};

const START: &str = r#"data: {"id":"chatcmpl-0123456789abcdef0123456789abcdef","object":"chat.completion.chunk","created":1790000000,"model":"chat","choices":"#;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
    transfer-encoding: chunked\r\n\r\n";

/// Listens on `--address` for ever.
///
/// # Errors
/// The address is not to be had.
pub async fn serve(options: &Options) -> Result<(), Fault> {
    let listener = TcpListener::bind(options.address()?).await.map_err(fault("listen"))?;
    loop {
        let Ok((tcp, _)) = listener.accept().await else { continue };
        // A connection that ends is the client's business.
        tokio::task::spawn_local(async move { connection(tcp).await.ok() });
    }
}

async fn connection(mut tcp: TcpStream) -> Result<(), Fault> {
    tcp.set_nodelay(true).map_err(fault("nodelay"))?;
    let mut input = Vec::with_capacity(4096);
    loop {
        let Some(body) = request(&mut tcp, &mut input).await? else { return Ok(()) };
        answer(&mut tcp, number(&body, b"tokens=").unwrap_or(1), number(&body, b"delay_ms=")).await?;
    }
}

/// The next request's body; None where the client is gone.
async fn request(tcp: &mut TcpStream, input: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Fault> {
    loop {
        if let Some(body) = take(input)? {
            return Ok(Some(body));
        }
        if tcp.read_buf(input).await.map_err(fault("receive"))? == 0 {
            return Ok(None);
        }
    }
}

fn take(input: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(at) = head.parse(input).map_err(fault("head"))? else { return Ok(None) };
    let length = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|field| std::str::from_utf8(field.value).ok()?.parse::<usize>().ok());
    let end = at + length.ok_or("a request without content-length")?;
    if input.len() < end {
        return Ok(None);
    }
    let body = input.get(at..end).unwrap_or_default().to_vec();
    input.drain(..end);
    Ok(Some(body))
}

fn number(body: &[u8], name: &[u8]) -> Option<u32> {
    let at = memmem::find(body, name)? + name.len();
    let digits = body.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
}

/// Due at even distances from the request. Between events the other streams have their turn.
async fn answer(tcp: &mut TcpStream, tokens: u32, delay_ms: Option<u32>) -> Result<(), Fault> {
    let began = Instant::now();
    tcp.write_all(HEAD).await.map_err(fault("send"))?;
    for said in 0..tokens {
        match delay_ms {
            Some(ms) => sleep_until(began + Duration::from_millis(u64::from(ms) * u64::from(said + 1))).await,
            None => tokio::task::yield_now().await,
        }
        let role = if said == 0 { r#""role":"assistant","# } else { "" };
        let choices = format!(r#"[{{"index":0,"delta":{{{role}"content":" tok"}},"finish_reason":null}}]"#);
        event(tcp, &format!("{START}{choices},\"usage\":null}}\n\n")).await?;
    }
    let finish = r#"[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#;
    event(tcp, &format!("{START}{finish}\n\n")).await?;
    let usage = format!(
        r#"[],"usage":{{"prompt_tokens":166,"completion_tokens":{tokens},"total_tokens":{}}}}}"#,
        166 + tokens
    );
    event(tcp, &format!("{START}{usage}\n\ndata: [DONE]\n\n")).await?;
    tcp.write_all(b"0\r\n\r\n").await.map_err(fault("send"))
}

async fn event(tcp: &mut TcpStream, text: &str) -> Result<(), Fault> {
    tcp.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await.map_err(fault("send"))
}
