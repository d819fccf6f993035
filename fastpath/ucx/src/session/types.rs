//! What crosses the border of a session: events, states, keys.

use crate::transport::PeerId;
use bytes::Bytes;
use dpu_types::gen::worker_frame::HEADER_BYTES;
use dpu_types::{Reason, RequestId, Trace};

/// How a request went, from END or RESULT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// stop, length, tool_calls, content_filter.
    pub finish: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Those of them that came from the prefix cache.
    pub cached_tokens: u32,
    /// Tokens generated and sent.
    pub completion_tokens: u32,
    /// Microseconds waiting for a slot.
    pub queue_us: u64,
    /// Microseconds until the first token.
    pub prefill_us: u64,
    /// Microseconds from the first token to the last.
    pub decode_us: u64,
}

/// What the fast path's side reports. After `Result`, `End`, `Fail` or `Cancelled` nothing follows for an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A fragment of a stream.
    Tokens {
        /// Which request.
        id: RequestId,
        /// Completion tokens in it.
        token_count: u32,
        /// JSON array: `choices` of an OpenAI chunk. A slice of the received frame.
        choices: Bytes,
        /// It carries a finish_reason.
        finish: bool,
    },
    /// A whole answer.
    Result {
        /// Which request.
        id: RequestId,
        /// Usage and times.
        summary: Summary,
        /// JSON array: `choices`, or `data` of embeddings.
        choices: Bytes,
    },
    /// A stream went well.
    End {
        /// Which request.
        id: RequestId,
        /// Usage and times.
        summary: Summary,
    },
    /// A request ended without its answer.
    Fail {
        /// Which request.
        id: RequestId,
        /// Why.
        reason: Reason,
        /// For people; never prompt text.
        detail: String,
        /// Another worker may be tried. True for a lost worker only where nothing had come for this request.
        retry: bool,
    },
    /// A cancelled request has stopped.
    Cancelled {
        /// Which request.
        id: RequestId,
        /// Completion tokens that were sent by the worker before it stopped.
        tokens_sent: u32,
        /// Completion tokens generated and never sent.
        tokens_wasted: u32,
        /// Microseconds from CANCEL to free, by the worker's clock; by ours where the answer ended by itself.
        cancel_us: u64,
    },
    /// The state of this worker (index in the last `set_workers`) changed.
    WorkerChanged {
        /// Index.
        worker: usize,
    },
}

/// Where a worker's connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerPhase {
    /// The transport connects.
    Connecting,
    /// Proofs are exchanged.
    Handshaking,
    /// Takes requests.
    Ready,
    /// Finishes what it has and takes nothing new (the worker said DRAIN).
    Draining,
    /// Gone; tried again after a back-off.
    Lost,
    /// It did not prove the key or speaks another version; tried again after the longest back-off.
    Refused,
}

impl WorkerPhase {
    /// The name in metrics and status: connecting, handshaking, ready, draining, lost, refused.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Handshaking => "handshaking",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Lost => "lost",
            Self::Refused => "refused",
        }
    }
}

/// One worker as the fast path sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerState {
    /// Name in the plan.
    pub name: String,
    /// Where its connection stands.
    pub phase: WorkerPhase,
    /// What the transport reports; empty before the connection.
    pub transport: String,
    /// Its own id; empty before the handshake.
    pub worker_id: String,
    /// llama, echo, openai; empty before the handshake.
    pub engine: String,
    /// Requests that it runs at the same time.
    pub slots: u32,
    /// The engine's names of its models.
    pub models: Vec<String>,
    /// Our requests that have not ended.
    pub outstanding: u32,
    /// Requests in slots, from everybody, by its last LOAD.
    pub running: u32,
    /// Requests waiting for a slot, by its last LOAD.
    pub queued: u32,
    /// Tokens that still fit into its KV cache, by its last LOAD; 0 where it does not know.
    pub free_kv_tokens: u64,
    /// Why it is in this phase, for people.
    pub detail: String,
}

