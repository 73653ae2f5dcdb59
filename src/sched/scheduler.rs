//! The state machine: events in with `now`, decisions out.

use super::event::{Arrival, BatchReport, FailReason, Measured, ModelLimits, Output, Reject, WorkerState};
use super::form::Former;
use super::model::{ModelState, Running, Trial, Worker, terms};
use super::strategy::{Rule, urgency};
use super::table::{ItemSlot, NONE, RequestSlot, Status, Table};
use super::urgency::{Entry, UrgencyQueue};
use crate::policy::{Policy, PolicySet};
use crate::types::{DeviceId, ModelId, RequestId, Time, WorkerId};
use slab::Slab;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Chooses what runs next, on every model and worker of the process.
///
/// Pure: no clock, thread or payload. The same events give the same decisions. After any
/// `handle_…`, call [`poll_output`](Self::poll_output) until it answers `None`, then arm a timer for
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Scheduler {
    pub(super) table: Table,
    pub(super) models: BTreeMap<ModelId, ModelState>,
    pub(super) workers: Vec<Worker>,
    pub(super) running: Vec<Running>,
    pub(super) trials: Slab<Trial>,
    pub(super) policies: Arc<PolicySet>,
    pub(super) former: Former,
    pub(super) outputs: VecDeque<Output>,
    pub(super) now: Time,
    pub(super) draining: bool,
    deadlines: UrgencyQueue,
    next_seq: u64,
    pub(super) next_batch: u64,
}

impl Scheduler {
    /// Builds a scheduler without models under these policies.
    #[must_use]
    pub fn new(policies: Arc<PolicySet>) -> Self {
        Self {
            table: Table::default(),
            models: BTreeMap::new(),
            workers: Vec::new(),
            running: Vec::new(),
            trials: Slab::new(),
            policies,
            former: Former::default(),
            outputs: VecDeque::new(),
            now: Time::default(),
            draining: false,
            deadlines: UrgencyQueue::default(),
            next_seq: 0,
            next_batch: 0,
        }
    }

    /// Queues a request: all of its items or none.
    ///
    /// # Errors
    /// Why it was refused; the scheduler then knows nothing of it.
    pub fn handle_arrival(&mut self, a: &Arrival<'_>, now: Time) -> Result<(), Reject> {
        self.advance(now);
        let (lane, deadline) = self.admit(a)?;
        let Some(model) = self.models.get_mut(&a.model) else {
            return Err(Reject::UnknownModel);
        };
        let policy = Arc::clone(&model.lanes[lane].policy);
        let key = urgency(&policy, now, deadline, a.priority.level(policy.queue.priority_levels));
        let first = self.table.items.vacant_key() as u32;
        let request = self.table.insert_request(RequestSlot {
            id: a.request,
            model: a.model,
            tenant: Arc::clone(a.tenant),
            priority: a.priority,
            deadline,
            first,
            open: a.items.len() as u32,
            dead: false,
        });
        let mut previous = NONE;
        for (index, item) in a.items.iter().enumerate() {
            let slot = self.table.items.insert(ItemSlot {
                item: *item,
                request,
                index: index as u32,
                next: NONE,
                seq: self.next_seq,
                key,
                arrival: now,
                share: 0,
                lane: lane as u32,
                class: 0,
                status: Status::Waiting,
            }) as u32;
            self.next_seq += 1;
            if previous != NONE {
                self.table.item_mut(previous).next = slot;
            }
            previous = slot;
            self.enqueue(a.model, slot);
        }
        if deadline < Time::NEVER {
            self.deadlines.push(Entry { key: deadline.0, seq: a.request.0, slot: request });
            let table = &self.table;
            self.deadlines.sweep(table.requests.len(), |e| is_open(table, e));
        }
        Ok(())
    }

    /// Forgets a request: what waits is never run, what runs is not wanted. Unknown ids are ignored.
    pub fn handle_cancel(&mut self, request: RequestId, now: Time) {
        self.advance(now);
        if let Some(slot) = self.table.find(request) {
            self.kill(slot);
        }
    }

