//! What the scheduler says of itself, for metrics, the gate and shutdown.

use super::CostModel;
use super::event::DeviceCondition;
use super::model::ModelState;
use super::scheduler::Scheduler;
use crate::policy::Policy;
use crate::types::{DeviceId, ModelId};
use std::time::Duration;

/// What waits for a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// Rows waiting.
    pub rows: u32,
    /// Payload bytes waiting.
    pub bytes: u64,
    /// Predicted time to serve all of it.
    pub drain: Duration,
}

impl Scheduler {
    /// Whether nothing waits and nothing runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.table.requests.is_empty() && self.running.is_empty()
    }

    /// Whether nothing of a model waits, to be run first or again.
    #[must_use]
    pub fn is_idle_for(&self, model: ModelId) -> bool {
        self.models.get(&model).is_none_or(|m| m.rows() == 0 && m.retries.is_empty())
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
        let full =
            |policy: &Policy| rows >= policy.queue.max_rows || bytes >= policy.queue.max_bytes.limit(model.largest);
        if self.policies.names_tenants() {
            self.policies.policies().iter().all(|p| full(p))
        } else {
            full(&self.policies.policies()[self.policies.lookup(&model.limits.name, "")])
        }
    }

    /// What waits for a model; nothing for an unknown one.
    #[must_use]
    pub fn queue(&self, model: ModelId) -> Queue {
        self.models.get(&model).map_or_else(Queue::default, |m| Queue {
            rows: m.rows(),
            bytes: m.bytes,
            drain: m.drain_time(),
        })
    }

    /// Rows that wait to be run again after their batch failed.
    #[must_use]
    pub fn rows_retrying(&self) -> u32 {
        let groups = self.models.values().flat_map(|m| &m.retries);
        groups.flat_map(|g| &g.items).map(|&slot| self.table.item(slot).rows).sum()
    }

    /// The learned costs of a model, by device.
    pub fn costs(&self, model: ModelId) -> impl Iterator<Item = (DeviceId, &CostModel)> {
        self.models.get(&model).into_iter().flat_map(|m| &m.learned).map(|l| (l.device, &l.cost))
    }

    /// How a device is, as it was last told.
    #[must_use]
    pub fn condition(&self, device: DeviceId) -> DeviceCondition {
        self.conditions.get(&device).copied().unwrap_or_default()
    }
}

impl ModelState {
    /// Predicted time to serve all that waits.
    pub(super) fn drain_time(&self) -> Duration {
        Duration::from_nanos(self.shared(self.backlog()))
    }

    /// How long so much device time takes its workers together.
    pub(super) fn shared(&self, time: u64) -> u64 {
        (time as f64 / self.home.worth.max(1e-3)) as u64
    }
}
