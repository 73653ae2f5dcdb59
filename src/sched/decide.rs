//! Decisions: while a worker is free, which lane goes, or until when all wait.

use super::event::{Dispatch, FailReason, Output, Release};
use super::lane::Lane;
use super::model::{Group, ModelState, Running, Worker};
use super::place::{self, Crew, Offer, Site, Spot};
use super::scheduler::Scheduler;
use super::strategy::Rule;
use super::table::{Status, Table};
use super::wish::{View, Wish};
use crate::types::{BatchId, DeviceId, ModelId, RequestId, Time, WorkerId};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

impl Scheduler {
    /// Fills `outputs` with every batch that can be dispatched now.
    pub(super) fn decide(&mut self) {
        let mut from = Bound::Unbounded;
        while let Some((&id, _)) = self.models.range((from, Bound::Unbounded)).find(|(_, m)| m.dirty) {
            while self.decide_one(id) {}
            from = Bound::Excluded(id);
        }
    }

    /// Dispatches one batch of the model if it can; otherwise notes when to look again.
    fn decide_one(&mut self, id: ModelId) -> bool {
        if !self.survey(id) {
            self.rest(id, Time::NEVER);
            return false;
        }
        let next = match self.next_retry(id) {
            Some(group) => self.place_again(id, &group).map(|worker| (worker, group, Release::Retry)),
            None => self.choose(id),
        };
        let Some((worker, group, why)) = next else { return false };
        if group.items.is_empty() {
            // All of them were given up, and the next may run.
            return true;
        }
        self.dispatch(id, worker, group, why);
        true
    }

    /// Lets the model be until `wake`, or until something happens.
    fn rest(&mut self, id: ModelId, wake: Time) {
        if let Some(model) = self.models.get_mut(&id) {
            (model.dirty, model.wake) = (false, wake);
        }
    }

    /// Whether a worker of the model could run something now.
    #[must_use]
    pub fn has_free_worker(&self, model: ModelId) -> bool {
        self.workers.iter().any(|w| w.model == model && w.ready)
    }

    /// Hands out a free worker of the model for something else than a batch, the next after `last` in
    /// turn. It gets no batch before it is told to be ready.
    pub fn lend(&mut self, model: ModelId, last: Option<WorkerId>) -> Option<WorkerId> {
        let free = self.workers.iter_mut().filter(|w| w.model == model && w.ready);
        let next = free.min_by_key(|w| (Some(w.id) <= last, w.id))?;
        next.ready = false;
        Some(next.id)
    }

    /// Takes back the list of a [`Dispatch`] that has been carried out, so that the next needs no new one.
    pub fn reclaim(&mut self, items: Vec<(RequestId, u32)>) {
        self.lists.give_back(items);
    }

    /// Batches that run on a device.
    fn busy_on(&self, device: DeviceId) -> u32 {
        self.running.iter().filter(|r| r.device == device).count() as u32
    }

    /// Asks the lanes in the order of what goes next in them; the first that wants to run does.
    fn choose(&mut self, id: ModelId) -> Option<(Worker, Group, Release)> {
        self.take_turns(id);
        let mut wake = Time::NEVER;
        for turn in 0..self.turns.len() {
            let index = self.turns[turn].1;
            match self.ask(id, index)? {
                (site, Wish::Run(items, why)) => {
                    self.give_up(id);
                    let group = Group { lane: index as u32, items, trial: None, losses: 0 };
                    return Some((self.worker_at(site)?, group, why));
                }
                (_, Wish::Hold(until)) => wake = wake.min(until),
                (_, Wish::Nothing) => {}
            }
        }
        self.rest(id, wake);
        None
    }

    /// Fails those that would have been in the batch, but cannot meet their deadlines any more.
    fn give_up(&mut self, id: ModelId) {
        let drain = self.queue(id).drain;
        while let Some(slot) = self.former.missed.pop() {
            let request = self.table.items.get(slot as usize).map(|item| item.request);
            if let Some(request) = request {
                self.fail(request, FailReason::PredictedMiss { drain });
            }
        }
    }

