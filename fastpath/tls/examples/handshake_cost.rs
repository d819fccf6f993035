//! What a handshake costs the server, in microseconds on one core, by number of tickets, full and resumed. The 10th
//! percentile over single handshakes, so that a busy machine does not show:
//! `cargo run --release -p dpu-tls --example handshake_cost`.

#[path = "../tests/common/mod.rs"]
mod common;

use common::Ca;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TIMES: u32 = 2000;

fn main() {
    let ca = Ca::new();
    for (kind, algorithm) in
        [("ECDSA P-256", &rcgen::PKCS_ECDSA_P256_SHA256), ("RSA-2048", &rcgen::PKCS_RSA_SHA256)]
    {
        let config = common::server_config(&[ca.issue_with(&["a.test"], algorithm)]);
        let Ok(config) = config else { return };
        for tickets in 0..=2 {
            let mut config = (*config).clone();
            config.send_tls13_tickets = tickets;
            let config = Arc::new(config);
            let full = measure(&config, || without_resumption(&ca));
            let resumed = (tickets > 0).then(|| {
                let client = Arc::new(ca.modern(&[b"h2"]));
                measure(&config, || client.clone())
            });
            println!("{kind}, {tickets} tickets: full {full:.1} us, resumed {resumed:.1?} us");
        }
    }
}

fn without_resumption(ca: &Ca) -> Arc<ClientConfig> {
    let mut client = ca.modern(&[b"h2"]);
    client.resumption = rustls::client::Resumption::disabled();
    Arc::new(client)
}

/// Microseconds inside the server's calls; 0 where handshakes fail.
fn measure(server: &Arc<ServerConfig>, mut client: impl FnMut() -> Arc<ClientConfig>) -> f64 {
    let mut spent: Vec<Duration> = (0..TIMES).filter_map(|_| one(server, client())).collect();
    spent.sort_unstable();
    spent.get(spent.len() / 10).map_or(0.0, |spent| spent.as_secs_f64() * 1e6)
}

/// Time in the server over one handshake; None where it fails.
fn one(server: &Arc<ServerConfig>, client: Arc<ClientConfig>) -> Option<Duration> {
    let mut client = ClientConnection::new(client, ServerName::try_from("a.test").ok()?).ok()?;
    let start = Instant::now();
    let mut server = ServerConnection::new(server.clone()).ok()?;
    let mut spent = start.elapsed();
    while client.wants_write() || server.wants_write() {
        let (mut wire, mut back) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut wire).ok()?;
        }
        let start = Instant::now();
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).ok()?;
            server.process_new_packets().ok()?;
        }
        while server.wants_write() {
            server.write_tls(&mut back).ok()?;
        }
        spent += start.elapsed();
        let mut rest = back.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).ok()?;
            client.process_new_packets().ok()?;
        }
    }
    Some(spent)
}
