//! What the engine says about a stream, as frames.

use super::{Server, Stream};
use crate::session::link::SendError;
use crate::session::types::{tokens_frame_bytes, ServerEvent, StreamGone, StreamKey, Summary};
use crate::transport::Transport;
use dpu_types::gen::worker_frame::{
    self as frame, Body, Cancelled, End, Fail, Tokens, FLAG_FAIL_RETRY, FLAG_TOKENS_FINISH,
    STREAM_CREDIT_BYTES, STRING_BYTES_MAX,
};
use dpu_types::{MonoNs, Reason};

impl<T: Transport> Server<T> {
    /// Sends a fragment with the next poll: `token_count` completion tokens, `choices` a JSON array.
    ///
    /// # Errors
    /// `Cancelled`: stop, then call `cancelled`. `PeerLost`: stop. `Full`, `TooLarge`, `NoCredit`: not sent, the
    /// stream lives.
    pub fn tokens(
        &mut self,
        stream: StreamKey,
        token_count: u32,
        choices: &[u8],
        finish: bool,
    ) -> Result<(), StreamGone> {
        let state = self.streams.get_mut(&stream).ok_or(StreamGone::PeerLost)?;
        if state.cancelled.is_some() {
            return Err(StreamGone::Cancelled);
        }
        if state.credit <= 0 {
            self.counters.credit_waits += u64::from(!std::mem::replace(&mut state.waits, true));
            return Err(StreamGone::NoCredit);
        }
        let peer = self.peers.get_mut(&stream.peer).ok_or(StreamGone::PeerLost)?;
        let flags = if finish { FLAG_TOKENS_FINISH } else { 0 };
        let body = Body::Tokens(Tokens { token_count, choices });
        let bytes_max = self.config.queue_bytes_max;
        let (via, counters) = (&mut self.transport, &mut self.counters);
        peer.link.queue(via, counters, stream.id, flags, &body, bytes_max).map_err(gone)?;
        self.queued = true;
        state.tokens_sent = state.tokens_sent.saturating_add(token_count);
        state.credit -= tokens_frame_bytes(choices.len()) as i64;
        Ok(())
    }

    /// CREDIT has come. For a stream that has ended it crossed the end, and counts for nothing.
    pub(super) fn on_credit(&mut self, stream: StreamKey, bytes: u32, out: &mut Vec<ServerEvent>) {
        let Some(state) = self.streams.get_mut(&stream) else { return };
        state.credit = state.credit.saturating_add(i64::from(bytes));
        if state.credit > 0 && std::mem::take(&mut state.waits) {
            out.push(ServerEvent::Credit { stream });
        }
    }

    /// Ends a stream with a whole answer.
    ///
    /// # Errors
    /// `Cancelled`: call `cancelled` instead. `PeerLost`. `TooLarge`: not sent, `fail` it. Never `Full`: ends wait.
    pub fn result(&mut self, stream: StreamKey, summary: &Summary, choices: &[u8]) -> Result<(), StreamGone> {
        self.refuse_cancelled(stream)?;
        let body = Body::Result(frame::Result {
            finish: &summary.finish,
            prompt_tokens: summary.prompt_tokens,
            cached_tokens: summary.cached_tokens,
            completion_tokens: summary.completion_tokens,
            queue_us: summary.queue_us,
            prefill_us: summary.prefill_us,
            decode_us: summary.decode_us,
            choices,
        });
        self.finish(stream, 0, &body)
    }

    /// Ends a stream that went well.
    ///
    /// # Errors
    /// `Cancelled`: call `cancelled` instead. `PeerLost`. Never `Full`: ends wait.
    pub fn end(&mut self, stream: StreamKey, summary: &Summary) -> Result<(), StreamGone> {
        self.refuse_cancelled(stream)?;
        let body = Body::End(End {
            finish: &summary.finish,
            prompt_tokens: summary.prompt_tokens,
            cached_tokens: summary.cached_tokens,
            completion_tokens: summary.completion_tokens,
            queue_us: summary.queue_us,
            prefill_us: summary.prefill_us,
            decode_us: summary.decode_us,
        });
        self.finish(stream, 0, &body)
    }

    /// Ends a stream that went wrong, cancelled or not. `detail` is for people, never prompt text; it is cut to the
    /// limit of a string. `retry`: another worker may succeed.
    ///
    /// # Errors
    /// `PeerLost`. Never `Full`: ends wait.
    pub fn fail(
        &mut self,
        stream: StreamKey,
        reason: Reason,
        detail: &str,
        retry: bool,
    ) -> Result<(), StreamGone> {
        let flags = if retry { FLAG_FAIL_RETRY } else { 0 };
        self.finish(stream, flags, &Body::Fail(Fail { reason: reason as u16, detail: cut(detail) }))
    }

    /// Confirms that a cancelled stream has stopped and its memory is free. `tokens_wasted`: completion tokens
    /// generated and not sent. Returns the microseconds since its CANCEL came.
    ///
    /// # Errors
    /// `PeerLost`. Never `Full`: ends wait.
    pub fn cancelled(
        &mut self,
        stream: StreamKey,
        tokens_wasted: u32,
        now: MonoNs,
    ) -> Result<u64, StreamGone> {
        let state = self.streams.get(&stream).ok_or(StreamGone::PeerLost)?;
        let cancel_us = state.cancelled.map_or(0, |at| now.since(at) / 1000);
        let body = Body::Cancelled(Cancelled { tokens_sent: state.tokens_sent, tokens_wasted, cancel_us });
        self.finish(stream, 0, &body).map(|()| cancel_us)
    }

    /// Whether this stream's CANCEL has come; `None` where there is no such stream (any more).
    pub fn is_cancelled(&self, stream: StreamKey) -> Option<bool> {
        self.streams.get(&stream).map(|state| state.cancelled.is_some())
    }

    fn refuse_cancelled(&self, stream: StreamKey) -> Result<(), StreamGone> {
        match self.is_cancelled(stream) {
            None => Err(StreamGone::PeerLost),
            Some(true) => Err(StreamGone::Cancelled),
            Some(false) => Ok(()),
        }
    }

    /// Sends the last frame of a stream with the next poll, and forgets the stream.
    fn finish(&mut self, stream: StreamKey, flags: u16, body: &Body<'_>) -> Result<(), StreamGone> {
        if !self.streams.contains_key(&stream) {
            return Err(StreamGone::PeerLost);
        }
        let peer = self.peers.get_mut(&stream.peer).ok_or(StreamGone::PeerLost)?;
        peer.link.keep(&mut self.transport, stream.id, flags, body).map_err(gone)?;
        self.queued = true;
        peer.streams = peer.streams.saturating_sub(1);
        self.streams.remove(&stream);
        Ok(())
    }

    /// Takes a stream into the books.
    pub(super) fn open(&mut self, stream: StreamKey) {
        if let Some(peer) = self.peers.get_mut(&stream.peer) {
            peer.streams += 1;
        }
        let credit = STREAM_CREDIT_BYTES as i64;
        let state = Stream { cancelled: None, tokens_sent: 0, credit, waits: false };
        self.streams.insert(stream, state);
    }
}

const fn gone(error: SendError) -> StreamGone {
    match error {
        SendError::Full => StreamGone::Full,
        SendError::Gone => StreamGone::PeerLost,
        SendError::TooLarge => StreamGone::TooLarge,
    }
}

fn cut(detail: &str) -> &str {
    let mut end = detail.len().min(STRING_BYTES_MAX);
    while !detail.is_char_boundary(end) {
        end -= 1;
    }
    &detail[..end]
}
