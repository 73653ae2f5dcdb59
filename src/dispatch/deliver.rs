//! The end of a batch: what the scheduler learns of it, and how its answers reach their callers.

use super::decisions::{Decision, Outcome};
use super::driver::{Driver, InFlight};
use super::record;
use crate::clock::{self, Seldom};
use crate::exec::{Failure, JobDone};
use crate::metrics::{BatchObserved, SloResult};
use crate::request::{BatchSummary, InferRequest, Timing};
use crate::sched::{BatchOutcome, BatchReport, WorkerState};
use std::sync::Arc;
use std::time::Duration;

/// One caller with a loop can make a model fail thousands of times a second; the metrics count them all.
static FAILED: Seldom = Seldom::new(Duration::from_secs(1));

impl Driver {
    /// Tells the scheduler how a batch ended; its answers are delivered once the next batch is on its way.
    pub(super) fn batch_done(&mut self, mut job: JobDone) -> Option<(JobDone, InFlight)> {
        let mut inflight = self.running.remove(&job.batch)?;
        self.watch_rows(&mut job, &inflight);
        let dispatch = &inflight.dispatch;
        let outcome = match &job.result {
            Ok(_) => BatchOutcome::Ok,
            Err(Failure::Failed(_)) => BatchOutcome::Failed,
            Err(Failure::Inseparable(_)) => BatchOutcome::Inseparable,
            Err(Failure::OutOfMemory(_)) => BatchOutcome::OutOfMemory,
            Err(Failure::DeviceLost(_)) => BatchOutcome::DeviceLost,
        };
        if let Err(failure) = &job.result {
            tracing::debug!(batch = %job.batch, rows = dispatch.rows, len = dispatch.padded_len, "{failure}");
            if let [(only, _)] = dispatch.items[..]
                && let Some(pending) = self.pending.get_mut(&only)
            {
                // The model's words may quote the input: they are for the caller alone.
                let (batch, request) = (job.batch, &pending.request.id);
                pending.span.in_scope(|| match FAILED.pass(clock::now()) {
                    Some(withheld) => tracing::warn!(%batch, %request, withheld, "the model failed on a request"),
                    None => tracing::debug!(%batch, %request, "the model failed on a request"),
                });
                pending.failure = Some(failure.to_string());
            }
        }
        if let Some(slot) = self.workers.get_mut(&job.worker) {
            slot.busy += job.assemble + job.compute;
            slot.metrics.batch_ended(job.assemble + job.compute);
            if outcome == BatchOutcome::Ok {
                slot.metrics.shape_ran(dispatch.rows.saturating_sub(job.reused), dispatch.padded_len);
            }
        }
        let model = dispatch.model;
        if outcome == BatchOutcome::Ok {
            self.batch_ran(model);
        }
        let now = clock::now();
        inflight.ended = now;
        let report = BatchReport { batch: job.batch, reused: job.reused, compute: job.compute, outcome };
        self.sched.handle_batch_done(&report, now);
        if outcome != BatchOutcome::DeviceLost {
            self.sched.handle_worker(job.worker, WorkerState::Ready, now);
        }
        Some((job, inflight))
    }

    /// Counts a request, which took so long or was not answered, against its policy's target if it has one.
    pub(super) fn count_slo(&self, request: &InferRequest, target: Option<Duration>, took: Option<Duration>) {
        if let (Some(target), Some(metrics)) = (target, self.models.get(&request.model.id)) {
            let met = took.is_some_and(|took| took <= target);
            let result = if met { SloResult::Met } else { SloResult::Missed };
            metrics.slo(&self.metrics.tenant_label(&request.tenant), result);
        }
    }

    /// Adds a batch that ended to the last decisions, and its rows to the lengths computed.
    pub(super) fn record(&self, ran: &mut InFlight, compute: Option<Duration>, outcome: Outcome) {
        if let (Outcome::Ok, Some(metrics)) = (outcome, self.models.get(&ran.dispatch.model)) {
            ran.members.iter().for_each(|m| metrics.rows_done(m.len, m.rows));
        }
        let Some(slot) = self.workers.get(&ran.dispatch.worker).filter(|_| self.metrics.performance()) else { return };
        self.decisions.push(Decision::of(ran, [&slot.plan.model.name, &slot.device], compute, outcome));
    }

    /// Hands a batch's answers to their requests, and the complete requests to their callers; what is
    /// counted of it is counted before they can know.
    pub(super) fn deliver(&mut self, job: JobDone, mut inflight: InFlight) {
        self.record(&mut inflight, Some(job.compute), Outcome::from(job.result.as_ref().err()));
        let Ok(answers) = job.result else { return };
        // A trace tells what batches of so many rows take.
        if job.reused == 0 {
            self.record_run(&inflight, job.compute);
        }
        let (occupied, before) = (inflight.ended.since(inflight.started), self.pending.len());
        let d = &inflight.dispatch;
        let padded = u64::from(d.rows) * u64::from(d.padded_len);
        let summary = BatchSummary {
            id: d.batch,
            rows: d.rows,
            tokens: d.tokens,
            padded,
            policy: Arc::clone(&d.policy.name),
            generation: d.generation,
            batches: 1,
        };
        let mut queued = Vec::with_capacity(d.items.len());
        let (mut last, mut complete) = (None, Vec::with_capacity(d.items.len()));
        for ((id, index), answer) in d.items.iter().zip(answers) {
            let Some(pending) = self.pending.get_mut(id) else { continue };
            let queue = inflight.started.since(pending.arrived);
            queued.push((queue, pending.rows(*index as usize)));
            if last.replace(*id) != Some(*id) {
                pending.ran_in();
            }
            if !pending.answer(*index as usize, answer) {
                continue;
            }
            complete.extend(self.pending.remove(id).map(|pending| (pending, queue)));
        }
        if let Some(metrics) = self.models.get(&d.model) {
            let (rows, tokens, compute, now) = (d.rows, d.tokens, job.compute, clock::now());
            metrics.batch_done(&BatchObserved { rows, tokens, padded, compute, queued: &queued, now });
            metrics.rows_reused(job.reused);
        }
        if !complete.is_empty() {
            self.recorder.leave(clock::now(), before, self.pending.len());
        }
        for (pending, queue) in complete {
            let now = clock::now();
            let took = now.since(pending.arrived);
            self.count_slo(&pending.request, pending.target, Some(took));
            self.recorder.answered(&record::answered(&pending, queue, occupied, now));
            pending.succeed(Timing { queue, assemble: job.assemble, compute: job.compute }, &summary);
        }
        self.sched.reclaim(inflight.dispatch.items);
    }

    /// Tells those who record of a batch that ended well.
    fn record_run(&self, ran: &InFlight, compute: Duration) {
        if let Some(slot) = self.workers.get(&ran.dispatch.worker) {
            self.recorder.ran(&record::ran(ran, [&slot.plan.model.name, &slot.device], compute));
        }
    }
}
