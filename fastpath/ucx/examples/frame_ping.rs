//! Sends REQUESTs and prints what carried them, the median round trip and the CPU time of each.
//!
//! ```text
//! frame_ping server ADDR KIND                          # KIND: auto, shm, tcp, rc
//! frame_ping client ADDR KIND COUNT [BYTES [DEPTH]]    # bodies of BYTES (1024), DEPTH (1) at the same time
//! ```
//! The server answers each with a RESULT of about 300 bytes, and ends when its client goes. Both sleep on armed
//! wake-ups, as the product does; the CPU time is user + system per round trip, measured after the handshake.

use dpu_types::{Dispatch, MonoNs, RequestId, Trace};
use dpu_ucx::{
    Client, ClientConfig, Event, Server, ServerConfig, ServerEvent, Summary, TransportKind, UcxConfig,
    UcxTransport, WorkerPhase,
};
use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

type Anything<T> = Result<T, Box<dyn Error>>;

/// A key for a ping; not a secret.
const KEY: &[u8] = b"frame_ping";

fn main() -> Anything<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["server", address, kind] => server(address.parse()?, kind.parse()?),
        ["client", address, kind, count, rest @ ..] if rest.len() <= 2 => {
            let bytes = rest.first().map_or(Ok(1024), |word| word.parse())?;
            let depth = rest.get(1).map_or(Ok(1), |word| word.parse())?;
            client(address.parse()?, kind.parse()?, count.parse()?, bytes, depth)
        }
        _ => Err("usage: frame_ping server ADDR KIND | client ADDR KIND COUNT [BYTES [DEPTH]]".into()),
    }
}

fn transport(kind: TransportKind) -> Anything<UcxTransport> {
    Ok(UcxTransport::new(UcxConfig { kind, ..UcxConfig::default() })?)
}

/// Good enough for a ping: the product uses the system's random numbers.
fn random() -> dpu_ucx::session::Random {
    let mut state = std::process::id() as u8;
    Box::new(move |out| {
        out.fill_with(|| {
            state = state.wrapping_mul(5).wrapping_add(113);
            state
        });
    })
}

fn server(address: SocketAddr, kind: TransportKind) -> Anything<()> {
    let config = ServerConfig { key: KEY.to_vec(), ..ServerConfig::default() };
    let mut server = Server::new(transport(kind)?, config, random());
    println!("listening {}", server.listen(address)?);
    let clock = Instant::now();
    let choices = [b'x'; 260];
    let summary = Summary { finish: "stop".to_owned(), ..Summary::default() };
    let (mut events, mut answers, mut started) = (Vec::new(), 0_u32, cpu_us());
    loop {
        let busy = server.poll(now(clock), &mut events);
        for event in events.drain(..) {
            match event {
                ServerEvent::Request { stream, .. } => {
                    started = if answers == 0 { cpu_us() } else { started };
                    answers += 1;
                    server.result(stream, &summary, &choices)?;
                }
                ServerEvent::PeerLost { .. } => {
                    let each = (cpu_us() - started) / f64::from(answers.max(1));
                    println!("answered {answers} server_cpu_us_each {each:.2}");
                    return Ok(());
                }
                ServerEvent::Cancel { .. } | ServerEvent::Credit { .. } => {}
            }
        }
        if busy == 0 && server.arm() {
            sleep(server.event_fd(), server.next_timer(), now(clock));
        }
    }
}

/// Requests on their way, by id, and how long the others took.
struct Trips {
    next: u128,
    sent: HashMap<RequestId, Instant>,
    took: Vec<Duration>,
}

impl Trips {
    fn start(
        &mut self,
        client: &mut Client<UcxTransport>,
        dispatch: &mut Dispatch,
        now: MonoNs,
    ) -> Anything<()> {
        self.next += 1;
        dispatch.request_id = RequestId(self.next.to_le_bytes());
        self.sent.insert(dispatch.request_id, Instant::now());
        client.submit(dispatch, now).map_err(|reason| format!("not sent: {reason:?}").into())
    }

