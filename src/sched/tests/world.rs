//! A virtual world: a scheduler, workers that take as long as a curve says, and callers that keep books.

use crate::policy::{Policy, PolicySet, Source, Strategy, compile};
use crate::sched::*;
use crate::types::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub(in crate::sched) const MODEL: ModelId = ModelId(0);
pub(super) const DEVICE: DeviceId = DeviceId(0);

/// What became of an accepted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Answered,
    Failed(FailReason),
    Cancelled,
}

/// A caller's view of its request.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) model: ModelId,
    pub(super) tenant: Arc<str>,
    pub(super) arrived: Time,
    pub(super) deadline: Option<Time>,
    pub(super) priority: Priority,
    pub(super) items: Vec<Item>,
    pub(super) answered: BTreeSet<u32>,
    pub(super) fate: Fate,
    pub(super) left: Option<Time>,
}

pub(super) struct World {
    pub(super) sched: Scheduler,
    pub(super) now: Time,
    pub(super) callers: BTreeMap<RequestId, Caller>,
    pub(super) running: Vec<(Dispatch, Time)>,
    /// Every batch ever dispatched.
    pub(super) history: Vec<Dispatch>,
    pub(super) suspects: Vec<WorkerId>,
    /// Decisions made as `adaptive` would, by policy, and what went wrong in its script.
    pub(super) fallbacks: Vec<(String, crate::script::Fault)>,
    to_prove: Vec<WorkerId>,
    pub(super) guilty: BTreeSet<RequestId>,
    /// In a batch that was made to fail whatever was in it.
    pub(super) accused: BTreeSet<RequestId>,
    pub(super) curve: fn(u32, u32) -> f64,
    /// Who runs which model where.
    pub(super) crew: BTreeMap<WorkerId, (ModelId, DeviceId, Grid)>,
    /// Devices that are slower than the curve, and how many times.
    pub(super) slow: BTreeMap<DeviceId, f64>,
    /// Who runs something else than a batch.
    pub(super) lent: BTreeSet<WorkerId>,
    /// What counted against which rate.
    pub(super) ledger: super::quotas::Ledger,
    /// Whether batches that run beside each other on a device take as much longer.
    pub(super) sliced: bool,
    next: u64,
}

/// Milliseconds of a CPU: half a millisecond a run and 60 µs a padded token.
pub(super) fn cpu(rows: u32, len: u32) -> f64 {
    0.5 + 0.06 * f64::from(rows) * f64::from(len)
}

pub(super) fn ms(x: u64) -> Duration {
    Duration::from_millis(x)
}

pub(in crate::sched) fn preset(strategy: Strategy) -> Arc<PolicySet> {
    Arc::new(PolicySet::single(Policy::preset("test", strategy), 1))
}

/// Compiles policies from (file name, text) pairs.
pub(super) fn policies(files: &[(&str, &str)], generation: u64) -> Arc<PolicySet> {
    let sources: Vec<Source> =
        files.iter().map(|(name, text)| Source { name: (*name).to_owned(), text: (*text).to_owned() }).collect();
    Arc::new(compile(&sources, &[], generation).expect("the test's policies are valid"))
}

pub(super) fn row(len: u32) -> Item {
    Item { rows: 1, len, bytes: len * 4, class: ShapeClass(1) }
}

impl World {
    /// One model with `workers` workers on one device, warmed up on the curve.
    pub(super) fn new(policies: Arc<PolicySet>, workers: u32, curve: fn(u32, u32) -> f64) -> Self {
        let mut world = Self::cold(policies, curve);
        for w in 0..workers {
            world.worker_up(w);
        }
        for (rows, len) in [(1, 8), (8, 8), (32, 8), (1, 32), (8, 32), (1, 128), (4, 128), (1, 256)] {
            for busy in 1..=workers {
                let compute = Duration::from_nanos((curve(rows, len) * 1e6) as u64);
                world.sched.handle_measured(WorkerId(0), &Measured { rows, len, busy, compute }, world.now);
            }
        }
        world
    }

