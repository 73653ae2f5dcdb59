//! What the driver publishes of itself after each of its turns: gauges by model, and whether the gate is to be closed.
//!
//! Decides nothing. Two models of one name, while one takes the other's place, are one in every gauge.

use super::driver::Driver;
use super::report;
use crate::metrics::ModelMetrics;
use crate::types::ModelId;
use std::time::Duration;

impl Driver {
    /// Brings gauges and the gate up to date.
    pub(super) fn publish(&mut self) {
        let (mut waiting, mut open, mut longest) = (0, self.models.is_empty(), Duration::ZERO);
        for (id, metrics) in &self.models {
            let queue = self.sched.queue(*id);
            waiting += u64::from(queue.rows);
            longest = longest.max(queue.drain);
            let twin = self.changes.twin(*id).map_or(0, |twin| self.sched.queue(twin).bytes);
            metrics.queue_bytes().set(i64::try_from(queue.bytes + twin).unwrap_or(i64::MAX));
            if self.changes.is_current(*id) {
                open |= !self.sched.is_full(*id);
                self.publish_costs(*id, metrics);
            }
        }
        self.gate.set_full(!open, longest);
        self.metrics.inflight_rows().set(i64::try_from(waiting + self.rows_held()).unwrap_or(i64::MAX));
    }

    fn publish_costs(&self, id: ModelId, metrics: &ModelMetrics) {
        let costs = || self.sched.costs(id).map(|(_, cost)| cost);
        let Some(error) = report::mean(costs().map(|c| (Some(c.error_ratio()), c.observations()))) else { return };
        let coverage = report::mean(costs().map(|c| (c.coverage_ratio(), c.observations())));
        let margin = report::mean(costs().map(|c| (Some(c.margin()), c.observations())));
        metrics.cost_model(error, coverage, margin);
    }
}
