//! UCX options for each kind of transport.

use crate::ffi::{peers_may_look, UcxOption};
use crate::transport::{TransportError, TransportKind};
use std::net::SocketAddr;

/// Large frames go in eager fragments: where the kernel or the CPU copies anyway, a rendezvous saves nothing, and UCX
/// 1.13 asserts (aborts the process) in several places when a peer fails in the middle of one.
const EAGER: UcxOption = UcxOption { variable: "UCX_RNDV_THRESH", name: "RNDV_THRESH", value: "inf" };

/// No lanes for rendezvous: they would be over tcp beside shared memory, or over a second interface, carry nothing, and
/// be polled all the same.
const NO_RAILS: UcxOption = UcxOption { variable: "UCX_MAX_RNDV_RAILS", name: "MAX_RNDV_RAILS", value: "0" };

/// Every tcp interface that UCX opens listens on a port of its own; for peers on this machine only on loopback.
const LOOPBACK: UcxOption = UcxOption { variable: "UCX_NET_DEVICES", name: "NET_DEVICES", value: "lo" };

const fn transports(value: &'static str) -> UcxOption {
    UcxOption { variable: "UCX_TLS", name: "TLS", value }
}

/// Which of the two contexts a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Shared memory.
    Local,
    /// Everything else.
    Wide,
}

impl Reach {
    /// Both ends judge alike: where one address of a connection is loopback, so is the other.
    pub fn of(kind: TransportKind, address: SocketAddr) -> Self {
        match kind {
            TransportKind::Shm => Self::Local,
            TransportKind::Auto if address.ip().is_loopback() => Self::Local,
            _ => Self::Wide,
        }
    }
}

/// IPv6 with tcp lanes is refused: UCX 1.13.1 writes a peer's IPv6 address into the room of an IPv4 one
/// (`uct_tcp_ep_set_dest_addr`; valgrind shows 12 bytes past the block, and the process aborts later).
///
/// # Errors
/// The words for people.
pub fn check_family(kind: TransportKind, address: SocketAddr) -> Result<(), TransportError> {
    if address.is_ipv6() && kind != TransportKind::Rc {
        let why =
            format!("{address}: this UCX is not safe with IPv6 over {}, give an IPv4 address", kind.name());
        return Err(TransportError::Failed(why));
    }
    Ok(())
}

/// The options of a context.
pub fn of(kind: TransportKind, reach: Reach) -> Vec<UcxOption> {
    if reach == Reach::Local {
        // tcp carries nothing but the connection manager's words: memory is nearer.
        return vec![transports("posix,tcp"), LOOPBACK, NO_RAILS, EAGER, proc_link()];
    }
    match kind {
        // UD does not work on soft-RoCE, and where it would, RC does.
        TransportKind::Auto | TransportKind::Shm => vec![transports("^posix,sysv,cma,ud")],
        TransportKind::Tcp => vec![transports("tcp"), NO_RAILS, EAGER],
        TransportKind::Rc => vec![transports("rc_verbs,rc_mlx5")],
    }
}

/// Through /proc/PID/fd a segment has no name, and goes with the process. Nobody may look there where the process
/// dropped privileges without an exec, forbade dumps, or has a capability that the peer lacks: then it gets a name in
/// /dev/shm, which a SIGKILL leaves behind.
fn proc_link() -> UcxOption {
    let value = if peers_may_look() { "y" } else { "n" };
    UcxOption { variable: "UCX_POSIX_USE_PROC_LINK", name: "USE_PROC_LINK", value }
}
