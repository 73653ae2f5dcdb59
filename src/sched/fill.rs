//! Which items of a chosen segment share its batch: the accounts in turn.
//!
//! The rows at hand go to the highest level of priority first; within it to the accounts in turn, the one
//! charged least first, each with its most urgent items (deficit round robin: Shreedhar and Varghese 1996). All
//! come from the one segment, so that fairness does not cost padding. Does not choose the segment.

use super::account::{Account, Accounts};
use super::bucket::{Bucket, accounts_of};
use super::form::{Former, Segment};
use super::lane::Lane;
use super::pool::Pool;
use super::spares::Spares;
use super::table::{NONE, Table};
use super::urgency::Entry;
use super::wish::View;
use crate::types::Time;

/// What is kept between batches: scratch space, and the lists of batches that have ended.
#[derive(Debug, Default)]
pub(super) struct Filler {
    /// The accounts that have a share in the segment, as one bit each.
    holders: Vec<u64>,
    /// The same. As many as there are turns are in order; the rest come after all of them.
    line: Vec<Place>,
    turns: Vec<Turn>,
    fronts: Vec<Front>,
    spares: Spares<u32>,
}

/// The next item of one account in one bucket.
#[derive(Debug)]
struct Front {
    /// Where it waits, and those behind it.
    queue: u32,
    /// `None`: there is none, or it does not fit.
    entry: Option<Entry>,
}

/// How soon an account has its turn: by its level, what it was charged, and its index, as one number that is
/// quickly compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u128);

/// One account's turn.
#[derive(Debug)]
struct Turn {
    /// Its fronts, from this one to before that one.
    fronts: (u32, u32),
    /// The most urgent of them, if there is any.
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
    now: Time,
    table: &'a Table,
    /// Those of the segment.
    buckets: &'a [Bucket],
    accounts: &'a Accounts,
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
        let buckets = &classes[class].buckets[segment.low..=segment.high];
        filler.line_up(buckets, accounts, self.now);
        let (items, now, table) = (filler.list(), self.now, self.table);
        let mut batch = Batch { items, rows: 0, target, now, table, buckets, accounts, pool };
        // Whoever comes after as many as there are rows has none of this batch, unless those before run out.
        batch.seat(filler, target as usize);
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

    /// Lines up the accounts that have a share in the buckets, in no order yet.
    fn line_up(&mut self, buckets: &[Bucket], accounts: &Accounts, now: Time) {
        let Self { holders, line, turns, fronts, .. } = self;
        holders.fill(0);
        buckets.iter().for_each(|bucket| bucket.add_holders(holders));
        line.clear();
        turns.clear();
        fronts.clear();
        line.extend(accounts_of(holders).map(|index| Place::of(index, accounts.get(index), now)));
    }
}

impl Batch<'_> {
    /// Lets every account with items of the highest level take `quantum` rows more. Answers the rows that one of
    /// them lacks for its next item, at least one; `None` once the batch is full or nothing is left.
    fn go_round(&mut self, filler: &mut Filler, quantum: u32) -> Option<u32> {
        let level = filler.turns.iter().map(|t| t.level).min().filter(|level| *level < NO_LEVEL)?;
        let quantum = if filler.line.len() == 1 { self.target } else { quantum };
        let mut missing = u32::MAX;
        for at in 0..filler.line.len() {
            if self.rows >= self.target {
                return None;
            }
            if at == filler.turns.len() {
                self.seat(filler, usize::MAX);
            }
            let Filler { fronts, turns, .. } = filler;
            let turn = &mut turns[at];
            if turn.level != level {
                continue;
            }
            turn.deficit = turn.deficit.saturating_add(quantum);
            missing = missing.min(self.take_turn(turn, fronts));
        }
        Some(missing.max(1)).filter(|_| self.rows < self.target)
    }

    /// Gives the next accounts of the line their turns, at most so many.
    fn seat(&self, filler: &mut Filler, count: usize) {
        let Filler { line, turns, fronts, .. } = filler;
        let seated = turns.len();
        let rest = &mut line[seated..];
        let count = count.min(rest.len());
        if count < rest.len() {
            rest.select_nth_unstable(count);
        }
        rest[..count].sort_unstable();
        // What many turns read is read for all of them at once, for hardly any of it is in a cache.
        for place in &rest[..count] {
            let (from, account) = (fronts.len() as u32, place.account());
            let queues = self.buckets.iter().filter_map(|bucket| bucket.queue(account));
            fronts.extend(queues.map(|queue| Front { queue, entry: self.pool.front(queue) }));
            let raised = self.accounts.get(account).raised(self.now);
            let fronts = (from, fronts.len() as u32);
            turns.push(Turn { fronts, front: NONE, level: place.level(), raised, deficit: 0 });
        }
        for turn in &mut turns[seated..] {
            turn.front = turn.look(fronts);
            if let Some((front, _)) = turn.next(fronts) {
                self.pool.fetch(front.queue);
            }
        }
    }

    /// Takes what one account may give; answers the rows that it lacks for its next item.
    fn take_turn(&mut self, turn: &mut Turn, fronts: &mut [Front]) -> u32 {
        let level = turn.level;
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

impl Place {
    fn of(index: u32, account: &Account, now: Time) -> Self {
        // What was charged is never negative: its bits are in the order of the numbers.
        Self(u128::from(account.level(now)) << 96 | u128::from(account.served.to_bits()) << 32 | u128::from(index))
    }

    fn level(self) -> u32 {
        (self.0 >> 96) as u32
    }

    fn account(self) -> u32 {
        self.0 as u32
    }
}

impl Turn {
    /// The most urgent of its fronts.
    fn look(&self, fronts: &[Front]) -> u32 {
        let (from, to) = self.fronts;
        let urgencies = (from..to).filter_map(|at| Some((fronts[at as usize].entry?, at)));
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
