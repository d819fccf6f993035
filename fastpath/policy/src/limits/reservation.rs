//! The tokens of one request: reserved before a worker sees it, debited as they are sent, settled exactly once.

use super::bucket::{Bucket, Scope, TokenView};
use super::ledger::Ledger;
use dpu_types::{MonoNs, Reason, Refusal};
use std::sync::Arc;

/// Tokens that a chat template puts around a prompt: role marks, and the system prompt that many bring along.
const PROMPT_TEMPLATE_TOKENS: u32 = 32;
/// Bytes of canonical JSON for a token. English text has four to five, code and other scripts come down to three;
/// the JSON around each message is counted too and pays for what is denser.
const PROMPT_BYTES_PER_TOKEN: usize = 3;
/// An engine cannot have read more tokens than a prompt has bytes, but for what a template adds. What a worker says
/// beyond that is not debited: a tenant must not owe for a worker's mistake.
const PROMPT_ADDED_MAX: usize = 4096;

/// The buckets that a request is asked of, in the order of the questions: tenant, model, all.
pub(crate) type Buckets = [Option<Arc<Bucket>>; 3];

/// What a request wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// Bytes of the canonical body's prompt.
    pub(crate) prompt_bytes: usize,
    /// Completion tokens of one choice; 0 where none are made.
    pub(crate) tokens: u32,
    /// Choices.
    pub(crate) choices: u32,
    /// Completion tokens of one choice that make it worth beginning.
    pub(crate) tokens_min: u32,
}

/// How many tokens a prompt is taken for until the engine has counted it. High on purpose: what was too much is
/// given back, what was too little is owed.
pub(crate) fn prompt_estimate(bytes: usize) -> u32 {
    let tokens = u32::try_from(bytes / PROMPT_BYTES_PER_TOKEN).unwrap_or(u32::MAX);
    tokens.saturating_add(PROMPT_TEMPLATE_TOKENS)
}

/// What one request may send and has sent. Dropping it settles: what was not used goes back to every bucket, whichever
/// way the request ended.
#[derive(Debug)]
pub struct Reservation {
    buckets: Buckets,
    ledger: Arc<Ledger>,
    /// Taken of every bucket.
    taken: i64,
    estimate: u32,
    prompt_max: u32,
    asked: u32,
    grant: u32,
    planned: u32,
    sent: u32,
    prompt: Option<u32>,
    begun: bool,
    cut: bool,
    settled: Option<Settled>,
}

/// What a request came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Prompt tokens debited: by the engine's count, by our estimate where the engine began and never said.
    pub prompt: u32,
    /// Completion tokens debited, which are those that were sent.
    pub completion: u32,
}

impl Settled {
    /// Both.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        u64::from(self.prompt) + u64::from(self.completion)
    }
}

impl Reservation {
    /// Reserves the prompt's estimate and, for each choice, as many tokens as are asked for or every bucket has left.
    ///
    /// # Errors
    /// The refusal where that is fewer than the minimum, with the time after which it would fit; nothing was taken.
    pub(crate) fn take(
        buckets: Buckets,
        ledger: Arc<Ledger>,
        ask: Ask,
        now: MonoNs,
    ) -> Result<Self, Refusal> {
        let estimate = prompt_estimate(ask.prompt_bytes);
        let (prompt, choices) = (i64::from(estimate), i64::from(ask.choices.max(1)));
        let least = prompt + i64::from(ask.tokens_min.min(ask.tokens)) * choices;
        let mut taken = [0; 3];
        let mut got = prompt + i64::from(ask.tokens) * choices;
        for (place, bucket) in buckets.iter().enumerate() {
            let Some(bucket) = bucket else { continue };
            let Some(tokens) = bucket.take(least, got, now) else {
                let refusal = refused(&buckets, bucket.scope, least, now);
                give_back(&buckets, taken);
                return Err(refusal);
            };
            (taken[place], got) = (tokens, tokens);
        }
        // Each choice gets the same, and every bucket gives the same.
        let each = (got - prompt) / choices;
        let got = prompt + each * choices;
        give_back(&buckets, taken.map(|tokens| tokens - got));
        let fits = |tokens: i64| u32::try_from(tokens).unwrap_or(u32::MAX);
        let mut held = Self::holding(buckets, ledger, got, fits(each * choices));
        held.estimate = estimate;
        held.prompt_max = fits(i64::try_from(ask.prompt_bytes + PROMPT_ADDED_MAX).unwrap_or(i64::MAX));
        held.asked = fits(i64::from(ask.tokens) * choices);
        Ok(held)
    }

    /// So many completion tokens, of no bucket and in no books: for tests of what holds a reservation.
    #[must_use]
    pub fn unlimited(tokens: u32) -> Self {
        Self::holding([None, None, None], Arc::default(), i64::from(tokens), tokens)
    }

    /// Tokens that were taken, and how many of them may be sent; nothing is known of the prompt, nothing is sent.
    fn holding(buckets: Buckets, ledger: Arc<Ledger>, taken: i64, grant: u32) -> Self {
        Self {
            buckets,
            ledger,
            taken,
            estimate: 0,
            prompt_max: u32::MAX,
            asked: grant,
            grant,
            planned: 0,
            sent: 0,
            prompt: None,
            begun: false,
            cut: false,
            settled: None,
        }
    }

