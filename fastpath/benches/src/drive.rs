//! The program's life: connect, warm up, say `{"ready":...}`, then a round for each line `go SECONDS` on standard
//! input, each answered by one line of JSON; the end of standard input is the end. Who measures CPU time reads it
//! before `go` and after the answer: nothing is in flight at either time, and no handshake is in between.

use crate::connect::{are_many, Connector};
use crate::handshake::Handshakes;
use crate::options::Options;
use crate::round::{Job, Round, Tally};
use crate::work::Work;
use crate::{fault, h1, h2c, Fault};
use serde_json::{json, Value};
use std::io::{BufRead, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Handshakes at the same time while connections are made.
const CONNECTING_MAX: usize = 64;
/// What has begun must be over in this time after the end of a round.
const TAIL_MAX: Duration = Duration::from_secs(60);

/// One line for whoever drives us.
pub fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: the end of standard input comes next.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// # Errors
/// What went wrong, for people.
pub async fn run(options: &Options) -> Result<(), Fault> {
    let round = Round::new(options.mode == "paced");
    let began = Instant::now();
    let jobs = start(options, &round).await?;
    say(&json!({ "ready": jobs, "seconds": began.elapsed().as_secs_f64() }));
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        let seconds = line.strip_prefix("go ").and_then(|text| text.trim().parse().ok());
        let seconds: f64 = seconds.ok_or_else(|| format!("'{line}' is not 'go SECONDS'"))?;
        let began = Instant::now();
        round.go(jobs);
        if options.mode == "paced" {
            pace(&round, options.need("rate")?, seconds).await;
        } else {
            let length = Duration::from_secs_f64(seconds);
            // A fault ends the round at once.
            let _ = tokio::time::timeout(length, round.broken()).await;
        }
        let tally = tokio::time::timeout(TAIL_MAX, round.end()).await;
        say(&told(tally.map_err(fault("answers that never end"))??, began.elapsed()));
    }
    Ok(())
}

fn told(mut tally: Tally, took: Duration) -> Value {
    tally.latency_us.sort_unstable();
    let at = |share: f64| {
        let rank = (share * tally.latency_us.len() as f64).ceil() as usize;
        tally.latency_us.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    };
    json!({ "turns": tally.turns, "units": tally.units, "seconds": took.as_secs_f64(),
            "p50_us": at(0.5), "p99_us": at(0.99) })
}

/// Makes and warms up all connections; how many jobs there are.
async fn start(options: &Options, round: &Rc<Round>) -> Result<usize, Fault> {
    let connections: usize = options.need("connections")?;
    let warm_up: u32 = options.or("warm-up", 1)?;
    let spread = Duration::from_micros(options.or("spread-us", 0)?);
    let gap = spread / u32::try_from(connections.max(1)).unwrap_or(u32::MAX);
    if options.mode == "handshake" {
        for index in 0..connections {
            let job = Handshakes::of(options, index * 1_000)?;
            add(round, job, warm_up.max(1), Duration::ZERO).await?;
        }
        return Ok(connections);
    }
    let work = Work::of(options)?;
    let connector = Connector::of(options, None, are_many(connections))?;
    let streams: usize = options.or("streams", 1)?;
    if options.or("protocol", String::new())? == "h2" {
        for index in 0..connections {
            for lane in h2c::lanes(&connector, index, streams, &work).await? {
                add(round, lane, warm_up, Duration::ZERO).await?;
            }
        }
        return Ok(connections * streams);
    }
    let mut made = 0;
    while made < connections {
        let batch = made..connections.min(made + CONNECTING_MAX);
        made = batch.end;
        let tasks: Vec<_> = batch
            .map(|index| {
                let (connector, work, round) = (connector.clone(), Rc::clone(&work), Rc::clone(round));
                let streaming = options.mode == "stream";
                tokio::task::spawn_local(async move {
                    let io = connector.connect(index).await?;
                    // Keys in turns: each connection uses its share of them, one request after another.
                    let turns = (index..work.keys.len().max(index + 1)).step_by(connections.max(1));
                    let job = h1::Connection::new(io, Rc::clone(&work), turns, streaming);
                    add(&round, job, warm_up, gap * u32::try_from(index).unwrap_or_default()).await
                })
            })
            .collect();
        for task in tasks {
            task.await.map_err(fault("task"))??;
        }
    }
    Ok(connections)
}

async fn add(
    round: &Rc<Round>,
    mut job: impl Job + 'static,
    warm_up: u32,
    delay: Duration,
) -> Result<(), Fault> {
    for _ in 0..warm_up {
        job.once().await?;
    }
    tokio::task::spawn_local(Rc::clone(round).serve(job, delay));
    Ok(())
}

/// Turns are due at even distances, whatever the server does: a thread of its own tells the time, because the
/// runtime's timers have steps of 1 ms.
async fn pace(round: &Rc<Round>, per_s: f64, seconds: f64) {
    let (tell, mut told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let began = Instant::now();
        let count = (per_s * seconds) as u32;
        for number in 0..count {
            let due = began + Duration::from_secs_f64(f64::from(number) / per_s);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            // The loop has ended where nobody listens.
            if tell.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    let until = Instant::now() + Duration::from_secs_f64(seconds) + TAIL_MAX;
    loop {
        tokio::select! {
            due = told.recv() => match due {
                Some(due) if Instant::now() < until => round.push(due),
                _ => return,
            },
            () = round.broken() => return,
        }
    }
}

fn lines() -> mpsc::UnboundedReceiver<String> {
    let (tell, told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    told
}
