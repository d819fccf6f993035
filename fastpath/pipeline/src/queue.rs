//! Who is next: a bounded queue that is fair between tenants, with priorities. Pure; time is told.
//!
//! * Inside a tenant: first come, first served (per pool: the workers that an entry can use).
//! * Between tenants of one priority: weighted round robin, by virtual time (start-time fair queueing): a tenant's turn
//!   moves on by 1/weight with each entry served, and the smallest turn is next. A tenant that comes back keeps a turn
//!   that lies ahead, so that asking one at a time gains nothing.
//! * Between priorities: the highest first, but one that was passed over `passes_max` times gets the next place. With
//!   p priorities waiting, each is served at least once in `passes_max + p` places: nobody starves.

use dpu_types::plan;
use dpu_types::MonoNs;
use std::collections::{BTreeMap, VecDeque};

/// What one entry of a tenant of weight 1 moves its turn on by; every weight up to 100 leaves a remainder below a
/// millionth.
const TURN: u64 = 1 << 32;

/// The bounds of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRules {
    /// Entries at most.
    pub requests_max: usize,
    /// Of one tenant.
    pub requests_max_per_tenant: usize,
    /// Of all entries together.
    pub bytes_max: u64,
    /// Longest wait.
    pub wait_max_ms: u64,
    /// A priority that was passed over so often is next.
    pub passes_max: u32,
}

impl QueueRules {
    /// As the plan says it.
    #[must_use]
    pub fn of(plan: &plan::Queue) -> Self {
        Self {
            requests_max: plan.requests_max as usize,
            requests_max_per_tenant: plan.requests_max_per_tenant as usize,
            bytes_max: plan.bytes_max,
            wait_max_ms: plan.wait_max_ms.into(),
            passes_max: plan.passes_max,
        }
    }
}

/// Whose an entry is, and what it can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// 0 is lowest.
    pub priority: u8,
    /// Tells tenants apart.
    pub tenant: [u8; 16],
    /// At least 1.
    pub weight: u32,
    /// Entries of one pool can use the same workers.
    pub pool: u64,
}

/// Why an entry was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// `requests_max` or `bytes_max`.
    Queue,
    /// `requests_max_per_tenant`.
    Tenant,
}

/// An entry's place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    who: Who,
    number: u64,
}

/// An entry that has left the queue.
#[derive(Debug)]
pub struct Left<T> {
    /// What waited.
    pub item: T,
    /// Its priority.
    pub priority: u8,
    /// When it came.
    pub since: MonoNs,
}

/// Who is next, and which priorities could have been.
#[derive(Debug)]
pub struct Selected {
    priority: u8,
    choice: Choice,
    able: Vec<u8>,
}

/// The queue.
#[derive(Debug)]
pub struct FairQueue<T> {
    classes: BTreeMap<u8, Class<T>>,
    waiting: usize,
    bytes: u64,
    next_number: u64,
}

#[derive(Debug)]
struct Class<T> {
    lines: Vec<Line<T>>,
    /// Turn of the line served last.
    clock: u64,
    /// Places given to other priorities since this one got one, while it could have used them.
    passed: u32,
}

/// One tenant.
#[derive(Debug)]
struct Line<T> {
    tenant: [u8; 16],
    weight: u32,
    turn: u64,
    /// By pool; never an empty one.
    pools: Vec<(u64, VecDeque<Entry<T>>)>,
}

#[derive(Debug)]
struct Entry<T> {
    number: u64,
    bytes: u64,
    since: MonoNs,
    item: T,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { classes: BTreeMap::new(), waiting: 0, bytes: 0, next_number: 0 }
    }
}

