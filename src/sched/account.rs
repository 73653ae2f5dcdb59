//! Accounts: whose turn it is among the tenants of a lane.
//!
//! A tenant that a policy or a key names has an account of its own in the lane of its policy; all others
//! share one. An account is charged with its part of the device time of each batch, divided by its
//! policy's weight; the one charged least goes next (start-time fair queueing: Goyal, Vin and Cheng 1996),
//! and one that returns from idle starts where the others are. Levels of priority
//! go before that; an account that is passed over for them rises. Does not know lengths: which of an
//! account's items share a batch is `form`'s and `fill`'s affair.

use super::pool::Pool;
use super::spread::Spread;
use super::table::{ItemSlot, NONE};
use super::urgency::Entry;
use crate::types::Time;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

/// How long, in ns, an account is passed over for others' levels until its own counts one higher.
const AGEING: u64 = 2_000_000_000;
/// The account of all tenants that nobody names.
const SHARED: u32 = 0;

/// What waits of one tenant, or of all that nobody names.
#[derive(Debug)]
pub(super) struct Account {
    /// `None`: the shared one.
    pub(super) tenant: Option<Arc<str>>,
    pub(super) items: u32,
    pub(super) rows: u32,
    /// Predicted device time of what waits, in ns.
    pub(super) backlog: u64,
    /// Device time had so far ÷ weight, in ns, and as much as it was lifted by.
    pub(super) served: f64,
    /// Device time that others of its items were given before the most urgent under overload, in ns.
    pub(super) spared: f64,
    /// When it was last served, or began to wait.
    since: Time,
    /// Waiting items by their level, the first being 1.
    levels: Vec<u32>,
    /// The highest of these levels.
    best: u32,
    /// The least urgency of what began to wait since nothing did.
    last: u64,
    /// Its place among the active ones.
    place: u32,
}

/// All accounts of a lane.
#[derive(Debug)]
pub(super) struct Accounts {
    list: Vec<Account>,
    by_name: HashMap<Arc<str>, u32, Spread>,
    /// Those where something waits.
    active: Vec<u32>,
}

/// How soon an account's most urgent item goes: the lesser the sooner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rank {
    /// The level of its account.
    pub(super) level: u32,
    /// What its account was charged.
    pub(super) served: f64,
    /// The item.
    pub(super) entry: Entry,
}

impl Rank {
    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        (self.level.cmp(&other.level))
            .then(self.served.total_cmp(&other.served))
            .then_with(|| self.entry.cmp(&other.entry))
    }
}

/// An item as its account counts it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub(super) rows: u32,
    /// Its level of priority; 1 is the highest.
    pub(super) level: u32,
    /// Its predicted device time, in ns.
    pub(super) share: u64,
    /// Its urgency.
    pub(super) key: u64,
}

impl Counted {
    pub(super) fn of(slot: &ItemSlot) -> Self {
        Self { rows: slot.rows, level: u32::from(slot.level), share: slot.share, key: slot.key }
    }
}

impl Default for Accounts {
    fn default() -> Self {
        Self { list: vec![Account::new(None)], by_name: HashMap::default(), active: Vec::new() }
    }
}

impl Accounts {
    /// The account of a tenant; `is_named` says whether it has one of its own, if it is asked.
    pub(super) fn of(&mut self, tenant: &Arc<str>, is_named: impl FnOnce() -> bool) -> u32 {
        if tenant.is_empty() {
            return SHARED;
        }
        match self.find(tenant) {
            SHARED if is_named() => {
                self.list.push(Account::new(Some(Arc::clone(tenant))));
                let index = self.list.len() as u32 - 1;
                self.by_name.insert(Arc::clone(tenant), index);
                index
            }
            known => known,
        }
    }

    /// The same, where one of its own that was never used counts as shared.
    pub(super) fn find(&self, tenant: &str) -> u32 {
        self.by_name.get(tenant).copied().unwrap_or(SHARED)
    }

    pub(super) fn get(&self, index: u32) -> &Account {
        &self.list[index as usize]
    }

    pub(super) fn get_mut(&mut self, index: u32) -> &mut Account {
        &mut self.list[index as usize]
    }