    /// Adds a model, changes its limits, or (with `None`) unloads it, failing what waits for it.
    pub fn handle_model(&mut self, model: ModelId, limits: Option<ModelLimits>, now: Time) {
        self.advance(now);
        match (limits, self.models.get_mut(&model)) {
            (Some(limits), Some(known)) => known.limits = limits,
            (Some(limits), None) => {
                self.models.insert(model, ModelState::new(limits, self.policies.policies()));
            }
            (None, _) => {
                self.fail_all(model, FailReason::UnknownModel);
                self.bury(model);
                self.models.remove(&model);
                self.workers.retain(|w| w.model != model);
            }
        }
    }

    /// Takes note of a worker's state.
    pub fn handle_worker(&mut self, worker: WorkerId, state: WorkerState, now: Time) {
        self.advance(now);
        match state {
            WorkerState::Up { model, device } => {
                self.workers.retain(|w| w.id != worker);
                self.workers.push(Worker { id: worker, model, device, ready: false });
                self.workers.sort_by_key(|w| w.id);
            }
            WorkerState::Ready => {
                if let Some(known) = self.workers.iter_mut().find(|w| w.id == worker) {
                    known.ready = true;
                    let model = known.model;
                    self.touch(model);
                }
            }
            WorkerState::Lost => self.lose(worker, None),
        }
    }

    /// Learns from a run outside the schedule, as the warm-up makes them.
    pub fn handle_measured(&mut self, worker: WorkerId, run: &Measured, now: Time) {
        self.advance(now);
        let Some(known) = self.workers.iter().find(|w| w.id == worker) else {
            return;
        };
        if let Some(model) = self.models.get_mut(&known.model) {
            model.cost_mut(known.device).observe(run.rows, run.len, run.busy, run.compute);
        }
    }

    /// Takes note of a batch's end: learns its cost, ends its items, or splits it to find the guilty.
    pub fn handle_batch_done(&mut self, report: &BatchReport, now: Time) {
        self.advance(now);
        self.finish(report);
    }

    /// Swaps the policies: what waits moves to its new lane, what runs finishes under its old policy.
    pub fn handle_policies(&mut self, policies: Arc<PolicySet>, now: Time) {
        self.advance(now);
        self.policies = policies;
        let ids: Vec<ModelId> = self.models.keys().copied().collect();
        for id in ids {
            self.reroute(id);
        }
    }

