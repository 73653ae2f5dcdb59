//! A lane: the waiting items of one model under one policy, by class, length, account and urgency.
//!
//! Keeps order and counts. Does not decide what leaves: that is `form` and `strategy`.

use super::account::{Accounts, Counted, Rank};
use super::bucket::Class;
use super::edge::edge;
use super::event::Grid;
use super::form::Terms;
use super::pace::Paces;
use super::pool::Pool;
use super::table::Table;
use super::urgency::Entry;
use crate::policy::Policy;
use crate::script::Fault;
use crate::types::{ShapeClass, Time};
use std::collections::HashMap;
use std::sync::Arc;

/// Classes kept while empty; past this an empty one is reused for a new class.
const IDLE_CLASSES: usize = 64;

/// Waiting items of one policy.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) policy: Arc<Policy>,
    pub(super) classes: Vec<Class>,
    class_of: HashMap<ShapeClass, u32>,
    /// The class asked for last.
    recent: u32,
    pub(super) accounts: Accounts,
    /// The queues of all buckets.
    pub(super) pool: Pool,
    pub(super) items: u32,
    pub(super) rows: u32,
    /// Predicted device time of what waits, in ns.
    pub(super) backlog: u64,
    /// How fast rows arrive.
    pub(super) pace: Paces,
    /// The item that goes next, if that was found out since anything changed.
    elected: Option<Rank>,
    /// What went wrong in the policy's script at the decision that is being made.
    pub(super) fault: Option<Fault>,
}

impl Lane {
    pub(super) fn new(policy: Arc<Policy>) -> Self {
        Self {
            policy,
            classes: Vec::new(),
            class_of: HashMap::new(),
            recent: 0,
            accounts: Accounts::default(),
            pool: Pool::default(),
            items: 0,
            rows: 0,
            backlog: 0,
            pace: Paces::default(),
            elected: None,
            fault: None,
        }
    }

    /// Queues a waiting item, whose slot already carries its key and account; sets the slot's class and
    /// share. An idle account is lifted to `floor`.
    pub(super) fn push(
        &mut self,
        (slot, class): (u32, ShapeClass),
        grid: Grid,
        terms: &Terms<'_>,
        (floor, now): (f64, Time),
        table: &mut Table,
    ) {
        let class_index = self.class(class);
        let class = &mut self.classes[class_index as usize];
        let waiting = table.item_mut(slot);
        let (entry, rows) = (Entry::of(slot, waiting), waiting.rows);
        let bucket = class.bucket(edge(grid, waiting.len));
        let best = terms.refresh(bucket);
        waiting.class = class_index;
        waiting.share = (best.time / f64::from(best.rows) * f64::from(rows)) as u64;
        bucket.push(waiting.account, entry, rows, &mut self.pool);
        class.items += 1;
        class.rows += rows;
        self.items += 1;
        self.rows += rows;
        self.backlog += waiting.share;
        self.accounts.push(waiting.account, Counted::of(waiting), floor, now);
        self.elected = None;
    }

    /// Takes an item that waits no longer off the counts, as its status says by now.
    pub(super) fn remove(&mut self, slot: u32, grid: Grid, table: &Table) {
        let taken = table.item(slot);
        let class = &mut self.classes[taken.class as usize];
        class.items -= 1;
        class.rows -= taken.rows;
        class.bucket(edge(grid, taken.len)).remove(slot, &mut self.pool, table);
        self.items -= 1;
        self.rows -= taken.rows;
        self.backlog -= taken.share;
        self.accounts.remove(taken.account, Counted::of(taken));
        self.elected = None;
    }

    /// Takes an item, the most urgent of its account and length, off its queue alone.
    pub(super) fn pop(&mut self, slot: u32, grid: Grid, table: &Table) {
        if let Some(queue) = self.queue_of(slot, grid, table) {
            self.pool.pop(queue, table);
        }
    }

    /// Undoes the taking of an item.
    pub(super) fn put_back(&mut self, slot: u32, grid: Grid, table: &Table) {
        if let Some(queue) = self.queue_of(slot, grid, table) {
            self.pool.push(queue, Entry::of(slot, table.item(slot)));
        }
    }

    fn queue_of(&self, slot: u32, grid: Grid, table: &Table) -> Option<u32> {
        let item = table.item(slot);
        let class = &self.classes[item.class as usize];
        let bucket = &class.buckets[class.position(edge(grid, item.len))?];
        bucket.queue(item.account)
    }

    /// The waiting item that goes next, and how soon beside those of other lanes.
    pub(super) fn elect(&mut self, now: Time) -> Option<Rank> {
        self.elected = self.accounts.elect(now, &self.pool);
        self.elected
    }

    /// The waiting item that goes next, as it was found out last if nothing has changed since.
    pub(super) fn anchor(&mut self, now: Time) -> Option<Entry> {
        self.elected.or_else(|| self.elect(now)).map(|rank| rank.entry)
    }

    fn class(&mut self, id: ShapeClass) -> u32 {
        if self.classes.get(self.recent as usize).is_some_and(|class| class.id == id) {
            return self.recent;
        }
        self.recent = self.class_index(id);
        self.recent
    }

    fn class_index(&mut self, id: ShapeClass) -> u32 {
        if let Some(&known) = self.class_of.get(&id) {
            return known;
        }
        let reuse = (self.classes.len() >= IDLE_CLASSES).then(|| self.classes.iter().position(|c| c.items == 0));
        let fresh = Class::new(id);
        let index = if let Some(Some(old)) = reuse {
            self.class_of.remove(&self.classes[old].id);
            self.classes[old] = fresh;
            old
        } else {
            self.classes.push(fresh);
            self.classes.len() - 1
        };
        self.class_of.insert(id, index as u32);
        index as u32
    }
}
