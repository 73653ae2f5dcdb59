//! The workers and devices of all models: who comes, what their runs teach, what they are worth together.

use super::event::{Grid, Measured};
use super::model::{Home, Worker};
use super::scheduler::Scheduler;
use crate::types::{DeviceId, ModelId, WorkerId};

/// The shape that workers are compared by before any batch has run.
const FIRST_SHAPE: (u32, u32) = (8, 32);

impl Scheduler {
    /// Takes note of a worker that warms up; one of an unknown model is not known either.
    pub(super) fn welcome(&mut self, id: WorkerId, model: ModelId, device: DeviceId, grid: Grid) {
        self.workers.retain(|w| w.id != id);
        let Some(state) = self.models.get_mut(&model) else { return };
        self.workers.push(Worker { id, model, device, ready: false, suspect: false });
        self.workers.sort_by_key(|w| w.id);
        let condition = self.conditions.get(&device).copied().unwrap_or_default();
        let learned = state.on(device);
        learned.grid = grid;
        learned.set_condition(condition);
        let finer = grid == Grid::Exact && state.grid == Grid::Stepped;
        if finer {
            state.grid = grid;
        }
        self.appraise_all();
        if finer {
            self.reroute(model);
        }
    }

    /// Learns from a run that went well.
    pub(super) fn learn(&mut self, id: ModelId, device: DeviceId, run: &Measured) {
        let Some(model) = self.models.get_mut(&id) else { return };
        let learned = model.on(device);
        let before = learned.cost.version();
        learned.cost.observe(run.rows, run.len, run.busy, run.compute);
        learned.ran(run.rows, run.len);
        let changed = learned.cost.version() != before;
        if changed && model.learned.len() > 1 {
            self.appraise(id, (run.rows, run.len));
        }
    }

    /// Appraises every model anew: a device's workers have changed.
    pub(super) fn appraise_all(&mut self) {
        let ids: Vec<ModelId> = self.models.keys().copied().collect();
        for id in ids {
            self.appraise(id, FIRST_SHAPE);
        }
    }

    /// Finds the device that what waits for a model is predicted for, and what its workers are worth,
    /// compared by a batch of this shape.
    fn appraise(&mut self, id: ModelId, (rows, len): (u32, u32)) {
        let Self { models, workers, .. } = self;
        let Some(model) = models.get_mut(&id) else { return };
        let own = || workers.iter().filter(|w| w.model == id);
        let known = |w: &&Worker| model.learned.iter().any(|l| l.device == w.device && l.cost.known());
        let Some(first) = own().find(known).or_else(|| own().next()) else { return };
        let slot = model.learned.iter().position(|l| l.device == first.device).unwrap_or(0);
        let busy = |device| workers.iter().filter(|w| w.device == device).count() as u32;
        let time = |w: &Worker| {
            let learned = model.learned.iter().find(|l| l.device == w.device).filter(|l| l.cost.known());
            learned.map(|l| l.cost.predict(rows, l.padded(len), busy(w.device)))
        };
        let at_home = time(first);
        // A worker whose device was never measured is taken to be as good as the first.
        let worth = |w: &Worker| at_home.zip(time(w)).map_or(1.0, |(home, own)| home / own.max(1.0));
        model.home = Home { slot, busy: busy(first.device), worth: own().map(worth).sum() };
    }
}