    /// Completion tokens that may be sent, over all choices.
    #[must_use]
    pub const fn grant(&self) -> u32 {
        self.grant
    }

    /// What the prompt is taken for until the engine has counted it.
    #[must_use]
    pub const fn prompt_estimate(&self) -> u32 {
        self.estimate
    }

    /// Whether any bucket was asked.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.buckets.iter().any(Option::is_some)
    }

    /// Whether the buckets granted less than was asked for.
    #[must_use]
    pub const fn is_short(&self) -> bool {
        self.grant < self.asked
    }

    /// Puts tokens into what is to be sent; false, and nothing changed, where that would pass the grant.
    #[must_use]
    pub fn plan(&mut self, tokens: u32) -> bool {
        self.begun = true;
        match self.planned.checked_add(tokens) {
            Some(planned) if planned <= self.grant => {
                self.planned = planned;
                true
            }
            _ => false,
        }
    }

    /// Completion tokens planned so far.
    #[must_use]
    pub const fn planned(&self) -> u32 {
        self.planned
    }

    /// Whether everything that was granted is planned.
    #[must_use]
    pub const fn is_reached(&self) -> bool {
        self.grant > 0 && self.planned >= self.grant
    }

    /// Tokens that were planned have been handed to TLS.
    pub fn sent(&mut self, tokens: u32) {
        self.sent = self.sent.saturating_add(tokens).min(self.planned);
    }

    /// The whole stream was handed to TLS, and its engine counted so many tokens in it: believed up to the grant.
    pub fn true_up(&mut self, completion_tokens: u32) {
        self.planned = completion_tokens.min(self.grant);
        self.sent = self.planned;
    }

    /// The engine has counted the prompt.
    pub fn prompt_was(&mut self, tokens: u32) {
        self.begun = true;
        self.prompt = Some(tokens.min(self.prompt_max));
    }

    /// The answer was ended because everything granted was sent, and not by its engine's own word.
    pub fn cut(&mut self) {
        self.cut = true;
    }

    /// The tightest bucket as it will be once this request is settled; None where there is none.
    #[must_use]
    pub fn view(&self, now: MonoNs) -> Option<TokenView> {
        let coming = match self.settled {
            Some(_) => 0,
            None => self.taken - i64::from(self.prompt_so_far()) - i64::from(self.planned),
        };
        tightest(&self.buckets, |bucket| bucket.view(coming, now))
    }

    /// The tightest bucket while this request holds what it has reserved.
    #[must_use]
    pub fn view_held(&self, now: MonoNs) -> Option<TokenView> {
        tightest(&self.buckets, |bucket| bucket.view(0, now))
    }

    /// Debits what was used and gives the rest back; once, whoever asks first.
    pub fn settle(&mut self, now: MonoNs) -> Settled {
        self.settle_at(Some(now))
    }

    /// Prompt tokens by the engine's count; by the estimate where it began and has not said; none where it did not.
    #[must_use]
    pub fn prompt_so_far(&self) -> u32 {
        self.prompt.unwrap_or(if self.begun { self.estimate } else { 0 })
    }

    fn settle_at(&mut self, now: Option<MonoNs>) -> Settled {
        if let Some(settled) = self.settled {
            return settled;
        }
        let settled = Settled { prompt: self.prompt_so_far(), completion: self.sent };
        self.settled = Some(settled);
        let used = i64::from(settled.prompt) + i64::from(settled.completion);
        for bucket in self.buckets.iter().flatten() {
            bucket.settle(self.taken, used, now);
        }
        self.ledger.add(settled, u64::try_from(self.taken - used).unwrap_or(0), self.cut);
        settled
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.settle_at(None);
    }
}

/// The view with the fewest tokens.
pub(crate) fn tightest(buckets: &Buckets, view: impl Fn(&Bucket) -> TokenView) -> Option<TokenView> {
    buckets.iter().flatten().map(|bucket| view(bucket)).min_by_key(|view| view.remaining)
}

fn give_back(buckets: &Buckets, tokens: [i64; 3]) {
    for (bucket, tokens) in buckets.iter().zip(tokens) {
        if let Some(bucket) = bucket {
            bucket.give_back(tokens);
        }
    }
}

/// Why `least` tokens cannot be had, and when they can: once the slowest bucket has them.
fn refused(buckets: &Buckets, scope: Scope, least: i64, now: MonoNs) -> Refusal {
    let mut wait_ms = 1;
    for bucket in buckets.iter().flatten() {
        let Some(ms) = bucket.wait_ms(least, now) else {
            let detail =
                format!("{least} tokens are needed and {} {} at most", whose(bucket.scope), bucket.burst());
            return Refusal::from(Reason::TokenLimitTooSmall).because(detail);
        };
        wait_ms = wait_ms.max(ms);
    }
    Refusal::from(Reason::TokenLimited)
        .because(format!("{least} tokens are needed; {}", short(scope)))
        .retry_after_ms(wait_ms)
}

const fn whose(scope: Scope) -> &'static str {
    match scope {
        Scope::Tenant => "the tenant's limit holds",
        Scope::Model => "the model's limit holds",
        Scope::All => "the limit for all holds",
    }
}

const fn short(scope: Scope) -> &'static str {
    match scope {
        Scope::Tenant => "the tenant has fewer left",
        Scope::Model => "the model has fewer left",
        Scope::All => "all tenants together have fewer left",
    }
}

#[cfg(test)]
mod tests;
