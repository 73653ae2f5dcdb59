//! What the scheduler says of itself, for metrics, the gate and shutdown.

use super::CostModel;
use super::model::ModelState;
use super::scheduler::Scheduler;
use crate::policy::Policy;
use crate::types::{DeviceId, ModelId};
use std::time::Duration;

impl Scheduler {
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
    pub fn costs(&self, model: ModelId) -> &[(DeviceId, CostModel)] {
        self.models.get(&model).map_or(&[], |m| m.costs.as_slice())
    }

    /// Predicted time to serve all that waits for a model.
    pub(super) fn drain_time(&self, id: ModelId, model: &ModelState) -> Duration {
        let workers = self.workers.iter().filter(|w| w.model == id).count().max(1) as u64;
        Duration::from_nanos(model.backlog() / workers)
    }
}
