//! How often each limit of the listeners was hit: one series a limit, under the limit's name in the desired state.
//!
//! Where something is refused for a limit, the refusal's reason stands for it and is counted once, as every refusal is;
//! this only adds those up. A limit that refuses nothing (an idle connection closes, bytes wait in the socket) counts
//! for itself.

use crate::counters::CoreCounters;
use dpu_types::Reason;

/// A limit that is hit without a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quiet {
    /// A connection without a request was closed.
    IdleTimeout,
    /// A connection had its last request.
    RequestsPerConnection,
    /// A client sent further ahead than is read.
    PipelinedBytes,
    /// A stream too many was refused before it had a head of ours (REFUSED_STREAM).
    H2Streams,
}

/// What stands for a limit.
enum By {
    Reason(Reason),
    Quiet(Quiet),
}

/// Every limit but `body_grace`, which is part of `body_bytes_per_s_min`.
const LIMITS: [(&str, By); 23] = [
    ("connections_max", By::Reason(Reason::ConnectionsFull)),
    ("head_bytes_max", By::Reason(Reason::HttpHeadTooLarge)),
    ("headers_max", By::Reason(Reason::HttpTooManyHeaders)),
    ("body_bytes_max", By::Reason(Reason::HttpBodyTooLarge)),
    ("json_depth_max", By::Reason(Reason::JsonDepth)),
    ("handshake_timeout", By::Reason(Reason::TlsHandshakeTimeout)),
    ("head_timeout", By::Reason(Reason::HttpHeadTimeout)),
    ("body_timeout", By::Reason(Reason::HttpBodyTimeout)),
    ("idle_timeout", By::Quiet(Quiet::IdleTimeout)),
    ("request_timeout", By::Reason(Reason::WorkerTimeout)),
    ("h2_streams_max", By::Quiet(Quiet::H2Streams)),
    ("drain_timeout", By::Reason(Reason::DrainCut)),
    ("body_bytes_per_s_min", By::Reason(Reason::HttpBodyTooSlow)),
    ("write_timeout", By::Reason(Reason::ClientTooSlow)),
    ("requests_per_connection_max", By::Quiet(Quiet::RequestsPerConnection)),
    ("requests_running_max", By::Reason(Reason::RequestsFull)),
    ("pipelined_bytes_max", By::Quiet(Quiet::PipelinedBytes)),
    ("bodies_bytes_max", By::Reason(Reason::HttpBodiesFull)),
    ("h2_resets_max", By::Reason(Reason::H2Resets)),
    ("h2_errors_max", By::Reason(Reason::H2Errors)),
    ("h2_continuations_max", By::Reason(Reason::H2Continuations)),
    ("h2_control_frames_max", By::Reason(Reason::H2ControlFrames)),
    ("h2_small_data_max", By::Reason(Reason::H2SmallData)),
];

/// Every limit with its hits.
pub fn hits(counters: &CoreCounters) -> impl Iterator<Item = (&'static str, u64)> + '_ {
    LIMITS.iter().map(|(limit, by)| match by {
        By::Quiet(quiet) => (*limit, counters.quiet_limits.get(quiet).copied().unwrap_or_default()),
        By::Reason(reason) => (*limit, refused(counters, *reason)),
    })
}

fn refused(counters: &CoreCounters, reason: Reason) -> u64 {
    let of = |map: &std::collections::BTreeMap<Reason, u64>| map.get(&reason).copied().unwrap_or_default();
    let requests = counters.requests.iter().filter(|(key, _)| key.reason == reason);
    of(&counters.connection_refusals)
        + of(&counters.head_refusals)
        + requests.map(|(_, count)| count).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_is_counted_under_the_limit_whoever_refused() {
        let mut counters = CoreCounters::default();
        counters.connection_refusals.insert(Reason::HttpHeadTooLarge, 2);
        counters.head_refusals.insert(Reason::HttpHeadTooLarge, 3);
        counters.quiet_limits.insert(Quiet::IdleTimeout, 4);
        let found: Vec<_> = hits(&counters).filter(|(_, count)| *count > 0).collect();
        assert_eq!(found, [("head_bytes_max", 5), ("idle_timeout", 4)]);
    }
}
