//! What the session needs of a transport, whichever carries the frames.

use bytes::Bytes;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

/// One connection of one transport. Never used twice in a transport's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// Which of UCX's transports may carry the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransportKind {
    /// Shared memory where the address is loopback, else the best that UCX finds.
    #[default]
    Auto,
    /// Shared memory only; both processes on one machine.
    Shm,
    /// TCP only.
    Tcp,
    /// RDMA reliable connections: rc_verbs, or mlx5 where there is one.
    Rc,
}

impl TransportKind {
    /// The name in configuration: auto, shm, tcp, rc.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Shm => "shm",
            Self::Tcp => "tcp",
            Self::Rc => "rc",
        }
    }
}

impl std::str::FromStr for TransportKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Auto, Self::Shm, Self::Tcp, Self::Rc]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| format!("transport {name:?} is not one of auto, shm, tcp, rc"))
    }
}

/// What happened on a transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportEvent {
    /// Frames may be sent to this peer. UCX tells a client nothing more than that: only an answer shows that
    /// the other side is there, and `Lost` may still follow.
    Connected(PeerId),
    /// Somebody connected to our listener.
    Accepted(PeerId),
    /// One frame, whole.
    Frame {
        /// Who sent it.
        peer: PeerId,
        /// Its bytes, at most the transport's frame limit.
        bytes: Bytes,
    },
    /// The connection is gone; nothing more will come from it, and it needs no `close`.
    Lost {
        /// Which.
        peer: PeerId,
        /// For people.
        why: String,
    },
}

impl TransportEvent {
    /// Whom it is about.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        match self {
            Self::Connected(peer)
            | Self::Accepted(peer)
            | Self::Frame { peer, .. }
            | Self::Lost { peer, .. } => *peer,
        }
    }
}

/// Why a transport did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// As many bytes are in flight to this peer as may be. A later try may succeed.
    Full,
    /// There is no such peer (any more).
    Gone,
    /// The frame is larger than is allowed.
    TooLarge,
    /// The transport's own words.
    Failed(String),
}

impl std::fmt::Display for TransportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => write!(f, "the send queue to the peer is full"),
            Self::Gone => write!(f, "the peer is gone"),
            Self::TooLarge => write!(f, "the frame is larger than is allowed"),
            Self::Failed(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for TransportError {}

/// Figures of a transport, all since its start unless named otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportCounters {
    /// Peers that were lost (not those that we closed).
    pub peers_lost: u64,
    /// Sends refused because too many bytes were in flight.
    pub sends_refused_full: u64,
    /// Received frames refused because of their size or because too many were on their way in.
    pub receives_refused: u64,
    /// Bytes handed to the transport and not yet complete, now.
    pub bytes_in_flight: u64,
    /// Peers closed whose last operations have not completed, now; their buffers stay alive.
    pub peers_closing: u64,
    /// Buffers given up for a dead peer and kept until its UCX worker was destroyed.
    pub buffers_stranded: u64,
}

/// Moves whole frames between peers. Single-threaded, never blocks, knows no clock.
///
/// Frames may arrive in another order than they were sent (a small eager message may overtake a large rendezvous
/// one); the session puts them right.
pub trait Transport {
    /// Accepts peers on `address` (port 0: any). Returns the address really bound.
    ///
    /// # Errors
    /// `Failed` where the address cannot be bound.
    fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr, TransportError>;

    /// Starts to connect. `Connected` or `Lost` follows.
    ///
    /// # Errors
    /// `Failed` where not even a start was possible.
    fn connect(&mut self, address: SocketAddr) -> Result<PeerId, TransportError>;

    /// An empty buffer for the next frame, recycled from a completed one where possible.
    fn buffer(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// Sends one frame; the transport takes the buffer, and owns it until the operation is complete.
    ///
    /// # Errors
    /// `Full`, `Gone`, `TooLarge`: nothing was sent; where it is `Full`, `frame` is as it was and can be tried again.
    fn try_send(&mut self, peer: PeerId, frame: &mut Vec<u8>) -> Result<(), TransportError>;

    /// `try_send` for a frame that is not tried again.
    ///
    /// # Errors
    /// As `try_send`.
    fn send(&mut self, peer: PeerId, mut frame: Vec<u8>) -> Result<(), TransportError> {
        self.try_send(peer, &mut frame)
    }

    /// Makes progress and appends what happened. Returns how many events were appended.
    fn poll(&mut self, out: &mut Vec<TransportEvent>) -> usize;

    /// Readable when `poll` has work, after `arm` returned true. `None`: poll by timer.
    fn event_fd(&self) -> Option<BorrowedFd<'_>>;

    /// True: nothing is pending, sleeping on `event_fd` is safe. False: poll again first.
    fn arm(&mut self) -> bool;

    /// Sends that are not complete: `poll` has to be called, and no descriptor may tell when.
    fn is_sending(&self) -> bool {
        self.counters().bytes_in_flight > 0
    }

    /// Ends a connection. Frames already sent are delivered where the peer still lives; no event of this peer
    /// follows.
    fn close(&mut self, peer: PeerId);

    /// `close` for a peer that says nothing any more: its card, or the wire, may be gone.
    fn abandon(&mut self, peer: PeerId) {
        self.close(peer);
    }

    /// What really carries the frames, as the transport reports it: "posix/memory", "tcp/lo", "rc_verbs/rxe0:1".
    fn transport_name(&self, peer: PeerId) -> String;

    /// Figures.
    fn counters(&self) -> TransportCounters {
        TransportCounters::default()
    }
}