/// A request on the worker's side: ids are unique only per fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// Which connection.
    pub peer: PeerId,
    /// Which request.
    pub id: RequestId,
}

/// Why a frame of a stream was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamGone {
    /// The fast path cancelled it: stop, then call `cancelled`.
    Cancelled,
    /// The connection is lost, or the stream has ended: stop; nothing more to call.
    PeerLost,
    /// Too many bytes wait for the fast path. The frame was not sent; the stream lives: try later, or `fail`.
    Full,
    /// The frame is larger than frames may be. It was not sent; the stream lives: `fail` it.
    TooLarge,
    /// The client reads slower than this stream is written. The frame was not sent; the stream lives: wait for
    /// `ServerEvent::Credit` or its `Cancel`.
    NoCredit,
}

impl std::fmt::Display for StreamGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "the request was cancelled",
            Self::PeerLost => "the fast path is gone",
            Self::Full => "the send queue to the fast path is full",
            Self::TooLarge => "the frame is larger than is allowed",
            Self::NoCredit => "the stream has no credit left",
        })
    }
}

impl std::error::Error for StreamGone {}

/// What a fragment costs of its stream's credit: its whole frame. With the header in it, empty fragments cannot be sent
/// without end.
#[must_use]
pub const fn tokens_frame_bytes(choices_bytes: usize) -> usize {
    HEADER_BYTES + TOKENS_FIELDS_BYTES + choices_bytes
}

/// Token count and length of `choices`.
const TOKENS_FIELDS_BYTES: usize = 8;

/// A model that a worker offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedModel {
    /// The engine's name.
    pub name: String,
    /// SHA-256 of the file; zero where it is not known.
    pub digest: [u8; 32],
    /// "Q4_1"; empty where it is not known.
    pub quantisation: String,
    /// Tokens of context per request.
    pub context_tokens: u32,
}

/// REQUEST as the worker gets it; its receipt has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRequest {
    /// Minted by the fast path.
    pub id: RequestId,
    /// Bits of REQUEST: stream, embeddings, completions.
    pub flags: u16,
    /// Milliseconds from its arrival until the fast path gives up.
    pub deadline_ms: u32,
    /// 0 is lowest.
    pub priority: u8,
    /// Plan that decided.
    pub epoch: u64,
    /// Completion tokens at most; 0 leaves it to the engine.
    pub token_budget: u32,
    /// First half of SHA-256 of the tenant's name.
    pub tenant_hash: [u8; 16],
    /// SHA-256 of `body`.
    pub receipt_sha256: [u8; 32],
    /// Edits that normalisation made.
    pub receipt_edits: u32,
    /// Canary arm.
    pub arm: String,
    /// The engine's name of the model.
    pub model: String,
    /// The fast path's span; `is_some` says whether there is one.
    pub trace: Trace,
    /// RFC 8785 canonical JSON. A slice of the received frame.
    pub body: Bytes,
}

/// What the worker's side reports.
// Made once a request and moved twice: cheaper than a box.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// A new request. End it with `result`, `end`, `fail` or `cancelled`.
    Request {
        /// Its key.
        stream: StreamKey,
        /// What it says.
        request: OwnedRequest,
    },
    /// Stop this one, then call `cancelled`.
    Cancel {
        /// Its key.
        stream: StreamKey,
        /// Why the fast path stops it.
        reason: Reason,
    },
    /// A stream that was told `NoCredit` may go on.
    Credit {
        /// Its key.
        stream: StreamKey,
    },
    /// A fast path is gone, and these streams with it: stop them; nothing to call.
    PeerLost {
        /// Their keys.
        streams: Vec<StreamKey>,
    },
}

/// One fast path as the worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerState {
    /// Its name and core; empty before the handshake.
    pub fastpath_id: String,
    /// What the transport reports.
    pub transport: String,
    /// Its requests that have not ended.
    pub streams: u32,
}