    /// Lines up the lanes where something waits by the item that each would run next.
    fn take_turns(&mut self, id: ModelId) {
        let Self { models, turns, now, .. } = self;
        turns.clear();
        let Some(model) = models.get_mut(&id) else { return };
        let waiting = model.lanes.iter_mut().enumerate().filter(|(_, lane)| lane.items > 0);
        turns.extend(waiting.filter_map(|(index, lane)| Some((lane.elect(*now)?, index))));
        turns.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(&b.1)));
    }

    /// What a lane wants, and at which of the surveyed sites.
    fn ask(&mut self, id: ModelId, index: usize) -> Option<(usize, Wish)> {
        let Self { models, table, sites, former, now, draining, outputs, .. } = self;
        let (now, draining, generation) = (*now, *draining, self.policies.generation);
        let model = models.get_mut(&id)?;
        let (waiting, home) = (model.backlog() as f64, model.home.slot);
        let ModelState { lanes, learned, grid, limits, .. } = model;
        let lane = &mut lanes[index];
        let policy = Arc::clone(&lane.policy);
        let rule = Rule::of(&policy, limits.batchable);
        let view = |site: &Site| View {
            table,
            terms: learned[site.slot].terms(site.slot, &policy, rule.brief, site.busy + 1, generation),
            rule,
            grid: *grid,
            crew: Crew::of_one(site),
            now,
            draining,
        };
        let only = sites.len() == 1;
        let site = if only {
            0
        } else {
            let Some(anchor) = lane.anchor(now) else { return Some((0, Wish::Nothing)) };
            let item = table.item(anchor.slot);
            place::put(sites, |site| view(site).offer(lane, item));
            match place::pick(sites, home, waiting, table.owner(anchor.slot).arrival, now) {
                Some(Spot::On(site)) => site,
                Some(Spot::Later(until)) => return Some((0, Wish::Hold(until))),
                None => return Some((0, Wish::Nothing)),
            }
        };
        let mut view = view(&sites[site]);
        if !only {
            view.crew = Crew::beside(sites, site);
        }
        let wish = view.wish(lane, former);
        if let Some(fault) = lane.fault.take() {
            outputs.push_back(Output::Fallback { policy, fault });
        }
        Some((site, wish))
    }

    /// The free worker that is predicted to be done first with a part of a failed batch.
    fn place_again(&mut self, id: ModelId, group: &Group) -> Option<Worker> {
        let slots = || group.items.iter().map(|&s| self.table.item(s));
        let (rows, len) = (slots().map(|i| i.rows).sum(), slots().map(|i| i.len).max().unwrap_or(1));
        let learned = &self.models.get(&id)?.learned;
        place::put(&mut self.sites, |site| Offer::of(&learned[site.slot], rows, len, site.busy + 1));
        self.worker_at(place::soonest_free(&self.sites).or_else(|| place::any_free(&self.sites))?)
    }

    /// Hands a group to a worker.
    fn dispatch(&mut self, id: ModelId, worker: Worker, group: Group, why: Release) {
        for &slot in &group.items {
            if self.table.item(slot).status == Status::Waiting {
                self.dequeue(id, slot, Status::Running);
            } else {
                self.table.item_mut(slot).status = Status::Running;
            }
        }
        let busy = self.busy_on(worker.device) + 1;
        let generation = self.policies.generation;
        let Some(model) = self.models.get_mut(&id) else { return };
        let slots = || group.items.iter().map(|&s| self.table.item(s));
        let rows: u32 = slots().map(|s| s.rows).sum();
        let longest = slots().map(|s| s.len).max().unwrap_or(1);
        let learned = model.on(worker.device);
        let padded_len = learned.padded(longest);
        let predicted = learned.cost.predict(rows, padded_len, busy);
        let best_rows = model.best_rows(&group, longest, worker.device, &self.table);
        model.refusing = None;
        // A part of a batch that did not end well was charged for with the whole.
        if why != Release::Retry {
            model.charge(&group, predicted / f64::from(rows), &self.table, self.now);
        }
        self.next_batch += 1;
        let batch = BatchId(self.next_batch);
        let mut items = self.lists.take();
        items.extend(slots().map(|s| (self.table.request(s.request).id, s.index)));
        self.outputs.push_back(Output::Dispatch(Dispatch {
            batch,
            worker: worker.id,
            model: id,
            items,
            rows,
            padded_len,
            tokens: slots().map(|s| u64::from(s.rows) * u64::from(s.len)).sum(),
            policy: Arc::clone(&model.lanes[group.lane as usize].policy),
            generation,
            why,
            best_rows,
            predicted: Duration::from_nanos(predicted as u64),
            oldest: group.items.iter().map(|&s| self.table.owner(s).arrival).min().unwrap_or(self.now),
        }));
        let (worker, device, started) = (worker.id, worker.device, self.now);
        for w in &mut self.workers {
            w.ready &= w.id != worker;
        }
        let len = padded_len;
        self.running.push(Running { id: batch, model: id, worker, device, group, rows, len, busy, started, predicted });
    }
}

impl ModelState {
    /// Charges the accounts of a batch for its device time, in ns a row, so that they take turns by what they
    /// have had.
    fn charge(&mut self, group: &Group, row: f64, table: &Table, now: Time) {
        let Lane { accounts, policy, .. } = &mut self.lanes[group.lane as usize];
        let charged = |slot: u32| table.item(slot).account;
        let least = group.items.iter().map(|&s| accounts.get(charged(s)).served).fold(f64::INFINITY, f64::min);
        self.turn = self.turn.max(least);
        for &slot in &group.items {
            let time = row * f64::from(table.item(slot).rows);
            accounts.charge(charged(slot), time / policy.tenancy.weight, now);
        }
    }
}
