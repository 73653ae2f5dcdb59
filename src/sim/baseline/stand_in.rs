//! The server that stands in the scheduler's place: keeps lines and workers, and does what the rule says.
//!
//! One line a model and class, the oldest first; the free worker on the device where fewest run. Knows costs as the
//! scheduler learns them.

use super::line::{Line, Waiting};
use super::regression::{LATENCY, Regression};
use super::rule::{Scene, Step};
use super::{Baseline, Rule};
use crate::policy::PolicySet;
use crate::sched::{Arrival, CostModel, FailReason, Measured, ModelLimits, Reject};
use crate::sim::server::{Action, Batch, Server, Station};
use crate::types::{BatchId, DeviceId, ModelId, Time, WorkerId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub(super) struct StandIn {
    baseline: Baseline,
    goals: Arc<PolicySet>,
    models: BTreeMap<ModelId, Model>,
    workers: Vec<Worker>,
    running: Vec<Running>,
    actions: VecDeque<Action>,
    now: Time,
    /// When what is held is due.
    wake: Time,
    next: u64,
}

struct Model {
    limits: ModelLimits,
    lines: Vec<Line>,
    costs: BTreeMap<DeviceId, CostModel>,
    regression: Regression,
}

struct Worker {
    id: WorkerId,
    at: Station,
    ready: bool,
}

/// A batch that runs.
struct Running {
    id: BatchId,
    device: DeviceId,
    /// Busy workers of the device when it began, its own included.
    busy: u32,
    items: usize,
    /// How long the oldest of its items had waited.
    waited: Duration,
}

impl StandIn {
    pub(super) fn new(baseline: Baseline, goals: Arc<PolicySet>) -> Self {
        Self {
            baseline,
            goals,
            models: BTreeMap::new(),
            workers: Vec::new(),
            running: Vec::new(),
            actions: VecDeque::new(),
            now: Time::default(),
            wake: Time::NEVER,
            next: 0,
        }
    }

    /// Gives every free worker what the rule has for it.
    fn decide(&mut self) {
        self.wake = Time::NEVER;
        for model in self.models.keys().copied().collect::<Vec<_>>() {
            while let Some(worker) = self.free(model) {
                let Some((batch, busy)) = self.form(model, self.workers[worker].at) else { break };
                self.start(worker, &batch, busy);
            }
        }
    }

    fn busy_on(&self, device: DeviceId) -> usize {
        self.running.iter().filter(|run| run.device == device).count()
    }

    /// The place of the model's worker that goes next.
    fn free(&self, model: ModelId) -> Option<usize> {
        let ready = (0..self.workers.len()).filter(|&w| self.workers[w].ready && self.workers[w].at.model == model);
        ready.min_by_key(|&w| self.busy_on(self.workers[w].at.device))
    }

    /// The next batch of a model, and how many workers are busy with it; without one, notes when to look again.
    fn form(&mut self, id: ModelId, at: Station) -> Option<(Vec<Waiting>, u32)> {
        let busy = self.busy_on(at.device) as u32 + 1;
        let Self { models, actions, baseline, now, wake, .. } = self;
        let model = models.get_mut(&id)?;
        let rule = if model.limits.batchable { baseline.rule } else { Rule::None };
        loop {
            let Model { lines, costs, regression, .. } = &mut *model;
            let cost = costs.entry(at.device).or_default();
            let scene = Scene { now: *now, cost, grid: at.grid, busy, regression };
            let mut turns: Vec<usize> = (0..lines.len()).filter(|&l| lines[l].since().is_some()).collect();
            turns.sort_by_key(|&l| lines[l].since());
            let late = turns.into_iter().find_map(|turn| match rule.step(&mut lines[turn], &scene) {
                Step::Hold(until) => {
                    *wake = until.min(*wake);
                    None
                }
                Step::Refuse => Some(Err(lines[turn].take(1).remove(0))),
                Step::Run(mut batch) => match scene.late(&batch).filter(|_| baseline.drops) {
                    None => Some(Ok(batch)),
                    Some(late) => {
                        let late = batch.remove(late);
                        lines[turn].put_back(batch, matches!(rule, Rule::Window { .. }));
                        Some(Err(late))
                    }
                },
            });
            match late? {
                Ok(batch) => return Some((batch, busy)),
                Err(late) => {
                    if late.part {
                        lines.iter_mut().for_each(|line| line.forget(late.request));
                    }
                    // Nobody is told when to come back: the stand-ins do not look that far.
                    let reason = FailReason::PredictedMiss { drain: Duration::ZERO };
                    actions.push_back(Action::Fail { request: late.request, reason });
                }
            }
        }
    }

    fn start(&mut self, worker: usize, batch: &[Waiting], busy: u32) {
        let worker = &mut self.workers[worker];
        worker.ready = false;
        self.next += 1;
        let id = BatchId(self.next);
        let oldest = batch.iter().map(|w| w.arrived).min().unwrap_or(self.now);
        let waited = self.now.since(oldest);
        self.running.push(Running { id, device: worker.at.device, busy, items: batch.len(), waited });
        self.actions.push_back(Action::Run(Batch {
            id,
            worker: worker.id,
            items: batch.iter().map(|w| (w.request, w.index)).collect(),
            rows: batch.iter().map(|w| w.item.rows).sum(),
            padded_len: worker.at.grid.padded(batch.iter().map(|w| w.item.len).max().unwrap_or(1)),
            tokens: batch.iter().map(|w| u64::from(w.item.rows) * u64::from(w.item.len)).sum(),
        }));
    }

    /// When a request's answer is late.
    fn due(&self, model: &ModelLimits, arrival: &Arrival<'_>) -> Time {
        let goal = self.goals.policies()[self.goals.lookup(&model.name, arrival.tenant)].slo.target;
        let by_goal = goal.map_or(Time::NEVER, |goal| self.now + goal);
        by_goal.min(arrival.deadline.unwrap_or(Time::NEVER))
    }
}

impl Server for StandIn {
    fn handle_model(&mut self, model: ModelId, limits: &ModelLimits, _: Time) {
        let goal = self.goals.policies()[self.goals.lookup(&limits.name, "")].slo.target;
        let regression = Regression::new(goal.unwrap_or(LATENCY));
        let fresh = Model { limits: limits.clone(), lines: Vec::new(), costs: BTreeMap::new(), regression };
        self.models.insert(model, fresh);
    }

    fn handle_worker(&mut self, worker: WorkerId, at: Station, _: Time) {
        self.workers.push(Worker { id: worker, at, ready: true });
    }

    fn handle_measured(&mut self, worker: WorkerId, run: &Measured, _: Time) {
        let Some(worker) = self.workers.iter().find(|w| w.id == worker) else { return };
        if let Some(model) = self.models.get_mut(&worker.at.model) {
            model.costs.entry(worker.at.device).or_default().observe(run.rows, run.len, run.busy, run.compute);
        }
    }

    fn handle_arrival(&mut self, arrival: &Arrival<'_>, now: Time) -> Result<(), Reject> {
        self.now = now;
        let limits = &self.models.get(&arrival.model).ok_or(Reject::UnknownModel)?.limits;
        let due = self.due(limits, arrival);
        let Some(Model { lines, .. }) = self.models.get_mut(&arrival.model) else { return Err(Reject::UnknownModel) };
        for (index, &item) in (0..).zip(arrival.items) {
            let known = lines.iter().position(|line| line.class == item.class);
            let at = known.unwrap_or_else(|| {
                lines.push(Line::new(item.class));
                lines.len() - 1
            });
            let (request, part) = (arrival.request, arrival.items.len() > 1);
            lines[at].push(Waiting { request, index, item, arrived: now, due, part });
        }
        Ok(())
    }

    fn handle_done(&mut self, batch: &Batch, compute: Duration, now: Time) {
        self.now = now;
        let Some(ran) = self.running.iter().position(|run| run.id == batch.id) else { return };
        let ran = self.running.swap_remove(ran);
        let Some(worker) = self.workers.iter_mut().find(|w| w.id == batch.worker) else { return };
        worker.ready = true;
        if let Some(model) = self.models.get_mut(&worker.at.model) {
            let cost = model.costs.entry(ran.device).or_default();
            cost.observe(batch.rows, batch.padded_len, ran.busy, compute);
            model.regression.ran(ran.items, compute, ran.waited, now);
        }
    }

    fn handle_timeout(&mut self, now: Time) {
        self.now = now;
    }

    fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() {
            self.decide();
        }
        self.actions.pop_front()
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        (self.wake < Time::NEVER).then_some(self.wake)
    }
}
