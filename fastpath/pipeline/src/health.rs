//! Whether a worker is trusted with work: a circuit breaker and a slow start. Time is told, never asked for.
//!
//! ```text
//! closed --failures in a row, or a share of a window--> open --time is over, one probe--> half open
//!   ^                                                     ^                                 |    |
//!   |                                                     +---probe failed, time doubles----+    |
//!   +---probe answered: slow start ---------------------------------------------------------------+
//! ```
//! Only what the worker caused is a failure; a client that went away says nothing about it.

use dpu_types::plan::Steering;
use dpu_types::{Fault, MonoNs, Reason};

/// Least share of a worker that starts slowly: enough to be seen to work.
const SHARE_PERCENT_MIN: u64 = 10;
/// Doublings of the time open that are told apart; the longest time is met long before.
const DOUBLINGS_MAX: u32 = 32;

/// When a worker is left alone, and how it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthRules {
    /// Failures in a row that open.
    pub failures: u32,
    /// Share of a window's requests that opens.
    pub ratio_percent: u32,
    /// Requests of a window below which the share says nothing.
    pub requests_min: u32,
    /// A window begins with its first failure.
    pub window_ms: u64,
    /// Time open, the first time.
    pub open_min_ms: u64,
    /// Longest time open.
    pub open_max_ms: u64,
    /// How long a share grows; 0 for none.
    pub slow_start_ms: u64,
}

impl HealthRules {
    /// As the plan says it.
    #[must_use]
    pub fn of(plan: &Steering) -> Self {
        Self {
            failures: plan.breaker_failures,
            ratio_percent: plan.breaker_ratio_percent,
            requests_min: plan.breaker_requests_min,
            window_ms: plan.breaker_window_ms.into(),
            open_min_ms: plan.breaker_open_min_ms.into(),
            open_max_ms: plan.breaker_open_max_ms.into(),
            slow_start_ms: plan.slow_start_ms.into(),
        }
    }
}

/// What a request's end says about its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered.
    Answered,
    /// It is the cause that there was no answer.
    Failed,
    /// Nothing: the client, or we, ended it.
    Silent,
}

impl Verdict {
    /// The verdict of a reason. A lost connection is one failure of the worker, told by `Health::lost`, however many
    /// requests it had; a worker that says that it is busy works.
    #[must_use]
    pub const fn of(reason: Reason) -> Self {
        match reason {
            Reason::None => Self::Answered,
            Reason::WorkerLost => Self::Silent,
            _ if matches!(reason.info().fault, Fault::Worker) => Self::Failed,
            _ => Self::Silent,
        }
    }
}

/// How a worker may be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// With this share of its capacity, 1 to 100 percent.
    Share(u32),
    /// With one request that shows whether it works.
    Probe,
    /// Not before this time; `None` while a probe is under way.
    Rest(Option<MonoNs>),
}

/// A health in one word, which one core writes and all read: a kind in the lowest bits, and since or until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gate(pub u64);

impl Gate {
    const KIND_BITS: u32 = 2;
    const FULL: u64 = 0;
    const RAMP: u64 = 1;
    const OPEN: u64 = 2;
    const PROBING: u64 = 3;

    /// How the worker may be used now.
    #[must_use]
    pub fn trust(self, rules: &HealthRules, now: MonoNs) -> Trust {
        let time = MonoNs(self.0 >> Self::KIND_BITS);
        match self.0 & ((1 << Self::KIND_BITS) - 1) {
            Self::RAMP => Trust::Share(share_percent(time, rules.slow_start_ms, now)),
            Self::OPEN if now >= time => Trust::Probe,
            Self::OPEN => Trust::Rest(Some(time)),
            Self::PROBING => Trust::Rest(None),
            _ => Trust::Share(100),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Circuit {
    Closed,
    Open { until: MonoNs },
    Probing,
}

/// One worker's health.
#[derive(Clone, Debug)]
pub struct Health {
    circuit: Circuit,
    failed_in_a_row: u32,
    window_began: MonoNs,
    answered: u32,
    failed: u32,
    /// Times open since it last worked.
    doublings: u32,
    /// When its share began to grow.
    ramp: Option<MonoNs>,
    opened_total: u64,
    failed_total: u64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            circuit: Circuit::Closed,
            failed_in_a_row: 0,
            window_began: MonoNs(0),
            answered: 0,
            failed: 0,
            doublings: 0,
            ramp: None,
            opened_total: 0,
            failed_total: 0,
        }
    }
}

impl Health {
    /// What the choice of a worker needs of it.
    #[must_use]
    pub fn gate(&self) -> Gate {
        let at = |kind: u64, time: MonoNs| Gate(kind | (time.0 << Gate::KIND_BITS));
        match (self.circuit, self.ramp) {
            (Circuit::Probing, _) => Gate(Gate::PROBING),
            (Circuit::Open { until }, _) => at(Gate::OPEN, until),
            (Circuit::Closed, Some(since)) => at(Gate::RAMP, since),
            (Circuit::Closed, None) => Gate(Gate::FULL),
        }
    }

