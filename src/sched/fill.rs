//! Which items of a chosen segment share its batch: the accounts in turn.
//!
//! The rows at hand go to the highest level of priority first; within it to the accounts in turn, the one
//! charged least first, each with its most urgent items (deficit round robin: Shreedhar and Varghese 1996). All
//! come from the one segment, so that fairness does not cost padding. Does not choose the segment.

use super::account::{Account, Accounts};
use super::bucket::{Bucket, Pool};
use super::form::{Former, Segment};
use super::lane::Lane;
use super::table::{ItemSlot, Table};
use super::urgency::Entry;
use super::wish::View;
use crate::types::Time;

/// Lists kept for the next batches.
const MOST_SPARE: usize = 256;

/// What is kept between batches: scratch space, and the lists of batches that have ended.
#[derive(Debug, Default)]
pub(super) struct Filler {
    fronts: Vec<Front>,
    turns: Vec<Turn>,
    spare: Vec<Vec<u32>>,
}

/// The next item of one account in one bucket.
#[derive(Debug)]
struct Front {
    account: u32,
    /// Where the ones behind it wait.
    queue: u32,
    /// `None`: there are none, or the next does not fit.
    entry: Option<Entry>,
}

/// One account's turn.
#[derive(Debug)]
struct Turn {
    served: f64,
    account: u32,
    /// Its fronts.
    from: usize,
    to: usize,
    /// Its most urgent one.
    next: Option<(usize, Entry)>,
    /// At first the account's level, then that of its next item.
    level: u32,
    /// By how many levels the account is raised.
    raised: u32,
    /// Rows it may take.
    deficit: u32,
}

/// The batch so far, and what every turn looks at.
struct Batch<'a> {
    items: Vec<u32>,
    rows: u32,
    target: u32,
    table: &'a Table,
    pool: &'a mut Pool,
    now: Time,
}

impl View<'_> {
    /// The items of a segment that go first, up to `target` rows; where the next item of an account and length
    /// does not fit, none behind it goes either, so that their order is kept.
    pub(super) fn take(
        &self,
        lane: &mut Lane,
        class: usize,
        segment: &Segment,
        target: u32,
        former: &mut Former,
    ) -> Vec<u32> {
        let filler = &mut former.filler;
        let Lane { classes, pool, accounts, .. } = lane;
        filler.gather(&classes[class].buckets[segment.low..=segment.high], pool, self.table);
        let (items, table, now) = (filler.list(), self.table, self.now);
        let mut batch = Batch { items, rows: 0, target, table, pool, now };
        let quantum = filler.line_up(accounts, &batch);
        while batch.rows < target && batch.go_round(filler, quantum) {}
        batch.items
    }
}

impl Filler {
    /// An empty list.
    pub(super) fn list(&mut self) -> Vec<u32> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes back a list that is not needed any more.
    pub(super) fn reclaim(&mut self, mut list: Vec<u32>) {
        if self.spare.len() < MOST_SPARE {
            list.clear();
            self.spare.push(list);
        }
    }

    /// Looks up the first item of each account in each bucket.
    fn gather(&mut self, buckets: &[Bucket], pool: &mut Pool, table: &Table) {
        self.fronts.clear();
        for share in buckets.iter().flat_map(|b| &b.shares) {
            let entry = pool.queue(share.queue).peek(|e| table.is_waiting(e));
            self.fronts.push(Front { account: share.account, queue: share.queue, entry });
        }
    }

    /// Lines the accounts up, the one charged least first; answers the rows that each may take more in a round.
    fn line_up(&mut self, accounts: &Accounts, batch: &Batch<'_>) -> u32 {
        let Self { fronts, turns, .. } = self;
        turns.clear();
        if !accounts.is_single() {
            fronts.sort_unstable_by_key(|f| (f.account, f.queue));
        }
        for (at, front) in fronts.iter().enumerate() {
            match turns.last_mut() {
                Some(last) if last.account == front.account => last.to = at + 1,
                _ => {
                    turns.push(Turn::of(front.account, accounts.get(front.account), at, batch.now));
                }
            }
        }
        for turn in &mut *turns {
            turn.next = turn.look(fronts);
        }
        turns.sort_unstable_by(|a, b| a.served.total_cmp(&b.served).then(a.account.cmp(&b.account)));
        if turns.len() == 1 {
            return u32::MAX;
        }
        // As many as any of them needs for an item, so that every turn takes one.
        let rows = fronts.iter().filter_map(|f| f.entry).map(|e| batch.table.item(e.slot).item.rows);
        rows.max().unwrap_or(1)
    }
}

impl Batch<'_> {
    /// Lets every account with items of the highest level have its turn; whether there was any.
    fn go_round(&mut self, filler: &mut Filler, quantum: u32) -> bool {
        let Filler { fronts, turns, .. } = filler;
        let Some(level) = turns.iter().filter(|t| t.next.is_some()).map(|t| t.level).min() else { return false };
        for turn in turns.iter_mut().filter(|t| t.level == level) {
            turn.deficit = turn.deficit.saturating_add(quantum);
            while let Some((front, entry)) = turn.next.filter(|_| turn.level == level && self.rows < self.target) {
                let rows = self.table.item(entry.slot).item.rows;
                if self.rows + rows > self.target && !self.items.is_empty() {
                    fronts[front].entry = None;
                } else if rows > turn.deficit {
                    break;
                } else {
                    turn.deficit -= rows;
                    self.add(&mut fronts[front], entry, rows);
                }
                turn.next = turn.look(fronts);
                turn.level = turn.next.map_or(u32::MAX, |(_, e)| turn.level_of(self.table.item(e.slot)));
            }
        }
        true
    }

    fn add(&mut self, front: &mut Front, entry: Entry, rows: u32) {
        self.rows += rows;
        self.items.push(entry.slot);
        let queue = self.pool.queue(front.queue);
        queue.pop();
        front.entry = queue.peek(|e| self.table.is_waiting(e));
    }
}

impl Turn {
    fn of(account: u32, state: &Account, from: usize, now: Time) -> Self {
        let (served, level, raised) = (state.served, state.level(now), state.raised(now));
        Self { served, account, from, to: from + 1, next: None, level, raised, deficit: 0 }
    }

    /// The most urgent of its fronts.
    fn look(&self, fronts: &[Front]) -> Option<(usize, Entry)> {
        let own = fronts[self.from..self.to].iter().zip(self.from..);
        own.filter_map(|(front, at)| front.entry.map(|e| (at, e))).min_by_key(|(_, e)| *e)
    }

    fn level_of(&self, item: &ItemSlot) -> u32 {
        item.level.saturating_sub(self.raised).max(1)
    }
}