    fn end(&mut self, id: RequestId) {
        self.took.extend(self.sent.remove(&id).map(|sent| sent.elapsed()));
    }
}

fn client(
    address: SocketAddr,
    kind: TransportKind,
    count: usize,
    bytes: usize,
    depth: usize,
) -> Anything<()> {
    let config = ClientConfig { key: KEY.to_vec(), ..ClientConfig::default() };
    let mut client = Client::new(transport(kind)?, config, random());
    let clock = Instant::now();
    client.set_workers(&[("w0".to_owned(), address)], now(clock));
    let mut dispatch = dispatch(bytes);
    let mut trips = Trips { next: 0, sent: HashMap::new(), took: Vec::new() };
    let (mut events, mut started, mut transport) = (Vec::new(), cpu_us(), String::new());
    while trips.took.len() < count {
        let busy = client.poll(now(clock), &mut events);
        for event in events.drain(..) {
            match event {
                Event::Result { id, .. } => trips.end(id),
                Event::Fail { reason, detail, .. } => return Err(format!("{reason:?}: {detail}").into()),
                _ => {}
            }
        }
        if transport.is_empty() {
            if let Some(state) = client.state(0).filter(|state| state.phase == WorkerPhase::Ready) {
                (transport, started) = (state.transport, cpu_us());
            } else if clock.elapsed().as_secs() > 10 {
                return Err(format!("no worker: {:?}", client.state(0)).into());
            }
        }
        while !transport.is_empty() && trips.sent.len() < depth && trips.sent.len() + trips.took.len() < count
        {
            trips.start(&mut client, &mut dispatch, now(clock))?;
        }
        if busy == 0 && client.arm() {
            sleep(client.event_fd(), client.next_timer(), now(clock));
        }
    }
    let cpu_each = (cpu_us() - started) / count.max(1) as f64;
    trips.took.sort();
    let median_us = trips.took.get(count / 2).map_or(0.0, |trip| trip.as_secs_f64() * 1e6);
    println!("transport {transport} ucx {}", dpu_ucx::ucx_version());
    println!(
        "round_trips {count} body_bytes {bytes} depth {depth} median_us {median_us:.1} \
         client_cpu_us_each {cpu_each:.2}"
    );
    Ok(())
}

fn dispatch(bytes: usize) -> Dispatch {
    let body = vec![b'x'; bytes];
    let mut receipt_sha256 = [0; 32];
    receipt_sha256.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body).as_ref());
    Dispatch {
        request_id: RequestId::NONE,
        worker: 0,
        arm: "stable".into(),
        model: "chat".into(),
        epoch: 1,
        deadline_ms: 10_000,
        priority: 0,
        token_budget: 16,
        tenant_hash: [0; 16],
        receipt_sha256,
        receipt_edits: 0,
        flags: 0,
        trace: Trace::default(),
        body: body.into(),
    }
}

fn now(clock: Instant) -> MonoNs {
    MonoNs(clock.elapsed().as_nanos() as u64)
}

/// Sleeps until the descriptor is readable or the timer is due.
fn sleep(fd: Option<BorrowedFd<'_>>, timer: Option<MonoNs>, now: MonoNs) {
    let timeout_ms = timer.map_or(1000, |timer| timer.since(now).div_ceil(1_000_000).min(1000)) as i32;
    let mut polled =
        libc::pollfd { fd: fd.map_or(-1, |fd| fd.as_raw_fd()), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid structure.
    unsafe { libc::poll(&mut polled, 1, timeout_ms) };
}

/// User + system time of this process, in microseconds.
fn cpu_us() -> f64 {
    // SAFETY: a plain C struct, zero is valid; getrusage fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let us = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
    us(usage.ru_utime) + us(usage.ru_stime)
}