    /// Takes the one probe; false where it is not time for one, or it is taken.
    pub fn try_probe(&mut self, now: MonoNs) -> bool {
        let due = matches!(self.circuit, Circuit::Open { until } if now >= until);
        if due {
            self.circuit = Circuit::Probing;
        }
        due
    }

    /// It was connected; `beside_others`: others serve already, so that it need not take a full share at once.
    pub fn connected(&mut self, now: MonoNs, beside_others: bool) {
        if beside_others {
            self.ramp = Some(now);
        }
    }

    /// A request ended. `probe`: it was the one that `try_probe` gave.
    pub fn ended(&mut self, verdict: Verdict, probe: bool, rules: &HealthRules, now: MonoNs) {
        self.failed_total += u64::from(verdict == Verdict::Failed);
        match (self.circuit, verdict) {
            (Circuit::Probing, Verdict::Answered) if probe => self.close(now),
            (Circuit::Probing, Verdict::Failed) if probe => self.open(rules, now),
            (Circuit::Probing, Verdict::Silent) if probe => self.probe_said_nothing(now),
            (Circuit::Closed, Verdict::Answered) => self.answered(rules, now),
            (Circuit::Closed, Verdict::Failed) => self.failed(rules, now),
            // What began before it opened says nothing about now.
            _ => {}
        }
    }

    /// The probe ended without a verdict: the next request may be the probe.
    pub fn probe_said_nothing(&mut self, now: MonoNs) {
        if self.circuit == Circuit::Probing {
            self.circuit = Circuit::Open { until: now };
        }
    }

    /// Its connection was lost, with all that it ran. One failure; a probe under way has failed with it.
    pub fn lost(&mut self, rules: &HealthRules, now: MonoNs) {
        self.failed_total += 1;
        match self.circuit {
            Circuit::Closed => self.failed(rules, now),
            Circuit::Probing => self.open(rules, now),
            Circuit::Open { .. } => {}
        }
    }

    /// Whether an answered request would change anything. False is the usual state, in which nobody has to tell.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        self.failed > 0 || self.failed_in_a_row > 0 || self.doublings > 0 || self.circuit != Circuit::Closed
    }

    /// `closed`, `open` or `half_open`.
    #[must_use]
    pub fn circuit_name(&self, now: MonoNs) -> &'static str {
        match self.circuit {
            Circuit::Closed => "closed",
            Circuit::Open { until } if now < until => "open",
            Circuit::Open { .. } | Circuit::Probing => "half_open",
        }
    }

    /// Times that it opened, and failures, since the start.
    #[must_use]
    pub const fn totals(&self) -> (u64, u64) {
        (self.opened_total, self.failed_total)
    }

    fn answered(&mut self, rules: &HealthRules, now: MonoNs) {
        self.failed_in_a_row = 0;
        self.doublings = 0;
        if now >= self.window_began.plus_ms(rules.window_ms) {
            (self.answered, self.failed) = (0, 0);
        } else {
            self.answered = self.answered.saturating_add(1);
        }
    }

    fn failed(&mut self, rules: &HealthRules, now: MonoNs) {
        if self.failed == 0 || now >= self.window_began.plus_ms(rules.window_ms) {
            self.window_began = now;
            (self.answered, self.failed) = (0, 0);
        }
        self.failed = self.failed.saturating_add(1);
        self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
        let requests = u64::from(self.failed) + u64::from(self.answered);
        let share = u64::from(self.failed) * 100 >= requests * u64::from(rules.ratio_percent);
        if self.failed_in_a_row >= rules.failures || (requests >= u64::from(rules.requests_min) && share) {
            self.open(rules, now);
        }
    }

    fn open(&mut self, rules: &HealthRules, now: MonoNs) {
        let doubled = rules.open_min_ms.saturating_mul(1 << self.doublings.min(DOUBLINGS_MAX));
        self.circuit = Circuit::Open { until: now.plus_ms(doubled.min(rules.open_max_ms)) };
        self.doublings = self.doublings.saturating_add(1);
        self.opened_total += 1;
        self.forget_window();
    }

    /// It keeps its doublings until a second request is answered: a worker that answers every other one opens for
    /// longer each time.
    fn close(&mut self, now: MonoNs) {
        self.circuit = Circuit::Closed;
        self.ramp = Some(now);
        self.forget_window();
    }

    fn forget_window(&mut self) {
        (self.answered, self.failed, self.failed_in_a_row) = (0, 0, 0);
    }
}

/// The share at `now` of a worker whose share began to grow at `began`.
fn share_percent(began: MonoNs, slow_start_ms: u64, now: MonoNs) -> u32 {
    let percent = (now.since(began) / 10_000).checked_div(slow_start_ms).unwrap_or(100);
    // At most 100, which fits.
    percent.clamp(SHARE_PERCENT_MIN, 100) as u32
}

#[cfg(test)]
mod tests;
