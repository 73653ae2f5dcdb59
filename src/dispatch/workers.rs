//! The driver's workers: starting them, hearing of them, starting them again.

use super::Control;
use super::driver::Driver;
use crate::clock;
use crate::exec::{Sample, WorkerEvent, WorkerHandle};
use crate::metrics::DeviceMetrics;
use crate::model::{Model, ModelState};
use crate::sched::{Grid, Measured, ModelLimits, WorkerState};
use crate::types::{BatchId, DeviceId, WorkerId};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long a lost worker stays away before it is started again; doubles with each loss in a row.
const RESTART: Duration = Duration::from_secs(1);
/// The longest such stay.
const LONGEST_RESTART: Duration = Duration::from_secs(60);

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
    /// Starts it.
    pub start: Start,
}

pub(super) struct WorkerSlot {
    pub(super) plan: WorkerPlan,
    pub(super) handle: Option<WorkerHandle>,
    pub(super) metrics: DeviceMetrics,
    pub(super) ready: bool,
    pub(super) losses: u32,
}

impl Driver {
    pub(super) fn add_worker(&mut self, plan: WorkerPlan) -> io::Result<()> {
        let model = Arc::clone(&plan.model);
        if !self.models.contains_key(&model.id) {
            let limits = ModelLimits {
                name: Arc::clone(&model.name),
                batchable: model.spec.batchable,
                // Stepped edges are for devices where every new shape costs; this one is a CPU.
                grid: Grid::Exact,
            };
            self.sched.handle_model(model.id, Some(limits), clock::now());
            let metrics = self.metrics.model(&model.name);
            self.models.insert(model.id, metrics);
        }
        let metrics = self.metrics.model(&model.name).device(&plan.device_name);
        let id = plan.id;
        self.workers.insert(id, WorkerSlot { plan, handle: None, metrics, ready: false, losses: 0 });
        self.start_worker(id)
    }

    pub(super) fn start_worker(&mut self, id: WorkerId) -> io::Result<()> {
        let Some(slot) = self.workers.get_mut(&id) else { return Ok(()) };
        let tell = self.tell.clone();
        slot.handle = Some((slot.plan.start)(Box::new(move |event| drop(tell.send(Control::Worker(event)))))?);
        let state = WorkerState::Up { model: slot.plan.model.id, device: slot.plan.device };
        self.sched.handle_worker(id, state, clock::now());
        Ok(())
    }

    pub(super) fn worker_ready(&mut self, id: WorkerId, samples: &[Sample]) {
        let now = clock::now();
        let Some(slot) = self.workers.get_mut(&id) else { return };
        (slot.ready, slot.losses) = (true, 0);
        for s in samples {
            let measured = Measured { rows: s.rows, len: s.len, busy: s.busy, compute: s.compute };
            self.sched.handle_measured(id, &measured, now);
        }
        self.sched.handle_worker(id, WorkerState::Ready, now);
        let model = Arc::clone(&slot.plan.model);
        if self.workers.values().all(|w| w.plan.model.id != model.id || w.ready || w.losses > 0) {
            tracing::info!(model = %model.name, "ready");
            model.set_state(ModelState::Ready);
        }
    }

    pub(super) fn worker_lost(&mut self, id: WorkerId, message: &str) {
        let Some(slot) = self.workers.get_mut(&id) else { return };
        (slot.ready, slot.handle) = (false, None);
        let after = (RESTART * 2_u32.saturating_pow(slot.losses.min(16))).min(LONGEST_RESTART);
        slot.losses += 1;
        let model = Arc::clone(&slot.plan.model);
        tracing::error!(worker = %id, model = %model.name, restart_in = ?after, "worker lost: {message}");
        let gone: Vec<BatchId> =
            self.running.iter().filter(|(_, r)| r.dispatch.worker == id).map(|(batch, _)| *batch).collect();
        for batch in gone {
            self.running.remove(&batch);
            slot.metrics.batches_in_flight.dec();
        }
        self.sched.handle_worker(id, WorkerState::Lost, clock::now());
        if !self.workers.values().any(|w| w.plan.model.id == model.id && w.ready) {
            model.set_state(ModelState::Failed);
        }
        let tell = self.tell.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            drop(tell.send(Control::Restart(id)));
        });
    }

    /// Starts a worker anew that failed on everything of late.
    pub(super) fn renew(&mut self, worker: WorkerId) {
        self.worker_lost(worker, "it failed on every row of a batch");
    }
}
