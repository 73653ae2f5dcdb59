//! Batch ends: learning from the good ones, finding the guilty item of the bad ones.
//!
//! A batch that failed is split in halves, level by level, until what fails is a single item. If two
//! single items failed and no part of the batch ever ran, the worker is suspect: it must run a
//! made-up row before anything else. If it can, the items are to blame and the search goes on; if not,
//! the worker is lost. A batch that ran out of memory is halved without blame and its shape
//! capped; one that lost its device runs again elsewhere, and is halved once it has lost two.

use super::event::{BatchOutcome, BatchReport, FailReason, Measured, Output};
use super::model::{Group, ModelState, Running, Trial};
use super::scheduler::Scheduler;
use super::strategy::urgency;
use super::table::Status;
use crate::types::{ModelId, WorkerId};
use std::sync::Arc;

/// Devices a batch may lose before one of its items is taken to be the cause.
const MAX_LOSSES: u32 = 2;

/// How a batch is split.
#[derive(Debug, Clone, Copy)]
enum Parts {
    Halves,
    /// Each item alone.
    Single,
}

impl Scheduler {
    /// Ends a batch as its report says. A batch that is not known (its worker was lost) is ignored.
    pub(super) fn finish(&mut self, report: &BatchReport) {
        let Some(at) = self.running.iter().position(|r| r.id == report.batch) else {
            return;
        };
        let batch = self.running.remove(at);
        self.touch(batch.model);
        match report.outcome {
            BatchOutcome::Ok => {
                let Running { rows, len, busy, .. } = batch;
                // What was equal did not run, and costs are of what ran.
                let rows = rows.saturating_sub(report.reused).max(1);
                self.learn(batch.model, batch.device, &Measured { rows, len, busy, compute: report.compute });
                for &slot in &batch.group.items {
                    self.table.end_item(slot);
                }
                self.former.filler.reclaim(batch.group.items);
                self.close(batch.group.trial, |trial| trial.cleared = true);
            }
            BatchOutcome::Failed => self.blame(batch),
            BatchOutcome::Inseparable => {
                let trial = batch.group.trial;
                self.split(batch.model, batch.group, trial, Parts::Single);
            }
            BatchOutcome::OutOfMemory => self.halve(batch),
            BatchOutcome::DeviceLost => self.lose(batch.worker, Some(batch)),
        }
    }

    /// The next group of a failed batch that still has wanted items.
    pub(super) fn next_retry(&mut self, id: ModelId) -> Option<Group> {
        while let Some(mut group) = self.models.get_mut(&id)?.retries.pop_front() {
            self.drop_dead(&mut group);
            if !group.items.is_empty() {
                return Some(group);
            }
            self.close(group.trial, |_| ());
        }
        None
    }

    /// A worker is gone: its batch runs elsewhere, and without any worker nothing of the model can.
    pub(super) fn lose(&mut self, worker: WorkerId, batch: Option<Running>) {
        let batch = batch.or_else(|| {
            let at = self.running.iter().position(|r| r.worker == worker)?;
            Some(self.running.remove(at))
        });
        // Of a model unloaded meanwhile only the batch is left.
        let known = self.workers.iter().position(|w| w.id == worker).map(|at| self.workers.remove(at).model);
        let Some(model) = known.or(batch.as_ref().map(|b| b.model)) else { return };
        self.appraise_all();
        if let Some(mut batch) = batch {
            batch.group.losses += 1;
            if batch.group.losses < MAX_LOSSES {
                self.requeue(batch.model, batch.group);
            } else if batch.group.items.len() == 1 {
                self.condemn(&batch.group);
            } else {
                let trial = batch.group.trial;
                self.split(batch.model, batch.group, trial, Parts::Halves);
            }
        }
        if !self.workers.iter().any(|w| w.model == model) {
            self.fail_all(model, FailReason::NotReady);
            self.bury(model);
        }
        self.touch(model);
    }

    /// Moves a model's waiting items to the lanes of the current policies, in arrival order.
    pub(super) fn reroute(&mut self, id: ModelId) {
        let waiting: Vec<u32> = {
            let of_model = |r: u32| self.table.request(r).model == id;
            let mut slots: Vec<(u64, u32)> = (self.table.items.iter())
                .filter(|(_, s)| s.status == Status::Waiting && of_model(s.request))
                .map(|(slot, s)| (s.seq, slot as u32))
                .collect();
            slots.sort_unstable();
            slots.into_iter().map(|(_, slot)| slot).collect()
        };
        let policies = Arc::clone(&self.policies);
        let Some(model) = self.models.get_mut(&id) else { return };
        let old = std::mem::replace(model, ModelState::new(model.limits.clone(), policies.policies()));
        (model.learned, model.retries, model.home) = (old.learned, old.retries, old.home);
        (model.grid, model.turn) = (old.grid, old.turn);
        let name = Arc::clone(&model.limits.name);
        for slot in waiting {
            let item = self.table.item(slot);
            let request = self.table.request(item.request);
            let class = old.lanes[item.lane as usize].classes[item.class as usize].id;
            let lane = policies.lookup(&name, &request.tenant);
            let policy = &policies.policies()[lane];
            let level = request.priority.level(policy.queue.priority_levels);
            let key = urgency(policy, request.arrival, request.deadline, level);
            let account = self.account(id, lane, &Arc::clone(&request.tenant));
            let item = self.table.item_mut(slot);
            (item.lane, item.account, item.key, item.level) = (lane as u32, account, key, level as u8);
            self.enqueue(id, slot, class);
        }
        if let Some(model) = self.models.get_mut(&id) {
            model.inherit(&old.lanes);
        }
        self.relane(id);
    }

