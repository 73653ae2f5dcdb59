//! The driver's workers: starting them, hearing of them, starting them again.

use super::Control;
use super::decisions::Outcome;
use super::driver::{Driver, InFlight};
use super::here::Here;
use crate::clock;
use crate::exec::{JobDone, Sample, WorkerEvent, WorkerHandle};
use crate::metrics::DeviceMetrics;
use crate::model::{Mode, Model, ModelState};
use crate::sched::{DeviceCondition, Grid, Measured, ModelLimits, WorkerState};
use crate::types::{BatchId, Device, DeviceId, WorkerId};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long a lost worker stays away before it is started again; doubles with each loss in a row.
const RESTART: Duration = Duration::from_secs(1);
/// The longest such stay.
const LONGEST_RESTART: Duration = Duration::from_secs(60);

/// Times in a row that a worker's device is gone, after which this process is not expected to reach it again:
/// with the stays between them, half a minute after the first.
const GONE: u32 = 6;

/// Starts a worker; called again when it was lost. The function it is given tells the driver.
pub type Start = Box<dyn Fn(Box<dyn Fn(WorkerEvent) + Send>) -> io::Result<WorkerHandle> + Send>;

/// A worker the driver is to run.
pub struct WorkerPlan {
    /// Its number.
    pub id: WorkerId,
    /// The model whose session it owns.
    pub model: Arc<Model>,
    /// Where it runs.
    pub device: DeviceId,
    /// The device's name in metrics.
    pub device_name: String,
    /// Whether the driver may run its batches on its own thread, where they are short: what they take follows from their
    /// shapes, since nothing goes on in the driver until they end.
    pub here: bool,
    /// Starts it.
    pub start: Start,
}

/// A worker as the driver knows it.
pub(super) struct WorkerSlot {
    pub(super) plan: WorkerPlan,
    /// `None` while it is lost.
    pub(super) handle: Option<WorkerHandle>,
    pub(super) metrics: DeviceMetrics,
    /// The device's name.
    pub(super) device: Arc<str>,
    /// Time spent on batches that ended.
    pub(super) busy: Duration,
    pub(super) here: Here,
    ready: bool,
    /// Times it was lost since it was last ready.
    losses: u32,
    /// Of the last of these, how many its device was to blame for.
    device_losses: u32,
    /// Counts its starts: what an earlier start still says is not believed.
    start: u64,
}

impl WorkerSlot {
    /// Whether its present start made a session that answers.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether it is on a GPU that this process lost, and will not get back: an error that CUDA keeps fails
    /// every later call of the process.
    fn is_beyond_help(&self) -> bool {
        let on_gpu = matches!(self.device.parse(), Ok(Device::Cuda(_)));
        on_gpu && !self.ready && self.device_losses >= GONE
    }

    /// Whether it is away because nobody needs it.
    pub(super) fn is_dismissed(&self) -> bool {
        self.handle.is_none() && self.plan.model.state() == ModelState::Unloaded
    }

    /// Forgets its present start, as if it had never been; hands out what is left of it.
    pub(super) fn dismiss(&mut self) -> Option<WorkerHandle> {
        (self.ready, self.losses, self.device_losses) = (false, 0, 0);
        self.handle.take()
    }
}

impl Driver {
    pub(super) fn add_worker(&mut self, plan: WorkerPlan) -> io::Result<()> {
        let model = Arc::clone(&plan.model);
        if !self.models.contains_key(&model.id) {
            let mode = model.batching().mode;
            let limits = ModelLimits { name: Arc::clone(&model.name), batchable: mode == Mode::Stacked };
            self.sched.handle_model(model.id, Some(limits), clock::now());
            self.models.insert(model.id, self.metrics.model(&model.name));
        }
        let metrics = self.metrics.model(&model.name).device(&plan.device_name);
        self.metrics.device_condition(&plan.device_name, self.sched.condition(plan.device).flags());
        let (id, device) = (plan.id, Arc::from(plan.device_name.as_str()));
        let (busy, here, ready, losses, device_losses, start) = Default::default();
        let slot = WorkerSlot { plan, handle: None, metrics, device, busy, here, ready, losses, device_losses, start };
        self.workers.insert(id, slot);
        self.start_worker(id)
    }

    /// Starts a worker that is not there, if its model is to be served.
    pub(super) fn start_worker(&mut self, id: WorkerId) -> io::Result<()> {
        let wanted = |w: &&mut WorkerSlot| w.handle.is_none() && w.plan.model.state() != ModelState::Unloaded;
        let Some(slot) = self.workers.get_mut(&id).filter(wanted) else { return Ok(()) };
        slot.start += 1;
        let (start, tell) = (slot.start, self.tell.clone());
        let events = move |event| drop(tell.send(Control::Worker { worker: id, start, event }));
        slot.handle = Some((slot.plan.start)(Box::new(events))?);
        let state = WorkerState::Up {
            model: slot.plan.model.id,
            device: slot.plan.device,
            grid: slot.device.parse().map_or(Grid::Exact, Grid::of),
        };
        self.sched.handle_worker(id, state, clock::now());
        Ok(())
    }

    /// Takes note of what a worker's present start says; answers a batch that ended.
    pub(super) fn heard(&mut self, id: WorkerId, start: u64, event: WorkerEvent) -> Option<(JobDone, InFlight)> {
        if self.workers.get(&id).is_none_or(|w| w.start != start || w.handle.is_none()) {
            return None;
        }
        match event {
            WorkerEvent::Ready { samples, too_large, .. } => self.worker_ready(id, &samples, &too_large),
            WorkerEvent::Done(job) => return self.batch_done(job),
            WorkerEvent::Probed { failure, .. } => self.probed(id, failure.as_deref()),
            WorkerEvent::Lost { message, device_gone, .. } => self.worker_lost(id, &message, device_gone),
        }
        None
    }