impl<T> FairQueue<T> {
    /// Entries waiting.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.waiting
    }

    /// Entries waiting, by priority, the lowest first.
    pub fn depths(&self) -> impl Iterator<Item = (u8, usize)> + '_ {
        self.classes.iter().map(|(priority, class)| (*priority, class.lines.iter().map(Line::len).sum()))
    }

    /// Takes an entry.
    ///
    /// # Errors
    /// Which bound it would pass.
    pub fn push(
        &mut self,
        rules: &QueueRules,
        who: Who,
        bytes: u64,
        since: MonoNs,
        item: T,
    ) -> Result<Place, Full> {
        if self.waiting >= rules.requests_max || self.bytes.saturating_add(bytes) > rules.bytes_max {
            return Err(Full::Queue);
        }
        // A tenant has one priority; after a change of plan its older entries may still be in another class.
        let held = |class: &Class<T>| class.line(who.tenant).map_or(0, Line::len);
        if self.classes.values().map(held).sum::<usize>() >= rules.requests_max_per_tenant {
            return Err(Full::Tenant);
        }
        let number = self.next_number;
        self.next_number += 1;
        self.classes.entry(who.priority).or_default().push(who, Entry { number, bytes, since, item });
        self.waiting += 1;
        self.bytes += bytes;
        Ok(Place { who, number })
    }

    /// Takes an entry out; None where it has left already.
    pub fn remove(&mut self, place: Place) -> Option<Left<T>> {
        let class = self.classes.get_mut(&place.who.priority)?;
        let line = class.lines.iter_mut().find(|line| line.tenant == place.who.tenant)?;
        let entry = line.remove(place.who.pool, place.number)?;
        Some(self.left(place.who.priority, entry))
    }

    /// Who is next of those that fit. `fits` is asked once for each pool, with the oldest entry of one tenant.
    pub fn select(&self, passes_max: u32, mut fits: impl FnMut(&T) -> bool) -> Option<Selected> {
        let mut asked: Vec<(u64, bool)> = Vec::new();
        let mut fits = |pool: u64, item: &T| match asked.iter().find(|(known, _)| *known == pool) {
            Some((_, answer)) => *answer,
            None => {
                let answer = fits(item);
                asked.push((pool, answer));
                answer
            }
        };
        let mut able = Vec::new();
        let mut best: Option<((u32, u8), Choice)> = None;
        for (priority, class) in &self.classes {
            let Some(choice) = class.best(&mut fits) else { continue };
            able.push(*priority);
            let overdue = if class.passed >= passes_max { class.passed } else { 0 };
            if best.as_ref().is_none_or(|(key, _)| (overdue, *priority) > *key) {
                best = Some(((overdue, *priority), choice));
            }
        }
        best.map(|((_, priority), choice)| Selected { priority, choice, able })
    }

    /// The entry that was selected, as long as nothing has changed.
    pub fn peek(&self, selected: &Selected) -> Option<&T> {
        let line = self.classes.get(&selected.priority)?.lines.get(selected.choice.line)?;
        line.pools.get(selected.choice.pool)?.1.front().map(|entry| &entry.item)
    }

    /// Takes it out: it gets its place now.
    pub fn take(&mut self, selected: &Selected) -> Option<Left<T>> {
        for priority in &selected.able {
            if let Some(class) = self.classes.get_mut(priority) {
                class.passed =
                    if *priority == selected.priority { 0 } else { class.passed.saturating_add(1) };
            }
        }
        let entry = self.classes.get_mut(&selected.priority)?.take(selected.choice)?;
        Some(self.left(selected.priority, entry))
    }

    fn left(&mut self, priority: u8, entry: Entry<T>) -> Left<T> {
        self.waiting -= 1;
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        if self.classes.get(&priority).is_some_and(|class| class.lines.iter().all(|line| line.len() == 0)) {
            self.classes.remove(&priority);
        }
        Left { item: entry.item, priority, since: entry.since }
    }
}

/// A line and one of its pools.
#[derive(Clone, Copy, Debug)]
struct Choice {
    line: usize,
    pool: usize,
}

impl<T> Default for Class<T> {
    fn default() -> Self {
        Self { lines: Vec::new(), clock: 0, passed: 0 }
    }
}

impl<T> Class<T> {
    fn line(&self, tenant: [u8; 16]) -> Option<&Line<T>> {
        self.lines.iter().find(|line| line.tenant == tenant)
    }

    fn push(&mut self, who: Who, entry: Entry<T>) {
        let clock = self.clock;
        let at = self.lines.iter().position(|line| line.tenant == who.tenant);
        let at = at.unwrap_or_else(|| {
            self.lines.push(Line { tenant: who.tenant, weight: 1, turn: clock, pools: Vec::new() });
            self.lines.len() - 1
        });
        let Some(line) = self.lines.get_mut(at) else { return };
        line.weight = who.weight.max(1);
        if line.len() == 0 {
            line.turn = line.turn.max(clock);
        }
        line.push(who.pool, entry);
    }

    /// The line with the smallest turn that has something that fits, and its oldest such entry.
    fn best(&self, fits: &mut impl FnMut(u64, &T) -> bool) -> Option<Choice> {
        let mut best: Option<((u64, u64), Choice)> = None;
        for (at, line) in self.lines.iter().enumerate() {
            let heads = line.pools.iter().enumerate().filter_map(|(index, (pool, entries))| {
                let head = entries.front()?;
                fits(*pool, &head.item).then_some((head.number, index))
            });
            let Some((number, pool)) = heads.min() else { continue };
            let key = (line.turn, number);
            if best.as_ref().is_none_or(|(other, _)| key < *other) {
                best = Some((key, Choice { line: at, pool }));
            }
        }
        best.map(|(_, choice)| choice)
    }

    fn take(&mut self, choice: Choice) -> Option<Entry<T>> {
        let line = self.lines.get_mut(choice.line)?;
        let entry = line.pools.get_mut(choice.pool)?.1.pop_front()?;
        line.drop_empty();
        self.clock = self.clock.max(line.turn);
        line.turn = line.turn.saturating_add(TURN / u64::from(line.weight));
        let clock = self.clock;
        // An empty line is kept while its turn lies ahead: whoever comes back must not be first again.
        self.lines.retain(|line| line.len() > 0 || line.turn > clock);
        Some(entry)
    }
}

impl<T> Line<T> {
    fn len(&self) -> usize {
        self.pools.iter().map(|(_, entries)| entries.len()).sum()
    }

    fn push(&mut self, pool: u64, entry: Entry<T>) {
        match self.pools.iter_mut().find(|(known, _)| *known == pool) {
            Some((_, entries)) => entries.push_back(entry),
            None => self.pools.push((pool, VecDeque::from([entry]))),
        }
    }

    fn remove(&mut self, pool: u64, number: u64) -> Option<Entry<T>> {
        let (_, entries) = self.pools.iter_mut().find(|(known, _)| *known == pool)?;
        let at = entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        let entry = entries.remove(at);
        self.drop_empty();
        entry
    }

    fn drop_empty(&mut self) {
        self.pools.retain(|(_, entries)| !entries.is_empty());
    }
}

#[cfg(test)]
mod tests;