    /// Points retries and running groups, whose lanes are gone, at the lane of their first item.
    fn relane(&mut self, id: ModelId) {
        let policies = Arc::clone(&self.policies);
        let Some(model) = self.models.get_mut(&id) else { return };
        let running = self.running.iter_mut().filter(|r| r.model == id).map(|r| &mut r.group);
        for group in model.retries.iter_mut().chain(running) {
            let first = group.items.first().map(|&s| self.table.item(s).request);
            let tenant = first.map(|r| &*self.table.request(r).tenant).unwrap_or_default();
            group.lane = policies.lookup(&model.limits.name, tenant) as u32;
        }
    }

    /// A batch failed: a single item is guilty, a larger group is split.
    fn blame(&mut self, mut batch: Running) {
        let group = &mut batch.group;
        let guilty = group.items.len() == 1;
        if guilty {
            let slot = group.items[0];
            let request = self.table.item(slot).request;
            self.fail(request, FailReason::ExecutionFailed);
            self.table.end_item(slot);
            let (trial, worker) = (group.trial, batch.worker);
            if self.close(trial, |t| t.guilty += 1).is_some_and(|t| t.guilty >= 2 && !t.cleared) {
                self.suspect(worker, trial);
            }
            return;
        }
        let trial = *group.trial.get_or_insert_with(|| self.trials.insert(Trial { open: 1, ..Trial::default() }));
        self.split(batch.model, batch.group, Some(trial), Parts::Halves);
    }

    /// The device had no memory for a batch: its shape is capped there and its halves run again.
    fn halve(&mut self, batch: Running) {
        if batch.group.items.len() == 1 {
            return self.condemn(&batch.group);
        }
        if let Some(model) = self.models.get_mut(&batch.model) {
            model.on(batch.device).out_of_memory(batch.rows, batch.len);
        }
        let trial = batch.group.trial;
        self.split(batch.model, batch.group, trial, Parts::Halves);
    }

    /// Queues a group again in parts.
    fn split(&mut self, model: ModelId, group: Group, trial: Option<usize>, parts: Parts) {
        let (first, second) = group.items.split_at(group.items.len() / 2);
        let parts: Vec<&[u32]> = match parts {
            Parts::Halves => vec![first, second],
            Parts::Single => group.items.chunks(1).collect(),
        };
        for part in parts {
            self.close_with(trial, |t| t.open += 1);
            self.requeue(model, Group { items: part.to_vec(), trial, ..group.clone() });
        }
        self.close(trial, |_| ());
    }

    /// Puts a group behind the other retries: halves of one level run before any quarter.
    fn requeue(&mut self, model: ModelId, mut group: Group) {
        self.drop_dead(&mut group);
        for &slot in &group.items {
            self.table.item_mut(slot).status = Status::Pinned;
        }
        // Nobody may want it any more, and its model may have been unloaded.
        match self.models.get_mut(&model).filter(|_| !group.items.is_empty()) {
            Some(state) => {
                state.retries.push_back(group);
                state.dirty = true;
            }
            None => drop(self.close(group.trial, |_| ())),
        }
    }

    /// Takes a worker that nothing of a batch ran on out of service until it has proved itself.
    fn suspect(&mut self, worker: WorkerId, trial: Option<usize>) {
        self.close_with(trial, |t| t.cleared = true);
        if let Some(known) = self.workers.iter_mut().find(|w| w.id == worker) {
            known.suspect = true;
            self.outputs.push_back(Output::Suspect { worker });
        }
    }

    /// Fails a group's requests as if each had failed alone.
    fn condemn(&mut self, group: &Group) {
        for &slot in &group.items {
            let request = self.table.item(slot).request;
            self.fail(request, FailReason::ExecutionFailed);
            self.table.end_item(slot);
        }
        self.close(group.trial, |_| ());
    }

    /// Ends the pinned items of a model that can run nothing more; their requests have failed.
    pub(super) fn bury(&mut self, model: ModelId) {
        let Some(state) = self.models.get_mut(&model) else {
            return;
        };
        for mut group in std::mem::take(&mut state.retries) {
            self.drop_dead(&mut group);
            self.close(group.trial, |_| ());
        }
    }

    /// Ends the items of a group that nobody wants any more.
    fn drop_dead(&mut self, group: &mut Group) {
        group.items.retain(|&slot| {
            let wanted = self.table.item(slot).status != Status::Dead;
            if !wanted {
                self.table.end_item(slot);
            }
            wanted
        });
    }

    /// Counts one group of a trial as ended, after `note`; answers the trial as it then is.
    fn close(&mut self, trial: Option<usize>, note: impl FnOnce(&mut Trial)) -> Option<Trial> {
        let key = trial?;
        self.close_with(trial, |t| {
            note(t);
            t.open -= 1;
        });
        let state = *self.trials.get(key)?;
        if state.open == 0 {
            self.trials.remove(key);
        }
        Some(state)
    }

    fn close_with(&mut self, trial: Option<usize>, change: impl FnOnce(&mut Trial)) {
        if let Some(trial) = trial.and_then(|t| self.trials.get_mut(t)) {
            change(trial);
        }
    }
}
