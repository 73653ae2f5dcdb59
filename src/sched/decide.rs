//! Decisions: while a worker is free, which lane goes, or until when all wait.

use super::event::{Dispatch, Grid, ModelLimits, Output, Release};
use super::lane::edge;
use super::model::{Group, ModelState, Running, Worker};
use super::scheduler::Scheduler;
use super::strategy::Rule;
use super::table::Status;
use super::wish::{View, Wish};
use crate::types::{BatchId, DeviceId, ModelId, Time, WorkerId};
use std::sync::Arc;
use std::time::Duration;

impl Scheduler {
    /// Fills `outputs` with every batch that can be dispatched now.
    pub(super) fn decide(&mut self) {
        let dirty: Vec<ModelId> = self.models.iter().filter(|(_, m)| m.dirty).map(|(id, _)| *id).collect();
        for id in dirty {
            while self.decide_one(id) {}
        }
    }

    /// Dispatches one batch of the model if it can; otherwise notes when to look again.
    fn decide_one(&mut self, id: ModelId) -> bool {
        let Some(worker) = self.free_worker(id) else {
            if let Some(model) = self.models.get_mut(&id) {
                (model.dirty, model.wake) = (false, Time::NEVER);
            }
            return false;
        };
        if let Some(group) = self.next_retry(id) {
            self.dispatch(id, worker, group, Release::Retry);
            return true;
        }
        match self.choose(id, &worker) {
            Some((group, why)) => {
                self.dispatch(id, worker, group, why);
                true
            }
            None => false,
        }
    }

    /// The free worker on the least busy device.
    fn free_worker(&self, id: ModelId) -> Option<Worker> {
        let free = self.workers.iter().filter(|w| w.model == id && w.ready);
        free.min_by_key(|w| (self.busy_on(w.device), w.id)).copied()
    }

    /// Whether a worker of the model could run something now.
    #[must_use]
    pub fn has_free_worker(&self, model: ModelId) -> bool {
        self.free_worker(model).is_some()
    }

    /// Hands out a free worker of the model for something else than a batch, the next after `last` in
    /// turn. It gets no batch before it is told to be ready.
    pub fn lend(&mut self, model: ModelId, last: Option<WorkerId>) -> Option<WorkerId> {
        let free = self.workers.iter_mut().filter(|w| w.model == model && w.ready);
        let next = free.min_by_key(|w| (Some(w.id) <= last, w.id))?;
        next.ready = false;
        Some(next.id)
    }

    /// Batches that run on a device.
    fn busy_on(&self, device: DeviceId) -> u32 {
        self.running.iter().filter(|r| r.device == device).count() as u32
    }

    /// Asks the lanes in the order of the service they have had; the first that wants to run does.
    fn choose(&mut self, id: ModelId, worker: &Worker) -> Option<(Group, Release)> {
        let idle = self.workers.iter().filter(|w| w.model == id && w.ready).count() as u32;
        let busy = self.busy_on(worker.device) + 1;
        let model = self.models.get_mut(&id)?;
        let ModelLimits { grid, batchable, .. } = model.limits;
        let (lanes, knowledge) = model.lanes_with(worker.device, busy, self.policies.generation);
        let mut order: Vec<usize> = (0..lanes.len()).filter(|&l| lanes[l].items > 0).collect();
        order.sort_by(|&a, &b| lanes[a].served.total_cmp(&lanes[b].served).then(a.cmp(&b)));
        let mut wake = Time::NEVER;
        for index in order {
            let policy = Arc::clone(&lanes[index].policy);
            let rule = Rule::of(&policy, batchable);
            let view = View {
                table: &self.table,
                terms: knowledge.terms(&policy, rule.brief),
                rule,
                grid,
                idle,
                now: self.now,
                draining: self.draining,
            };
            match view.wish(&mut lanes[index], &mut self.former) {
                Wish::Run(items, why) => {
                    return Some((Group { lane: index as u32, items, trial: None, losses: 0 }, why));
                }
                Wish::Hold(until) => wake = wake.min(until),
                Wish::Nothing => {}
            }
        }
        (model.dirty, model.wake) = (false, wake);
        None
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
        let rows: u32 = slots().map(|s| s.item.rows).sum();
        let longest = slots().map(|s| s.item.len).max().unwrap_or(1);
        let padded_len = if model.limits.grid == Grid::Exact { longest } else { edge(model.limits.grid, longest) };
        let predicted = model.cost_mut(worker.device).predict(rows, padded_len, busy);
        model.charge(group.lane as usize, if group.trial.is_some() { 0.0 } else { predicted });
        self.next_batch += 1;
        let batch = BatchId(self.next_batch);
        self.outputs.push_back(Output::Dispatch(Dispatch {
            batch,
            worker: worker.id,
            model: id,
            items: slots().map(|s| (self.table.request(s.request).id, s.index)).collect(),
            rows,
            padded_len,
            tokens: slots().map(|s| u64::from(s.item.rows) * u64::from(s.item.len)).sum(),
            policy: Arc::clone(&model.lanes[group.lane as usize].policy),
            generation,
            why,
            predicted: Duration::from_nanos(predicted as u64),
            oldest: slots().map(|s| s.arrival).min().unwrap_or(self.now),
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
    /// Charges a lane for device time, so that lanes take turns by what they have had.
    fn charge(&mut self, lane: usize, time: f64) {
        let lane = &mut self.lanes[lane];
        self.turn = self.turn.max(lane.served);
        lane.served += time;
    }
}
