//! Which of an arm's workers gets a request. Pure: how a worker is comes in by a closure, nothing is allocated.

/// How one worker is, as far as it can be used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Tokens outstanding with this request, scaled up where the worker takes only a share: the least is best.
    pub tokens: u64,
    /// It has said that its cache has no room for this request: taken only where all are so.
    pub tight: bool,
    /// It needs one request to show that it works again.
    pub probe: bool,
}

/// Why a worker was chosen; the label of `dpu_worker_choice_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// No other one was usable.
    Only,
    /// It had this conversation last, and is not much busier than the least busy one.
    Warm,
    /// It has the fewest tokens outstanding.
    Least,
    /// It has to show that it works again.
    Probe,
}

impl Why {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Only, Self::Warm, Self::Least, Self::Probe];

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Warm => "warm",
            Self::Least => "least",
            Self::Probe => "probe",
        }
    }
}

/// Where the warm worker of a conversation is, and how far it may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warmth {
    /// The worker that had the conversation last.
    pub worker: Option<usize>,
    /// Tokens that it may have more than the least.
    pub lead_tokens_max: u64,
}

/// The best of `workers` by: one that needs a probe; the warm one, while its lead is small; the fewest tokens, and among
/// equals the first from `turn` on, so that ties rotate. `look` tells how a worker is, None where it is not usable.
pub fn choose(
    workers: &[usize],
    turn: usize,
    warmth: Warmth,
    look: impl Fn(usize) -> Option<Candidate>,
) -> Option<(usize, Why)> {
    let start = turn % workers.len().max(1);
    let (tail, head) = workers.split_at_checked(start)?;
    let mut usable = 0_u32;
    let mut best: Option<((bool, u64), usize)> = None;
    let mut warm = None;
    for worker in head.iter().chain(tail).copied() {
        let Some(candidate) = look(worker) else { continue };
        if candidate.probe {
            return Some((worker, Why::Probe));
        }
        usable += 1;
        let key = (candidate.tight, candidate.tokens);
        if warmth.worker == Some(worker) {
            warm = Some(key);
        }
        if best.is_none_or(|(least, _)| key < least) {
            best = Some((key, worker));
        }
    }
    let ((least_tight, least), worker) = best?;
    if usable == 1 {
        return Some((worker, Why::Only));
    }
    match (warm, warmth.worker) {
        (Some((tight, tokens)), Some(warm))
            if tight == least_tight && tokens <= least.saturating_add(warmth.lead_tokens_max) =>
        {
            Some((warm, Why::Warm))
        }
        _ => Some((worker, Why::Least)),
    }
}