    /// One model without workers.
    pub(super) fn cold(policies: Arc<PolicySet>, curve: fn(u32, u32) -> f64) -> Self {
        let mut sched = Scheduler::new(policies);
        let limits = ModelLimits { name: "m".into(), batchable: true };
        sched.handle_model(MODEL, Some(limits), Time::default());
        Self {
            sched,
            now: Time::from_millis(1000),
            callers: BTreeMap::new(),
            running: Vec::new(),
            history: Vec::new(),
            suspects: Vec::new(),
            fallbacks: Vec::new(),
            to_prove: Vec::new(),
            guilty: BTreeSet::new(),
            accused: BTreeSet::new(),
            curve,
            crew: BTreeMap::new(),
            slow: BTreeMap::new(),
            lent: BTreeSet::new(),
            ledger: super::quotas::Ledger::default(),
            sliced: false,
            next: 1,
        }
    }

    pub(super) fn worker_up(&mut self, worker: u32) {
        self.worker_on(worker, MODEL, DEVICE, Grid::Exact);
    }

    pub(super) fn worker_on(&mut self, worker: u32, model: ModelId, device: DeviceId, grid: Grid) {
        let worker = WorkerId(worker);
        self.crew.insert(worker, (model, device, grid));
        self.sched.handle_worker(worker, WorkerState::Up { model, device, grid }, self.now);
        self.sched.handle_worker(worker, WorkerState::Ready, self.now);
    }

    /// How long a batch takes where it was sent.
    fn time(&self, batch: &Dispatch) -> Duration {
        let device = |batch: &Dispatch| self.crew.get(&batch.worker).map(|(_, device, _)| *device);
        let beside = self.running.iter().filter(|(b, _)| b.batch < batch.batch && device(b) == device(batch)).count();
        let sliced = if self.sliced { 1.0 + beside as f64 } else { 1.0 };
        let slow = self.crew.get(&batch.worker).and_then(|(_, device, _)| self.slow.get(device)).unwrap_or(&1.0);
        Duration::from_nanos(((self.curve)(batch.rows, batch.padded_len) * slow * sliced * 1e6) as u64)
    }

    /// One untenanted single-row request.
    pub(super) fn arrive(&mut self, len: u32) -> RequestId {
        self.request("", Priority(0), None, &[row(len)]).expect("accepted")
    }

    pub(super) fn request(
        &mut self,
        tenant: &str,
        priority: Priority,
        deadline: Option<Duration>,
        items: &[Item],
    ) -> Result<RequestId, Reject> {
        self.request_of(MODEL, tenant, priority, deadline, items)
    }

    pub(super) fn request_of(
        &mut self,
        model: ModelId,
        tenant: &str,
        priority: Priority,
        deadline: Option<Duration>,
        items: &[Item],
    ) -> Result<RequestId, Reject> {
        let request = RequestId(self.next);
        self.next += 1;
        let tenant: Arc<str> = tenant.into();
        let deadline = deadline.map(|d| self.now + d);
        let arrival = Arrival { request, model, tenant: &tenant, priority, deadline, items };
        self.sched.handle_arrival(&arrival, self.now)?;
        self.ledger.accept(&self.sched, &arrival, self.now);
        let caller = Caller {
            model,
            tenant,
            arrived: self.now,
            deadline,
            priority,
            items: items.to_vec(),
            answered: BTreeSet::new(),
            fate: Fate::Open,
            left: None,
        };
        self.callers.insert(request, caller);
        super::quotas::on_accepted(self, request);
        Ok(request)
    }

    pub(super) fn cancel(&mut self, request: RequestId) {
        self.sched.handle_cancel(request, self.now);
        if let Some(caller) = self.callers.get_mut(&request)
            && caller.fate == Fate::Open
        {
            (caller.fate, caller.left) = (Fate::Cancelled, Some(self.now));
        }
    }

