//! A connection from accept to close: handshake within its time, then HTTP/1 or HTTP/2.

use crate::caller::Caller;
use crate::core::Core;
use crate::ends::Ends;
use crate::programmed::Listener;
use crate::wire::Wire;
use crate::{h1, h2};
use dpu_types::Reason;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_rustls::TlsAcceptor;

/// After an accept that failed for want of descriptors, before the next.
const ACCEPT_PAUSE_MS: u64 = 20;

/// What is read and dropped, for a second or two, of a body that was refused, so that its sender comes to read the
/// answer. Twice the largest body that can be allowed (8 MiB, a worker frame).
pub const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Plaintext side of a connection.
pub type Io = TlsStream<Wire>;

/// Takes connections until the core drains.
pub async fn accept(core: Rc<Core>, sockets: TcpListener, address: SocketAddr) {
    let mut draining = core.draining.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(|on| *on) => return,
            accepted = sockets.accept() => accepted,
        };
        // The listener of the plan of this moment: a reload changes certificates and limits of new connections.
        let Some(listener) = current(&core, address) else { return };
        match accepted {
            Ok((tcp, client)) => take(&core, tcp, client, listener),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(ACCEPT_PAUSE_MS)).await,
        }
    }
}

fn current(core: &Core, address: SocketAddr) -> Option<Arc<Listener>> {
    let plan = core.programmed.borrow();
    plan.as_ref()?.listeners.iter().find(|listener| listener.address == address).map(Arc::clone)
}

fn take(core: &Rc<Core>, tcp: TcpStream, client: SocketAddr, listener: Arc<Listener>) {
    core.counters.lock().connections += 1;
    let open = Connection::open(&listener.open);
    if open.count > listener.limits.connections_max {
        core.refuse_connection(Reason::ConnectionsFull);
        return;
    }
    spawn_local(serve(Rc::clone(core), tcp, client, listener, open));
}

async fn serve(
    core: Rc<Core>,
    tcp: TcpStream,
    client: SocketAddr,
    listener: Arc<Listener>,
    _open: Connection,
) {
    // A token is a small write that must not wait for the one before it to be acknowledged.
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    // Not the listener's address: that may be a wildcard, and the packet stage may have chosen another port.
    let Ok(server) = tcp.local_addr() else { return };
    let limit = listener.limits.handshake_timeout;
    let io = match timeout(limit, handshake(&listener.tls.config, tcp)).await {
        Ok(Ok(io)) => io,
        Ok(Err(error)) => return core.refuse_connection(dpu_tls::classify_io(&error)),
        Err(_) => return core.refuse_connection(Reason::TlsHandshakeTimeout),
    };
    let peer = dpu_tls::peer_identity(io.get_ref().1, listener.tls.trust.id());
    core.counters.lock().handshakes.take(&peer);
    let is_h2 = peer.alpn == dpu_tls::Alpn::H2;
    let caller = Caller::new(&listener, Ends::new(client, server, &listener.name), peer);
    if is_h2 {
        h2::serve(&core, io, &listener, caller).await;
    } else {
        h1::serve(&core, io, &listener, caller).await;
    }
}

async fn handshake(config: &Arc<ServerConfig>, tcp: TcpStream) -> std::io::Result<Io> {
    TlsAcceptor::from(Arc::clone(config))
        .accept_with(Wire(tcp), |session| session.set_buffer_limit(Some(dpu_tls::BUFFERED_BYTES_MAX)))
        .await
}

/// One open connection of a listener; gives its place back when dropped.
struct Connection {
    open: Arc<AtomicU32>,
    /// Open ones, this one among them, when it was taken.
    count: u32,
}

impl Connection {
    fn open(open: &Arc<AtomicU32>) -> Self {
        let count = open.fetch_add(1, Ordering::Relaxed) + 1;
        Self { open: Arc::clone(open), count }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}