    /// A made-up row was run: as a canary, or because the worker is suspect.
    fn probed(&mut self, id: WorkerId, failure: Option<&str>) {
        match failure {
            _ if self.canary_ended(id, failure) => {}
            None => self.sched.handle_worker(id, WorkerState::Proved, clock::now()),
            Some(words) => self.worker_lost(id, &format!("it fails even on a made-up row: {words}"), false),
        }
    }

    fn worker_ready(&mut self, id: WorkerId, samples: &[Sample], too_large: &[(u32, u32)]) {
        let now = clock::now();
        let Some(slot) = self.workers.get_mut(&id) else { return };
        (slot.ready, slot.losses, slot.device_losses) = (true, 0, 0);
        for s in samples {
            let measured = Measured { rows: s.rows, len: s.len, busy: s.busy, compute: s.compute };
            self.sched.handle_measured(id, &measured, now);
        }
        for (rows, len) in too_large {
            self.sched.handle_too_large(id, *rows, *len, now);
        }
        self.sched.handle_worker(id, WorkerState::Ready, now);
        let model = Arc::clone(&slot.plan.model);
        if !samples.is_empty() {
            self.made_up_ran(model.id);
        }
        self.judge(&model);
    }

    /// Takes a worker out of service, whose device may be to blame, and has it started again after a while.
    pub(super) fn worker_lost(&mut self, id: WorkerId, message: &str, device_gone: bool) {
        self.canary_ended(id, Some(message));
        let Some(slot) = self.workers.get_mut(&id) else { return };
        slot.ready = false;
        if let Some(handle) = slot.handle.take() {
            // It may be warming up still, beside the start that follows.
            handle.retire();
        }
        let after = (RESTART * 2_u32.saturating_pow(slot.losses.min(16))).min(LONGEST_RESTART);
        slot.losses += 1;
        slot.device_losses = if device_gone { slot.device_losses + 1 } else { 0 };
        let model = Arc::clone(&slot.plan.model);
        tracing::error!(worker = %id, model = %model.name, restart_in = ?after, "worker lost: {message}");
        self.changes.lost(model.id, message);
        let gone: Vec<BatchId> =
            self.running.iter().filter(|(_, r)| r.dispatch.worker == id).map(|(batch, _)| *batch).collect();
        gone.iter().for_each(|_| slot.metrics.batch_ended(Duration::ZERO));
        for batch in gone {
            if let Some(mut ran) = self.running.remove(&batch) {
                self.record(&mut ran, None, Outcome::WorkerLost);
            }
        }
        self.sched.handle_worker(id, WorkerState::Lost, clock::now());
        self.judge(&model);
        let tell = self.tell.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            drop(tell.send(Control::Restart(id)));
        });
    }

    /// Takes note of how a device is.
    pub(super) fn device_is(&mut self, device: DeviceId, condition: DeviceCondition) {
        if condition != self.sched.condition(device) {
            let name = self.device_name(device);
            let DeviceCondition { memory_scarce, throttled } = condition;
            tracing::warn!(device = %name, memory_scarce, throttled, "device condition");
            self.metrics.device_condition(&name, condition.flags());
        }
        self.sched.handle_device(device, condition, clock::now());
    }

    /// Takes every worker of a device out of service.
    pub(super) fn device_lost(&mut self, device: DeviceId, message: &str) {
        let lost = self.workers.iter().filter(|(_, w)| w.plan.device == device && w.handle.is_some());
        let mut lost: Vec<WorkerId> = lost.map(|(id, _)| *id).collect();
        lost.sort_unstable();
        for id in lost {
            self.worker_lost(id, message, true);
        }
    }

    /// Sets the state of a model that is to be served by its workers': ready once every first start has ended one way or the other.
    pub(super) fn judge(&self, model: &Model) {
        if model.state() == ModelState::Unloaded {
            return;
        }
        let mut own = self.workers.values().filter(|w| w.plan.model.id == model.id);
        let starting = own.clone().any(|w| !w.ready && w.losses == 0);
        let state = match own.any(|w| w.ready) {
            true if !starting => ModelState::Ready,
            false if !starting => ModelState::Failed,
            _ => ModelState::Loading,
        };
        if model.state() != state {
            tracing::info!(model = %model.name, ?state, "model");
            model.set_state(state);
            if state == ModelState::Ready {
                self.metrics.model(&model.name).batching(model.batching().mode.name());
            }
        }
        self.judge_help(model);
    }

    /// Sets whether a model is beyond help: each of its workers is. Nobody is told where nobody looks after health.
    fn judge_help(&self, model: &Model) {
        let mut own = self.workers.values().filter(|w| w.plan.model.id == model.id);
        let beyond_help = self.checks.is_some() && own.all(WorkerSlot::is_beyond_help);
        if !model.set_beyond_help(beyond_help) && beyond_help {
            tracing::error!(model = %model.name, "every GPU it ran on is lost to this process: liveness probes fail");
        }
    }

    /// Lets a worker prove itself by a made-up row.
    pub(super) fn probe(&self, worker: WorkerId) {
        if let Some(handle) = self.workers.get(&worker).and_then(|w| w.handle.as_ref()) {
            handle.probe();
        }
    }

    /// Cuts every warm-up short: nobody will need it.
    pub(super) fn retire_workers(&self) {
        self.workers.values().filter_map(|w| w.handle.as_ref()).for_each(WorkerHandle::retire);
    }
}