    /// Device time, in ns, that all active accounts get while this one gets its whole backlog.
    pub(super) fn due(&self, index: u32) -> u64 {
        self.get(index).backlog.saturating_mul(self.active.len() as u64)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Account> {
        self.list.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Account> {
        self.list.iter_mut()
    }

    /// Counts a waiting item. An idle account is lifted to `floor`: it earns no claim on the others' past.
    pub(super) fn push(&mut self, index: u32, item: Counted, floor: f64, now: Time) {
        let account = &mut self.list[index as usize];
        if account.items == 0 {
            account.served = account.served.max(floor);
            account.since = now;
            account.last = 0;
            account.place = self.active.len() as u32;
            self.active.push(index);
        }
        account.items += 1;
        account.rows += item.rows;
        account.backlog += item.share;
        account.last = account.last.max(item.key);
        account.count(item.level);
    }

    /// Takes an item that waits no longer off the counts.
    pub(super) fn remove(&mut self, index: u32, item: Counted) {
        let account = &mut self.list[index as usize];
        account.items -= 1;
        account.rows -= item.rows;
        account.backlog -= item.share;
        account.discount(item.level);
        if account.items > 0 {
            return;
        }
        let place = std::mem::replace(&mut account.place, NONE) as usize;
        self.active.swap_remove(place);
        if let Some(&moved) = self.active.get(place) {
            self.list[moved as usize].place = place as u32;
        }
    }

    /// Charges an account for device time, in ns ÷ weight.
    pub(super) fn charge(&mut self, index: u32, time: f64, now: Time) {
        let account = &mut self.list[index as usize];
        account.served += time;
        account.since = now;
    }

    /// The item that goes next: of the accounts of the highest level, of the one charged least, the most urgent.
    pub(super) fn elect(&self, now: Time, pool: &Pool) -> Option<Rank> {
        let mut first: Option<Rank> = None;
        for &index in &self.active {
            let account = self.get(index);
            let (level, served) = (account.level(now), account.served);
            if first.is_some_and(|f| level > f.level || level == f.level && served > f.served) {
                continue;
            }
            let Some(entry) = pool.first(index) else { continue };
            let rank = Rank { level, served, entry };
            first = first.filter(|f| f.cmp(&rank).is_lt()).or(Some(rank));
        }
        first
    }

    /// The most urgent item of all accounts alike.
    pub(super) fn first(&self, pool: &Pool) -> Option<Entry> {
        self.active.iter().filter_map(|&index| pool.first(index)).min()
    }

    /// Device time, in ns, of what is more urgent in an account than an item of this urgency.
    pub(super) fn before(&self, index: u32, key: u64, pool: &Pool) -> u64 {
        let account = self.get(index);
        let Some(first) = pool.first(index) else { return 0 };
        let last = account.last.max(first.key);
        if key >= last {
            return account.backlog;
        }
        // Between the ends, urgencies are taken to be spread evenly.
        let part = key.saturating_sub(first.key) as f64 / (last - first.key).max(1) as f64;
        (account.backlog as f64 * part) as u64
    }

    /// Device time, in ns, that the accounts but `own` get while each of them is due `fair`, before an item of
    /// this level: all of theirs where theirs is higher, nothing where it is lower.
    pub(super) fn meanwhile(&self, own: Option<u32>, level: u32, fair: f64, now: Time) -> u64 {
        let part = |account: &Account| match account.level(now).cmp(&level) {
            Ordering::Less => account.backlog,
            Ordering::Equal => account.backlog.min(fair as u64),
            Ordering::Greater => 0,
        };
        self.active.iter().filter(|i| Some(**i) != own).map(|&i| part(&self.list[i as usize])).sum()
    }
}

impl Account {
    fn new(tenant: Option<Arc<str>>) -> Self {
        let (items, rows, backlog, served, since) = (0, 0, 0, 0.0, Time::default());
        let (levels, last) = Default::default();
        Self { tenant, items, rows, backlog, served, spared: 0.0, since, levels, best: 1, last, place: NONE }
    }

    /// The highest level of its waiting items, raised by one for each time that it was passed over as long.
    pub(super) fn level(&self, now: Time) -> u32 {
        self.best.saturating_sub(self.raised(now)).max(1)
    }

    /// By how many levels it is raised for having been passed over.
    pub(super) fn raised(&self, now: Time) -> u32 {
        (now.0.saturating_sub(self.since.0) / AGEING) as u32
    }

    fn count(&mut self, level: u32) {
        let at = level.max(1) as usize - 1;
        if self.levels.len() <= at {
            self.levels.resize(at + 1, 0);
        }
        self.levels[at] += 1;
        self.best = if self.items == 1 { level } else { self.best.min(level) };
    }

    fn discount(&mut self, level: u32) {
        let at = level.max(1) as usize - 1;
        self.levels[at] -= 1;
        if level == self.best && self.levels[at] == 0 {
            self.best = self.levels.iter().position(|&n| n > 0).map_or(1, |at| at as u32 + 1);
        }
    }
}
