//! UCX options for each kind of transport.

use crate::ffi::is_dumpable;
use crate::transport::{TransportError, TransportKind};
use std::net::SocketAddr;

/// Large frames go in eager fragments: where the kernel or the CPU copies anyway, a rendezvous saves nothing, and UCX
/// 1.13 asserts (aborts the process) in several places when a peer fails in the middle of one.
const EAGER: (&str, &str) = ("RNDV_THRESH", "inf");

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

/// Options by UCX name without "UCX_", and without the component's prefix for those of a component: that is how
/// `ucp_config_modify` of UCX 1.13 knows them. What the operator set in the environment wins.
pub fn of(kind: TransportKind, reach: Reach) -> Vec<(&'static str, &'static str)> {
    if reach == Reach::Local {
        return vec![
            EAGER,
            // tcp carries nothing but the connection manager's words: memory is nearer, and with no rails for
            // rendezvous UCX does not open lanes over tcp beside it.
            ("TLS", "posix,tcp"),
            ("MAX_RNDV_RAILS", "0"),
            // Through /proc/PID/fd a segment has no name, and goes with the process. Nobody may look there where the
            // process dropped privileges without an exec, or forbade dumps: then it gets a name in /dev/shm, which a
            // SIGKILL leaves behind.
            ("USE_PROC_LINK", if is_dumpable() { "y" } else { "n" }),
        ];
    }
    match kind {
        // UD does not work on soft-RoCE, and where it would, RC does.
        TransportKind::Auto | TransportKind::Shm => vec![("TLS", "^posix,sysv,cma,ud")],
        // One rail: no lane over a second interface that carries nothing and is polled all the same.
        TransportKind::Tcp => vec![("TLS", "tcp"), ("MAX_RNDV_RAILS", "1")],
        TransportKind::Rc => vec![("TLS", "rc_verbs,rc_mlx5")],
    }
}
