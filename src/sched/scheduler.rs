//! The state machine: events in with `now`, decisions out.

use super::account::Rank;
use super::admit::Admitted;
use super::cost::{CostState, Unsound};
use super::event::{
    Arrival, BatchReport, DeviceCondition, FailReason, Measured, ModelLimits, Output, Reject, WorkerState,
};
use super::expiry::{Due, Expiry};
use super::form::Former;
use super::model::{ModelState, Running, Trial, Worker};
use super::place::Site;
use super::quota::Quotas;
use super::spares::Spares;
use super::strategy::urgency;
use super::table::{ItemSlot, NONE, RequestSlot, Status, Table};
use crate::policy::PolicySet;
use crate::types::{DeviceId, ModelId, RequestId, Time, WorkerId};
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

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
    /// The devices of the model that is decided for.
    pub(super) sites: Vec<Site>,
    /// Its lanes, in the order in which they are asked.
    pub(super) turns: Vec<(Rank, usize)>,
    /// Lists of items to be used again.
    pub(super) lists: Spares<(RequestId, u32)>,
    pub(super) quotas: Quotas,
    pub(super) trials: Slab<Trial>,
    /// As they were last told.
    pub(super) conditions: BTreeMap<DeviceId, DeviceCondition>,
    pub(super) policies: Arc<PolicySet>,
    /// Tenants that are known by name although no policy names them.
    pub(super) tenants: Arc<BTreeSet<Arc<str>>>,
    pub(super) former: Former,
    pub(super) outputs: VecDeque<Output>,
    pub(super) now: Time,
    pub(super) draining: bool,
    deadlines: Expiry,
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
            sites: Vec::new(),
            turns: Vec::new(),
            lists: Spares::default(),
            quotas: Quotas::default(),
            trials: Slab::new(),
            conditions: BTreeMap::new(),
            policies,
            tenants: Arc::default(),
            former: Former::default(),
            outputs: VecDeque::new(),
            now: Time::default(),
            draining: false,
            deadlines: Expiry::default(),
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
        debug_assert!(!a.items.is_empty(), "a request has at least one item");
        let Admitted { lane, account, deadline, trial } = self.admit(a)?;
        let Some(model) = self.models.get_mut(&a.model) else {
            return Err(Reject::UnknownModel);
        };
        let policy = &model.lanes[lane].policy;
        let level = a.priority.level(policy.queue.priority_levels);
        let key = urgency(policy, now, deadline, level);
        let first = self.table.items.vacant_key() as u32;
        let request = self.table.insert_request(RequestSlot {
            id: a.request,
            model: a.model,
            tenant: Arc::clone(a.tenant),
            priority: a.priority,
            arrival: self.now,
            deadline,
            first,
            open: a.items.len() as u32,
            dead: false,
            trial,
        });
        self.queue_items(a, request, (lane, account), (key, level));
        if deadline < Time::NEVER {
            let Self { deadlines, table, .. } = self;
            deadlines.push(Due { at: deadline, request: a.request, slot: request });
            deadlines.sweep(table.requests.len(), |e| is_open(table, e));
        }
        Ok(())
    }

    /// Puts an accepted request's items into its lane under its account, each of this urgency.
    fn queue_items(&mut self, a: &Arrival<'_>, request: u32, (lane, account): (usize, u32), (key, level): (u64, u32)) {
        let mut previous = NONE;
        for (index, item) in a.items.iter().enumerate() {
            let slot = self.table.items.insert(ItemSlot {
                rows: item.rows,
                len: item.len,
                bytes: item.bytes,
                request,
                index: index as u32,
                next: NONE,
                seq: self.next_seq,
                key,
                share: 0,
                lane: lane as u32,
                account,
                level: level as u8,
                class: 0,
                status: Status::Waiting,
            }) as u32;
            self.next_seq += 1;
            if previous != NONE {
                self.table.item_mut(previous).next = slot;
            }
            previous = slot;
            self.enqueue(a.model, slot, item.class);
        }
        if let Some(lane) = self.models.get_mut(&a.model).and_then(|m| m.lanes.get_mut(lane)) {
            a.items.iter().for_each(|item| lane.pace.add(item.rows, item.len, self.now));
        }
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
            (Some(limits), Some(known)) => {
                known.limits = limits;
                self.reroute(model);
            }
            (Some(limits), None) => {
                self.models.insert(model, ModelState::new(limits, self.policies.policies()));
            }
            (None, _) => {
                self.fail_all(model, FailReason::UnknownModel);
                self.bury(model);
                self.models.remove(&model);
                self.workers.retain(|w| w.model != model);
                self.appraise_all();
            }
        }
    }

    /// Takes note of a worker's state.
    pub fn handle_worker(&mut self, worker: WorkerId, state: WorkerState, now: Time) {
        self.advance(now);
        match state {
            WorkerState::Up { model, device, grid } => self.welcome(worker, model, device, grid),
            WorkerState::Ready | WorkerState::Proved => {
                if let Some(known) = self.workers.iter_mut().find(|w| w.id == worker) {
                    known.suspect &= state != WorkerState::Proved;
                    known.ready = !known.suspect;
                    let model = known.model;
                    self.touch(model);
                }
            }
            WorkerState::Lost => self.lose(worker, None),
        }
    }

    /// Takes note of how a device is; holds until told otherwise.
    pub fn handle_device(&mut self, device: DeviceId, condition: DeviceCondition, now: Time) {
        self.advance(now);
        self.conditions.insert(device, condition);
        for model in self.models.values_mut() {
            if let Some(learned) = model.learned.iter_mut().find(|l| l.device == device) {
                learned.set_condition(condition);
                model.dirty = true;
            }
        }
    }

    /// Learns from a run outside the schedule, as the warm-up makes them.
    pub fn handle_measured(&mut self, worker: WorkerId, run: &Measured, now: Time) {
        self.advance(now);
        let Some(known) = self.workers.iter().find(|w| w.id == worker) else {
            return;
        };
        let (model, device) = (known.model, known.device);
        self.learn(model, device, run);
    }

    /// Goes on from what was learned of a model on a device in an earlier life of the program.
    ///
    /// # Errors
    /// When no cost model could have learned it; nothing changes then.
    pub fn handle_learned(
        &mut self,
        model: ModelId,
        device: DeviceId,
        state: &CostState,
        now: Time,
    ) -> Result<(), Unsound> {
        self.advance(now);
        let Some(known) = self.models.get_mut(&model) else { return Ok(()) };
        known.on(device).cost.restore(state)?;
        known.dirty = true;
        self.appraise_all();
        Ok(())
    }

    /// Takes note of a shape that a worker's device had no memory for, outside the schedule.
    pub fn handle_too_large(&mut self, worker: WorkerId, rows: u32, len: u32, now: Time) {
        self.advance(now);
        let Some(known) = self.workers.iter().find(|w| w.id == worker) else { return };
        if let Some(model) = self.models.get_mut(&known.model) {
            model.on(known.device).out_of_memory(rows, len);
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
        let policies = Arc::clone(&self.policies);
        self.quotas.keep(|name| policies.policies().iter().any(|p| &*p.name == name));
        self.reroute_all();
    }

    /// Takes note of the tenants that have an account of their own although no policy names them.
    pub fn handle_tenants(&mut self, tenants: Arc<BTreeSet<Arc<str>>>, now: Time) {
        self.advance(now);
        self.tenants = tenants;
        self.reroute_all();
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
        let deadline = self.next_deadline().map_or(Time::NEVER, |due| due.at);
        let next = wake.min(deadline);
        (next < Time::NEVER).then_some(next)
    }

    /// The request whose deadline is next.
    fn next_deadline(&mut self) -> Option<Due> {
        self.deadlines.next(|e| is_open(&self.table, e))
    }

    fn reroute_all(&mut self) {
        let ids: Vec<ModelId> = self.models.keys().copied().collect();
        for id in ids {
            self.reroute(id);
        }
    }

    pub(super) fn touch(&mut self, model: ModelId) {
        if let Some(m) = self.models.get_mut(&model) {
            m.dirty = true;
        }
    }

    /// Moves to `now` (never back) and ends what expired.
    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        while let Some(due) = self.next_deadline().filter(|due| due.at <= self.now) {
            self.deadlines.pop();
            self.fail(due.slot, FailReason::DeadlineExceeded);
        }
        for model in self.models.values_mut() {
            if model.wake <= self.now {
                model.dirty = true;
            }
        }
    }
}

/// Whether a deadline still stands for a request somebody waits for.
fn is_open(table: &Table, due: &Due) -> bool {
    table.requests.get(due.slot as usize).is_some_and(|r| r.id == due.request && !r.dead)
}
