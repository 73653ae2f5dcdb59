//! Admission: what is refused at the door, before it costs anything.

use super::event::{Arrival, Item, Reject};
use super::model::ModelState;
use super::scheduler::Scheduler;
use super::strategy::urgency;
use crate::policy::{OnPredictedMiss, Policy};
use crate::types::Time;
use std::sync::Arc;
use std::time::Duration;

/// The batch size that a request's own items are predicted to share.
const SHARED: u32 = 8;

impl Scheduler {
    /// Answers the lane and the deadline of an acceptable request.
    pub(super) fn admit(&mut self, a: &Arrival<'_>) -> Result<(usize, Time), Reject> {
        if self.draining {
            return Err(Reject::Draining);
        }
        let Some(model) = self.models.get(&a.model) else {
            return Err(Reject::UnknownModel);
        };
        if !self.workers.iter().any(|w| w.model == a.model) {
            return Err(Reject::NotReady);
        }
        let lane = self.policies.lookup(&model.limits.name, a.tenant);
        let policy = Arc::clone(&model.lanes[lane].policy);
        for item in a.items {
            fits_a_batch(item, &policy)?;
        }
        self.fits_the_queue(a, model, &policy)?;
        let deadline = match (a.deadline, policy.slo.deadline) {
            (Some(own), _) => own,
            (None, Some(given)) => self.now + given,
            (None, None) => return Ok((lane, Time::NEVER)),
        };
        if deadline <= self.now {
            return Err(Reject::DeadlinePassed);
        }
        if policy.slo.on_predicted_miss == OnPredictedMiss::Reject
            && self.predicted_finish(a, lane, deadline) > deadline
        {
            return Err(Reject::PredictedMiss { drain: self.queue(a.model).drain });
        }
        Ok((lane, deadline))
    }

    fn fits_the_queue(&self, a: &Arrival<'_>, model: &ModelState, policy: &Policy) -> Result<(), Reject> {
        let rows: u64 = a.items.iter().map(|i| u64::from(i.rows)).sum();
        let bytes: u64 = a.items.iter().map(|i| u64::from(i.bytes)).sum();
        let limits = &policy.queue;
        if rows > u64::from(limits.max_rows) {
            return Err(Reject::OverQueue { rows, limit: limits.max_rows });
        }
        if bytes > limits.max_bytes {
            return Err(Reject::BytesOverQueue { bytes, limit: limits.max_bytes });
        }
        let full = u64::from(model.rows()) + rows > u64::from(limits.max_rows)
            || model.bytes.saturating_add(bytes) > limits.max_bytes;
        if full {
            return Err(Reject::QueueFull { drain: model.drain_time() });
        }
        Ok(())
    }

    /// When the request is predicted to be answered: a free worker, what goes before it, itself.
    ///
    /// The start of time while nothing was measured: nothing is refused on a guess.
    fn predicted_finish(&mut self, a: &Arrival<'_>, lane: usize, deadline: Time) -> Time {
        let idle = self.has_free_worker(a.model);
        let ends = self.running.iter().filter(|r| r.model == a.model);
        let first_free = ends.map(|r| r.started + Duration::from_nanos(r.predicted as u64)).min();
        let free_at = if idle { self.now } else { first_free.unwrap_or(self.now).max(self.now) };
        let Some(model) = self.models.get_mut(&a.model) else {
            return Time::default();
        };
        let policy = Arc::clone(&model.lanes[lane].policy);
        let key = urgency(&policy, self.now, deadline, a.priority.level(policy.queue.priority_levels));
        let mut ahead = 0;
        for (index, other) in model.lanes.iter_mut().enumerate() {
            ahead += if index == lane { other.backlog_before(key, &self.table) } else { other.backlog };
        }
        let home = model.home;
        let Some(learned) = model.learned.get(home.slot).filter(|l| l.cost.known()) else {
            return Time::default();
        };
        let time = |rows, len| learned.cost.predict(rows, learned.padded(len), home.busy);
        let alone = |i: &Item| time(i.rows, i.len);
        let longest = a.items.iter().map(alone).fold(0.0, f64::max);
        // Many items share the workers, in batches of about this size.
        let shared = |i: &Item| time(SHARED, i.len) / f64::from(SHARED) * f64::from(i.rows);
        let own = longest.max(a.items.iter().map(shared).sum::<f64>() / home.worth.max(1e-3));
        free_at + Duration::from_nanos(model.shared(ahead)) + Duration::from_nanos(own as u64)
    }
}

fn fits_a_batch(item: &Item, policy: &Policy) -> Result<(), Reject> {
    if item.rows > policy.batch.max_batch_size {
        return Err(Reject::RowsOverBatch { rows: item.rows, limit: policy.batch.max_batch_size });
    }
    let tokens = u64::from(item.rows) * u64::from(item.len);
    if tokens > u64::from(policy.batch.max_batch_tokens) {
        return Err(Reject::TokensOverBatch { tokens, limit: policy.batch.max_batch_tokens });
    }
    Ok(())
}
