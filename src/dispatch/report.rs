//! A picture of the driver at one moment, for whoever asks.
//!
//! Decides how much of it is shown. Does not know in what form.

use super::Driver;
use super::workers::WorkerSlot;
use crate::clock;
use crate::sched::CostModel;
use crate::types::{DeviceId, ModelId, WorkerId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use crate::sched::{DeviceCondition, Point, Queue};

/// Most measured shapes shown of a device.
const POINTS: usize = 24;
/// Most measured shapes of a curve.
const CURVE_POINTS: usize = 64;

/// The driver at one moment.
#[derive(Debug, Clone)]
pub struct Report {
    /// Rows waiting or running.
    pub inflight_rows: u64,
    /// By model.
    pub models: BTreeMap<ModelId, ModelReport>,
    /// By number; without those of unloaded models.
    pub workers: Vec<WorkerReport>,
}

/// One model at that moment.
#[derive(Debug, Clone)]
pub struct ModelReport {
    /// What waits.
    pub queue: Queue,
    /// How long the request that waits longest has waited.
    pub oldest: Option<Duration>,
    /// Rows of each batch that runs.
    pub running: Vec<u32>,
    /// What was learned, by device.
    pub costs: Vec<CostReport>,
}

/// One worker at that moment.
#[derive(Debug, Clone)]
pub struct WorkerReport {
    /// Its number.
    pub id: WorkerId,
    /// The model whose session it owns.
    pub model: ModelId,
    /// Where it runs.
    pub device: Arc<str>,
    /// What it does.
    pub state: WorkerDoes,
    /// Time spent on batches so far, the one that runs included.
    pub busy: Duration,
    /// How its device is.
    pub condition: DeviceCondition,
}

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerDoes {
    /// Makes or warms its session.
    Starting,
    /// Waits for a batch.
    Waiting,
    /// Runs one.
    Running,
    /// It is gone, and will be started again.
    Lost,
}

/// What was learned of a model's cost on one device.
#[derive(Debug, Clone)]
pub struct CostReport {
    /// The device's name.
    pub device: Arc<str>,
    /// Runs it was learned from.
    pub observations: u64,
    /// Recent mean of |predicted − real| ÷ real; `None` before there was anything to predict from.
    pub error_ratio: Option<f64>,
    /// Median of |predicted − real| ÷ real over the last 128 runs; `None` before there are 32.
    pub median_error: Option<f64>,
    /// Share of recent runs that took no longer than predicted × `margin`.
    pub coverage_ratio: Option<f64>,
    /// The factor that 95 of 100 runs are expected to stay under.
    pub margin: f64,
    /// Whether part of it was learned in an earlier life of the program.
    pub restored: bool,
    /// Busy workers that the coefficients and points are for: the usual number.
    pub busy: u32,
    /// Nanoseconds a run, a token, a squared token.
    pub coefficients: [f64; 3],
    /// Measured shapes beside what is predicted of them.
    pub points: Vec<Point>,
    /// All that is known, by the number of busy workers.
    pub curves: Vec<CurveReport>,
}

/// What was learned of a model's cost on one device, under one load.
#[derive(Debug, Clone)]
pub struct CurveReport {
    /// Workers of the device that run, the measured one included.
    pub busy: u32,
    /// Nanoseconds a run, a token, a squared token.
    pub coefficients: [f64; 3],
    /// The shapes measured most often.
    pub points: Vec<Point>,
}

impl Driver {
    /// Looks at everything, once.
    pub(super) fn report(&self) -> Report {
        let mut models: BTreeMap<_, _> = self.models.keys().map(|id| (*id, self.model_report(*id))).collect();
        for ran in self.running.values() {
            if let Some(model) = models.get_mut(&ran.dispatch.model) {
                model.running.push(ran.dispatch.rows);
            }
        }
        self.find_oldest(&mut models);
        let there = self.workers.iter().filter(|(_, slot)| !slot.is_dismissed());
        let mut workers: Vec<_> = there.map(|(id, slot)| self.worker_report(*id, slot)).collect();
        workers.sort_by_key(|w| w.id);
        let waiting: u64 = models.values().map(|model| u64::from(model.queue.rows)).sum();
        let inflight_rows = waiting + self.rows_held();
        self.join_twins(&mut models);
        Report { inflight_rows, models, workers }
    }

    /// Notes of each model with a queue how long its first request has waited; the search ends with the last
    /// of these models, so that it passes by little but what runs.
    fn find_oldest(&self, models: &mut BTreeMap<ModelId, ModelReport>) {
        let now = clock::now();
        let mut without = models.values().filter(|model| model.queue.rows > 0).count();
        for pending in self.pending.values() {
            if without == 0 {
                break;
            }
            let model = models.get_mut(&pending.request.model.id).filter(|_| pending.is_waiting());
            if let Some(model) = model.filter(|model| model.oldest.is_none()) {
                model.oldest = Some(now.since(pending.arrived));
                without -= usize::from(model.queue.rows > 0);
            }
        }
    }

    /// Has two models of one name show what waits and runs of both: callers know one.
    fn join_twins(&self, models: &mut BTreeMap<ModelId, ModelReport>) {
        let apart = models.clone();
        for (id, model) in models {
            let Some(twin) = self.changes.twin(*id).and_then(|twin| apart.get(&twin)) else { continue };
            model.queue.rows += twin.queue.rows;
            model.queue.bytes += twin.queue.bytes;
            model.queue.drain = model.queue.drain.max(twin.queue.drain);
            model.oldest = model.oldest.max(twin.oldest);
            model.running.extend(&twin.running);
        }
    }

    fn model_report(&self, id: ModelId) -> ModelReport {
        let costs = self.sched.costs(id).map(|(device, cost)| CostReport::of(self.device_name(device), cost));
        ModelReport { queue: self.sched.queue(id), oldest: None, running: Vec::new(), costs: costs.collect() }
    }

    fn worker_report(&self, id: WorkerId, slot: &WorkerSlot) -> WorkerReport {
        let ran = self.running.values().find(|ran| ran.dispatch.worker == id);
        let state = match &slot.handle {
            None => WorkerDoes::Lost,
            Some(_) if !slot.is_ready() => WorkerDoes::Starting,
            Some(_) if ran.is_some() => WorkerDoes::Running,
            Some(_) => WorkerDoes::Waiting,
        };
        let busy = slot.busy + ran.map_or(Duration::ZERO, |ran| clock::now().since(ran.started));
        let (model, device) = (slot.plan.model.id, Arc::clone(&slot.device));
        WorkerReport { id, model, device, state, busy, condition: self.sched.condition(slot.plan.device) }
    }

    pub(super) fn device_name(&self, id: DeviceId) -> Arc<str> {
        let slot = self.workers.values().find(|slot| slot.plan.device == id);
        slot.map_or_else(|| "unknown".into(), |slot| Arc::clone(&slot.device))
    }
}

/// The mean of what is known of several devices, each weighing what it was learned from; `None` of nothing.
pub(super) fn mean(devices: impl Iterator<Item = (Option<f64>, u64)>) -> Option<f64> {
    let known = devices.filter_map(|(value, observations)| Some((value?, observations as f64)));
    let (sum, weight) = known.fold((0.0, 0.0), |(sum, all), (value, weight)| (sum + value * weight, all + weight));
    (weight > 0.0).then(|| sum / weight)
}

impl ModelReport {
    /// Recent mean of |predicted − real| ÷ real over all devices; `None` before any was predicted.
    #[must_use]
    pub fn error_ratio(&self) -> Option<f64> {
        mean(self.costs.iter().map(|c| (c.error_ratio, c.observations)))
    }

    /// Median of |predicted − real| ÷ real over recent runs, the mean of all devices; `None` before there is one.
    #[must_use]
    pub fn median_error(&self) -> Option<f64> {
        mean(self.costs.iter().map(|c| (c.median_error, c.observations)))
    }

    /// The margin, the mean of all devices.
    #[must_use]
    pub fn margin(&self) -> Option<f64> {
        mean(self.costs.iter().map(|c| (Some(c.margin), c.observations)))
    }

    /// Share of recent runs that took no longer than predicted × margin, over all devices.
    #[must_use]
    pub fn coverage_ratio(&self) -> Option<f64> {
        mean(self.costs.iter().map(|c| (c.coverage_ratio, c.observations)))
    }
}

impl CostReport {
    fn of(device: Arc<str>, cost: &CostModel) -> Self {
        let busy = cost.usual_busy();
        Self {
            device,
            observations: cost.observations(),
            // The first run of all was not predicted.
            error_ratio: (cost.observations() > 1).then(|| cost.error_ratio()),
            median_error: cost.median_error(),
            coverage_ratio: cost.coverage_ratio(),
            margin: cost.margin(),
            restored: cost.restored(),
            busy,
            coefficients: cost.coefficients(busy),
            points: cost.points(busy, POINTS),
            curves: cost.known_busy().map(|busy| CurveReport::of(cost, busy)).collect(),
        }
    }
}

impl CurveReport {
    fn of(cost: &CostModel, busy: u32) -> Self {
        Self { busy, coefficients: cost.coefficients(busy), points: cost.points(busy, CURVE_POINTS) }
    }
}