    /// Drains outputs, checking every invariant on the way; answers the batches dispatched.
    pub(super) fn poll(&mut self) -> Vec<Dispatch> {
        let mut dispatched = Vec::new();
        while let Some(output) = self.sched.poll_output() {
            match output {
                Output::Dispatch(d) => {
                    super::invariants::on_dispatch(self, &d);
                    let took = self.time(&d);
                    self.running.push((d.clone(), self.now + took));
                    self.history.push(d.clone());
                    dispatched.push(d);
                }
                Output::Fail { request, reason } => {
                    let caller = self.callers.get_mut(&request).expect("only accepted requests fail");
                    assert_eq!(caller.fate, Fate::Open, "a request leaves exactly once: {request}");
                    (caller.fate, caller.left) = (Fate::Failed(reason), Some(self.now));
                }
                Output::Fallback { policy, fault } => self.fallbacks.push((policy.name.to_string(), fault)),
                Output::Suspect { worker } => {
                    self.suspects.push(worker);
                    self.to_prove.push(worker);
                }
            }
        }
        super::invariants::at_rest(self);
        dispatched
    }

    /// Ends a running batch: as it deserves, or as told.
    pub(super) fn end(&mut self, index: usize, forced: Option<BatchOutcome>) {
        let (batch, _) = self.running.remove(index);
        let failed = batch.items.iter().any(|(r, _)| self.guilty.contains(r));
        let outcome = forced.unwrap_or(if failed { BatchOutcome::Failed } else { BatchOutcome::Ok });
        let compute = self.time(&batch);
        self.sched.handle_batch_done(&BatchReport { batch: batch.batch, reused: 0, compute, outcome }, self.now);
        // What expired by now has failed, though its answer is at hand.
        self.poll();
        if outcome == BatchOutcome::Ok {
            self.answer(&batch);
        }
        if outcome != BatchOutcome::DeviceLost {
            self.sched.handle_worker(batch.worker, WorkerState::Ready, self.now);
        }
        for worker in std::mem::take(&mut self.to_prove) {
            self.poll();
            assert!(self.running.iter().all(|(b, _)| b.worker != worker), "a suspect worker runs nothing");
            self.sched.handle_worker(worker, WorkerState::Proved, self.now);
        }
    }

    fn answer(&mut self, batch: &Dispatch) {
        for (request, index) in &batch.items {
            let caller = self.callers.get_mut(request).expect("only accepted requests run");
            assert!(caller.answered.insert(*index), "no item is ever answered twice: {request}/{index}");
            if caller.answered.len() == caller.items.len() && caller.fate == Fate::Open {
                (caller.fate, caller.left) = (Fate::Answered, Some(self.now));
            }
        }
    }

    /// When the next batch ends or the timer is due.
    pub(super) fn next_event(&mut self) -> Option<Time> {
        let end = self.running.iter().map(|(_, t)| *t).min();
        [end, self.sched.poll_timeout()].into_iter().flatten().min()
    }

    /// Moves to the next batch end or timer, whichever is first; false if there is neither.
    pub(super) fn step(&mut self) -> bool {
        let end = (0..self.running.len()).min_by_key(|&i| (self.running[i].1, i));
        let timer = self.sched.poll_timeout();
        match (end, timer) {
            (Some(i), t) if t.is_none_or(|t| self.running[i].1 <= t) => {
                self.now = self.now.max(self.running[i].1);
                self.end(i, None);
            }
            (_, Some(t)) => {
                self.now = self.now.max(t);
                self.sched.handle_timeout(self.now);
            }
            (_, None) => return false,
        }
        self.poll();
        true
    }

    /// Steps until nothing is left to happen.
    pub(super) fn settle(&mut self) {
        self.poll();
        for _ in 0..100_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the world never comes to rest");
    }

    pub(super) fn fate(&self, request: RequestId) -> Fate {
        self.callers[&request].fate
    }

    /// Sizes of all batches so far, in order.
    pub(super) fn sizes(&self) -> Vec<u32> {
        self.history.iter().map(|d| d.rows).collect()
    }
}
