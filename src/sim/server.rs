//! What the virtual world asks of whoever decides in it: the scheduler, or one that stands for another server.
//!
//! Decides nothing.

use crate::sched::{
    Arrival, BatchOutcome, BatchReport, FailReason, Grid, Measured, ModelLimits, Output, Reject, Scheduler, WorkerState,
};
use crate::types::{BatchId, DeviceId, ModelId, RequestId, Time, WorkerId};
use std::time::Duration;

/// Events in with the time, batches and refusals out; the same events, the same decisions.
pub(super) trait Server {
    /// Takes a model in.
    fn handle_model(&mut self, model: ModelId, limits: &ModelLimits, now: Time);
    /// Takes in a worker, which is ready.
    fn handle_worker(&mut self, worker: WorkerId, at: Station, now: Time);
    /// Learns from a run before anything arrived.
    fn handle_measured(&mut self, worker: WorkerId, run: &Measured, now: Time);
    /// Queues a request: all of its items or none.
    fn handle_arrival(&mut self, arrival: &Arrival<'_>, now: Time) -> Result<(), Reject>;
    /// Takes note of a batch that ran well: its worker is ready again.
    fn handle_done(&mut self, batch: &Batch, compute: Duration, now: Time);
    /// Does what is due.
    fn handle_timeout(&mut self, now: Time);
    /// The next thing to do, if any.
    fn poll_action(&mut self) -> Option<Action>;
    /// When [`handle_timeout`](Self::handle_timeout) is due, if nothing happens before.
    fn poll_timeout(&mut self) -> Option<Time>;
}

/// Where a worker is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Station {
    pub(super) model: ModelId,
    pub(super) device: DeviceId,
    pub(super) grid: Grid,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Action {
    /// Run this.
    Run(Batch),
    /// Answer this request with an error.
    Fail { request: RequestId, reason: FailReason },
    /// Count a decision that its policy's script did not make.
    FellBack,
}

/// A batch to run.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) id: BatchId,
    pub(super) worker: WorkerId,
    /// Its items, as (request, index within the request).
    pub(super) items: Vec<(RequestId, u32)>,
    pub(super) rows: u32,
    /// The length that every row is padded to.
    pub(super) padded_len: u32,
    /// Sum of the rows' own lengths.
    pub(super) tokens: u64,
}

impl Server for Scheduler {
    fn handle_model(&mut self, model: ModelId, limits: &ModelLimits, now: Time) {
        self.handle_model(model, Some(limits.clone()), now);
    }

    fn handle_worker(&mut self, worker: WorkerId, at: Station, now: Time) {
        let Station { model, device, grid } = at;
        self.handle_worker(worker, WorkerState::Up { model, device, grid }, now);
        self.handle_worker(worker, WorkerState::Ready, now);
    }

    fn handle_measured(&mut self, worker: WorkerId, run: &Measured, now: Time) {
        self.handle_measured(worker, run, now);
    }

    fn handle_arrival(&mut self, arrival: &Arrival<'_>, now: Time) -> Result<(), Reject> {
        self.handle_arrival(arrival, now)
    }

    fn handle_done(&mut self, batch: &Batch, compute: Duration, now: Time) {
        self.handle_batch_done(&BatchReport { batch: batch.id, reused: 0, compute, outcome: BatchOutcome::Ok }, now);
        self.handle_worker(batch.worker, WorkerState::Ready, now);
    }

    fn handle_timeout(&mut self, now: Time) {
        self.handle_timeout(now);
    }

    fn poll_action(&mut self) -> Option<Action> {
        loop {
            match self.poll_output()? {
                Output::Dispatch(batch) => {
                    return Some(Action::Run(Batch {
                        id: batch.batch,
                        worker: batch.worker,
                        items: batch.items,
                        rows: batch.rows,
                        padded_len: batch.padded_len,
                        tokens: batch.tokens,
                    }));
                }
                Output::Fail { request, reason } => return Some(Action::Fail { request, reason }),
                // No batch fails here, so no worker comes under suspicion.
                Output::Suspect { .. } => {}
                Output::Fallback { .. } => return Some(Action::FellBack),
            }
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        self.poll_timeout()
    }
}
