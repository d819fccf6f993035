//! What a session counts.

/// Kinds of frames there are, and 0 for what could not be read.
pub const FRAME_KINDS: usize = 14;

/// Counters since the start of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionCounters {
    /// Frames received, by kind number of the frame table; 0 counts malformed ones.
    pub frames_in: [u64; FRAME_KINDS],
    /// Frames sent, by kind number.
    pub frames_out: [u64; FRAME_KINDS],
    /// Bytes of frames received.
    pub bytes_in: u64,
    /// Bytes of frames sent.
    pub bytes_out: u64,
    /// Handshakes completed.
    pub handshakes: u64,
    /// Handshakes that failed: no proof, another version, a frame out of place.
    pub handshake_failures: u64,
    /// Connections closed because a frame came too far ahead of its turn.
    pub out_of_order: u64,
    /// Frames that came again and were dropped.
    pub duplicates: u64,
    /// Frames held until their turn.
    pub reordered: u64,
    /// Connections closed because of bytes that are not a frame, or a frame that has no place there.
    pub malformed: u64,
    /// Frames of a peer that had not proved the key, and that are not its next step of the handshake; dropped, told
    /// nothing, closed.
    pub strangers: u64,
    /// Connections given up because the peer said nothing.
    pub pings_lost: u64,
    /// Connections lost after their handshake, for any reason.
    pub peers_lost: u64,
    /// Connection attempts after the first, per worker.
    pub reconnects: u64,
    /// Frames for requests that have already ended; dropped.
    pub late_frames: u64,
    /// Requests and frames refused because the transport was full.
    pub send_queue_full: u64,
    /// Requests refused because of `requests_in_flight_max` or `streams_max`.
    pub requests_refused_full: u64,
    /// Peers refused because of `peers_max`, or drains cut by `draining_workers_max`.
    pub peers_refused_full: u64,
    /// Connections closed because `control_backlog_frames_max` or `backlog_bytes_max` was passed.
    pub backlog_full: u64,
    /// CANCELs for unknown ids that were forgotten because of `early_cancels_max`.
    pub early_cancels_dropped: u64,
    /// Cancels that got no CANCELLED in time.
    pub cancels_timed_out: u64,
    /// Bodies that did not match their receipt.
    pub receipts_refused: u64,
    /// Connections closed because a stream had more bytes than its credit.
    pub credit_exceeded: u64,
    /// Streams that had to wait for credit; each wait counts.
    pub credit_waits: u64,
    /// Token counts that cannot be: more tokens than bytes. They were cut to what can be.
    pub token_lies: u64,
}

impl SessionCounters {
    /// Name of a kind number in metrics; "malformed" for 0.
    #[must_use]
    pub const fn kind_name(kind: usize) -> &'static str {
        const NAMES: [&str; FRAME_KINDS] = [
            "malformed",
            "HELLO",
            "WELCOME",
            "REQUEST",
            "TOKENS",
            "RESULT",
            "END",
            "FAIL",
            "CANCEL",
            "CANCELLED",
            "CREDIT",
            "LOAD",
            "DRAIN",
            "PING",
        ];
        if kind < FRAME_KINDS {
            NAMES[kind]
        } else {
            "malformed"
        }
    }

    /// Adds what another session has counted.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.frames_in.iter_mut().zip(other.frames_in) {
            *mine += theirs;
        }
        for (mine, theirs) in self.frames_out.iter_mut().zip(other.frames_out) {
            *mine += theirs;
        }
        for (mine, theirs) in [
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.handshakes, other.handshakes),
            (&mut self.handshake_failures, other.handshake_failures),
            (&mut self.out_of_order, other.out_of_order),
            (&mut self.duplicates, other.duplicates),
            (&mut self.reordered, other.reordered),
            (&mut self.malformed, other.malformed),
            (&mut self.strangers, other.strangers),
            (&mut self.pings_lost, other.pings_lost),
            (&mut self.peers_lost, other.peers_lost),
            (&mut self.reconnects, other.reconnects),
            (&mut self.late_frames, other.late_frames),
            (&mut self.send_queue_full, other.send_queue_full),
            (&mut self.requests_refused_full, other.requests_refused_full),
            (&mut self.peers_refused_full, other.peers_refused_full),
            (&mut self.backlog_full, other.backlog_full),
            (&mut self.early_cancels_dropped, other.early_cancels_dropped),
            (&mut self.cancels_timed_out, other.cancels_timed_out),
            (&mut self.receipts_refused, other.receipts_refused),
            (&mut self.credit_exceeded, other.credit_exceeded),
            (&mut self.credit_waits, other.credit_waits),
            (&mut self.token_lies, other.token_lies),
        ] {
            *mine += theirs;
        }
    }

    pub(super) fn count_in(&mut self, kind: u8, bytes: usize) {
        let kind = usize::from(kind);
        self.frames_in[if kind < FRAME_KINDS { kind } else { 0 }] += 1;
        self.bytes_in += bytes as u64;
    }

    pub(super) fn count_out(&mut self, kind: u8, bytes: usize) {
        let kind = usize::from(kind);
        self.frames_out[if kind < FRAME_KINDS { kind } else { 0 }] += 1;
        self.bytes_out += bytes as u64;
    }
}