    /// Stops accepting; what waits is released without further delay.
    pub fn handle_drain(&mut self, now: Time) {
        self.advance(now);
        self.draining = true;
        for model in self.models.values_mut() {
            model.dirty = true;
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
    }

    /// The next thing to do, if any.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.decide();
        }
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&mut self) -> Option<Time> {
        let wake = self.models.values().map(|m| m.wake).min().unwrap_or(Time::NEVER);
        let table = &self.table;
        let deadline = self.deadlines.peek(|e| is_open(table, e)).map_or(Time::NEVER, |e| Time(e.key));
        let next = wake.min(deadline);
        (next < Time::NEVER).then_some(next)
    }

    /// Whether nothing waits and nothing runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.table.requests.is_empty() && self.running.is_empty()
    }

    /// Batches that run now.
    #[must_use]
    pub fn batches_running(&self) -> usize {
        self.running.len()
    }

    /// Rows of batches that run now.
    #[must_use]
    pub fn rows_running(&self) -> u32 {
        self.running.iter().map(|r| r.rows).sum()
    }

    /// Whether a model's queue would refuse one more row, whoever sent it.
    #[must_use]
    pub fn is_full(&self, model: ModelId) -> bool {
        let Some(model) = self.models.get(&model) else { return false };
        let (rows, bytes) = (model.rows(), model.bytes);
        let full = |policy: &Policy| rows >= policy.queue.max_rows || bytes >= policy.queue.max_bytes;
        if self.policies.names_tenants() {
            self.policies.policies().iter().all(|p| full(p))
        } else {
            full(&self.policies.policies()[self.policies.lookup(&model.limits.name, "")])
        }
    }

    /// A model's queue: (rows, bytes, predicted time to empty it).
    #[must_use]
    pub fn queue(&self, model: ModelId) -> (u32, u64, Duration) {
        self.models.get(&model).map_or((0, 0, Duration::ZERO), |m| (m.rows(), m.bytes, self.drain_time(model, m)))
    }

    /// The learned costs of a model, by device.
    #[must_use]
    pub fn costs(&self, model: ModelId) -> &[(DeviceId, super::CostModel)] {
        self.models.get(&model).map_or(&[], |m| m.costs.as_slice())
    }

    pub(super) fn drain_time(&self, id: ModelId, model: &ModelState) -> Duration {
        let workers = self.workers.iter().filter(|w| w.model == id).count().max(1) as u64;
        Duration::from_nanos(model.backlog() / workers)
    }

    pub(super) fn touch(&mut self, model: ModelId) {
        if let Some(m) = self.models.get_mut(&model) {
            m.dirty = true;
        }
    }

    /// Puts a waiting item, whose lane and key are set, into its lane.
    pub(super) fn enqueue(&mut self, model: ModelId, slot: u32) {
        let Some(state) = self.models.get_mut(&model) else {
            return;
        };
        let device = self.workers.iter().find(|w| w.model == model).map_or_else(Default::default, |w| w.device);
        state.cost_mut(device);
        let ModelState { lanes, costs, memory, limits, .. } = state;
        let Some((_, cost)) = costs.iter().find(|(d, _)| *d == device) else {
            return;
        };
        let item = self.table.item(slot);
        state.bytes += u64::from(item.item.bytes);
        let lane = &mut lanes[item.lane as usize];
        let policy = Arc::clone(&lane.policy);
        let brief = Rule::of(&policy).brief;
        let busy = self.workers.iter().filter(|w| w.device == device).count() as u32;
        let terms = terms(&policy, brief, cost, memory, busy, self.policies.generation);
        lane.push(slot, limits.grid, &terms, &mut self.table);
        state.dirty = true;
    }

    /// Takes a waiting item out of its lane; its new status says where it went.
    pub(super) fn dequeue(&mut self, model: ModelId, slot: u32, status: Status) {
        self.table.item_mut(slot).status = status;
        let Some(state) = self.models.get_mut(&model) else {
            return;
        };
        let item = self.table.item(slot);
        state.bytes -= u64::from(item.item.bytes);
        let grid = state.limits.grid;
        state.lanes[item.lane as usize].remove(slot, grid, &self.table);
    }

    /// Ends a request without an answer from the schedule.
    pub(super) fn kill(&mut self, request: u32) {
        let slot = &mut self.table.requests[request as usize];
        if slot.dead {
            return;
        }
        slot.dead = true;
        let model = slot.model;
        let mut next = slot.first;
        while next != NONE {
            let current = next;
            let item = self.table.item(current);
            next = item.next;
            match item.status {
                Status::Waiting => {
                    self.dequeue(model, current, Status::Dead);
                    if self.table.end_item(current) {
                        return;
                    }
                }
                Status::Pinned | Status::Running => self.table.item_mut(current).status = Status::Dead,
                Status::Dead | Status::Done => {}
            }
        }
    }

    /// Ends a request and says so.
    pub(super) fn fail(&mut self, request: u32, reason: FailReason) {
        let slot = self.table.request(request);
        if !slot.dead {
            self.outputs.push_back(Output::Fail { request: slot.id, reason });
            self.kill(request);
        }
    }

    pub(super) fn fail_all(&mut self, model: ModelId, reason: FailReason) {
        let of_model: Vec<u32> =
            self.table.requests.iter().filter(|(_, r)| r.model == model).map(|(slot, _)| slot as u32).collect();
        for request in of_model {
            self.fail(request, reason);
        }
    }

    /// Moves to `now` (never back) and ends what expired.
    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        while let Some(entry) = self.deadlines.peek(|e| is_open(&self.table, e)).filter(|e| e.key <= self.now.0) {
            self.deadlines.pop();
            self.fail(entry.slot, FailReason::DeadlineExceeded);
        }
        for model in self.models.values_mut() {
            if model.wake <= self.now {
                model.dirty = true;
            }
        }
    }
}

/// Whether a deadline's entry still stands for a request somebody waits for.
fn is_open(table: &Table, entry: &Entry) -> bool {
    table.requests.get(entry.slot as usize).is_some_and(|r| r.id.0 == entry.seq && !r.dead)
}
