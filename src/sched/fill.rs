//! Which items of a chosen segment share its batch: the accounts in turn.
//!
//! The rows at hand go to the highest level of priority first; within it to the accounts in turn, the one
//! charged least first, each with its most urgent items (deficit round robin: Shreedhar and Varghese 1996). All
//! come from the one segment, so that fairness does not cost padding. Does not choose the segment.

use super::account::{Account, Accounts};
use super::bucket::Bucket;
use super::form::{Former, Segment};
use super::lane::Lane;
use super::pool::Pool;
use super::spares::Spares;
use super::table::{NONE, Table};
use super::urgency::Entry;
use super::wish::View;
use crate::types::Time;
use std::cmp::Ordering;

/// What is kept between batches: scratch space, and the lists of batches that have ended.
#[derive(Debug, Default)]
pub(super) struct Filler {
    fronts: Vec<Front>,
    turns: Vec<Turn>,
    /// How many of them are in order; those behind come after all of them.
    ordered: usize,
    /// By account: its turn, where it has one.
    turn_of: Vec<u32>,
    spares: Spares<u32>,
}

/// The next item of one account in one bucket.
#[derive(Debug)]
struct Front {
    /// Where it waits, and those behind it.
    queue: u32,
    /// The account's front in another bucket.
    next: u32,
    /// `None`: not looked up, or there is none, or it does not fit.
    entry: Option<Entry>,
}

/// One account's turn.
#[derive(Debug)]
struct Turn {
    served: f64,
    account: u32,
    /// The first of its fronts.
    first: u32,
    /// Whether they were looked up.
    known: bool,
    /// The most urgent of them, once they were.
    front: u32,
    /// At first the account's level, then that of its next item; no level where there is none.
    level: u32,
    /// By how many levels the account is raised.
    raised: u32,
    /// Rows it may take.
    deficit: u32,
}

/// The level of what has nothing more to give.
const NO_LEVEL: u32 = u32::MAX;

/// The batch so far, and what every turn looks at.
struct Batch<'a> {
    items: Vec<u32>,
    rows: u32,
    target: u32,
    table: &'a Table,
    pool: &'a mut Pool,
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
        filler.line_up(&classes[class].buckets[segment.low..=segment.high], accounts, target, self.now);
        let mut batch = Batch { items: filler.list(), rows: 0, target, table: self.table, pool };
        let mut quantum = 1;
        while let Some(missing) = batch.go_round(filler, quantum) {
            quantum = missing;
        }
        batch.items
    }
}

impl Filler {
    /// An empty list.
    pub(super) fn list(&mut self) -> Vec<u32> {
        self.spares.take()
    }

    /// Takes back a list that is not needed any more.
    pub(super) fn reclaim(&mut self, list: Vec<u32>) {
        self.spares.give_back(list);
    }

    /// Lines up the accounts that have a share in the buckets, the one charged least first.
    fn line_up(&mut self, buckets: &[Bucket], accounts: &Accounts, target: u32, now: Time) {
        let Self { fronts, turns, turn_of, .. } = self;
        fronts.clear();
        for turn in turns.drain(..) {
            turn_of[turn.account as usize] = NONE;
        }
        for share in buckets.iter().flat_map(|b| &b.shares) {
            let account = share.account as usize;
            if turn_of.len() <= account {
                turn_of.resize(account + 1, NONE);
            }
            if turn_of[account] == NONE {
                turn_of[account] = turns.len() as u32;
                turns.push(Turn::of(share.account, accounts.get(share.account), now));
            }
            let turn = &mut turns[turn_of[account] as usize];
            let next = std::mem::replace(&mut turn.first, fronts.len() as u32);
            fronts.push(Front { queue: share.queue, next, entry: None });
        }
        // Whoever comes after as many as there are rows has none of this batch, unless those before run out.
        self.ordered = (target as usize).min(turns.len());
        if self.ordered < turns.len() {
            turns.select_nth_unstable_by(self.ordered, Turn::order);
        }
        turns[..self.ordered].sort_unstable_by(Turn::order);
    }
}

impl Batch<'_> {
    /// Lets every account with items of the highest level take `quantum` rows more. Answers the rows that one of
    /// them lacks for its next item, at least one; `None` once the batch is full or nothing is left.
    fn go_round(&mut self, filler: &mut Filler, quantum: u32) -> Option<u32> {
        let Filler { fronts, turns, ordered, .. } = filler;
        let level = turns.iter().map(|t| t.level).min().filter(|level| *level < NO_LEVEL)?;
        let quantum = if turns.len() == 1 { self.target } else { quantum };
        let mut missing = u32::MAX;
        for at in 0..turns.len() {
            if self.rows >= self.target {
                return None;
            }
            if at == *ordered {
                turns[at..].sort_unstable_by(Turn::order);
                *ordered = turns.len();
            }
            let turn = &mut turns[at];
            if turn.level != level {
                continue;
            }
            turn.deficit = turn.deficit.saturating_add(quantum);
            missing = missing.min(self.take_turn(turn, fronts));
        }
        Some(missing.max(1)).filter(|_| self.rows < self.target)
    }

    /// Takes what one account may give; answers the rows that it lacks for its next item.
    fn take_turn(&mut self, turn: &mut Turn, fronts: &mut [Front]) -> u32 {
        let level = turn.level;
        if !turn.known {
            turn.known = true;
            let mut at = turn.first;
            while let Some(front) = fronts.get_mut(at as usize) {
                front.entry = self.pool.front(front.queue);
                at = front.next;
            }
            turn.front = turn.look(fronts);
        }
        while let Some((front, entry)) = turn.next(fronts) {
            let rows = entry.rows();
            if self.rows + rows > self.target && !self.items.is_empty() {
                front.entry = None;
            } else if rows > turn.deficit {
                return rows - turn.deficit;
            } else {
                turn.deficit -= rows;
                self.add(front, entry, rows);
            }
            turn.front = turn.look(fronts);
            turn.level = turn.next(fronts).map_or(NO_LEVEL, |(_, e)| turn.level_of(e));
            if turn.level != level || self.rows >= self.target {
                return 1;
            }
        }
        turn.level = NO_LEVEL;
        u32::MAX
    }

    fn add(&mut self, front: &mut Front, entry: Entry, rows: u32) {
        self.rows += rows;
        self.items.push(entry.slot);
        self.pool.pop(front.queue, self.table);
        front.entry = self.pool.front(front.queue);
    }
}

impl Turn {
    fn of(account: u32, state: &Account, now: Time) -> Self {
        let (served, level, raised) = (state.served, state.level(now), state.raised(now));
        Self { served, account, first: NONE, known: false, front: NONE, level, raised, deficit: 0 }
    }

    fn order(&self, other: &Self) -> Ordering {
        (self.level.cmp(&other.level)).then(self.served.total_cmp(&other.served)).then(self.account.cmp(&other.account))
    }

    /// The most urgent of its fronts.
    fn look(&self, fronts: &[Front]) -> u32 {
        let next = |&at: &u32| fronts.get(at as usize).map(|front| front.next);
        let own = std::iter::successors(Some(self.first), next).filter(|at| *at != NONE);
        let urgencies = own.filter_map(|at| Some((fronts[at as usize].entry?, at)));
        urgencies.min().map_or(NONE, |(_, at)| at)
    }

    /// That one, and its item.
    fn next<'f>(&self, fronts: &'f mut [Front]) -> Option<(&'f mut Front, Entry)> {
        let front = fronts.get_mut(self.front as usize)?;
        let entry = front.entry?;
        Some((front, entry))
    }

    fn level_of(&self, entry: Entry) -> u32 {
        entry.level().saturating_sub(self.raised).max(1)
    }
}
