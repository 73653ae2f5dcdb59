//! The driver: feeds events to the scheduler and carries out what it decides.

use super::pending::{Pending, item};
use super::{ARRIVALS, Arriving, Control, Gate, Handle, refusal};
use crate::clock;
use crate::exec::{Failure, Job, JobDone, JobItem, WorkerEvent, WorkerHandle};
use crate::metrics::{BatchObserved, DeviceMetrics, Metrics, ModelMetrics, SloResult};
use crate::model::{Model, ModelState};
use crate::policy::PolicySet;
use crate::request::{BatchSummary, Timing};
use crate::sched::{
    Arrival, BatchOutcome, BatchReport, Dispatch, FailReason, Grid, Item, Measured, ModelLimits, Output, Scheduler,
    WorkerState,
};
use crate::types::{BatchId, DeviceId, ModelId, RequestId, Time, WorkerId};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::mpsc;

/// Events taken in before the scheduler is asked what to do, so that what arrives together is seen together.
const EVENTS: usize = 256;
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

struct WorkerSlot {
    plan: WorkerPlan,
    handle: Option<WorkerHandle>,
    metrics: DeviceMetrics,
    ready: bool,
    losses: u32,
}

struct InFlight {
    dispatch: Dispatch,
    started: Time,
}

/// The task that owns the scheduler.
pub struct Driver {
    sched: Scheduler,
    arrivals: mpsc::Receiver<Arriving>,
    control: mpsc::UnboundedReceiver<Control>,
    /// Kept for workers' events; never the reason to go on running.
    tell: mpsc::UnboundedSender<Control>,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    models: HashMap<ModelId, Arc<ModelMetrics>>,
    workers: HashMap<WorkerId, WorkerSlot>,
    pending: HashMap<RequestId, Pending>,
    running: HashMap<BatchId, InFlight>,
    draining: bool,
}

impl Driver {
    /// Builds the driver and its handle, and starts the workers.
    ///
    /// # Errors
    /// The operating system's, when it gives a worker no thread.
    pub fn start(
        policies: Arc<PolicySet>,
        plans: Vec<WorkerPlan>,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, Handle)> {
        let (arrivals_in, arrivals) = mpsc::channel(ARRIVALS);
        let (tell, control) = mpsc::unbounded_channel();
        let gate = Arc::new(Gate::new(capacity(&policies)));
        let next = Arc::new(AtomicU64::new(1));
        let handle = Handle { arrivals: arrivals_in, control: tell.clone(), gate: Arc::clone(&gate), next };
        let mut driver = Self {
            sched: Scheduler::new(policies),
            arrivals,
            control,
            tell,
            gate,
            metrics,
            models: HashMap::new(),
            workers: HashMap::new(),
            pending: HashMap::new(),
            running: HashMap::new(),
            draining: false,
        };
        for plan in plans {
            driver.add_worker(plan)?;
        }
        Ok((driver, handle))
    }

    fn add_worker(&mut self, plan: WorkerPlan) -> io::Result<()> {
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

    fn start_worker(&mut self, id: WorkerId) -> io::Result<()> {
        let Some(slot) = self.workers.get_mut(&id) else { return Ok(()) };
        let tell = self.tell.clone();
        slot.handle = Some((slot.plan.start)(Box::new(move |event| drop(tell.send(Control::Worker(event)))))?);
        let state = WorkerState::Up { model: slot.plan.model.id, device: slot.plan.device };
        self.sched.handle_worker(id, state, clock::now());
        Ok(())
    }

    /// Runs until a drain has ended. Answers the workers' handles, to be joined off the runtime.
    pub async fn run(mut self) -> Vec<WorkerHandle> {
        let (mut arrived, mut told) = (Vec::with_capacity(EVENTS), Vec::with_capacity(EVENTS));
        while !(self.draining && self.sched.is_idle()) {
            let timer = self.sched.poll_timeout();
            let due = tokio::time::sleep_until(clock::deadline(timer.unwrap_or_default()));
            tokio::select! {
                biased;
                _ = self.control.recv_many(&mut told, EVENTS) => {}
                n = self.arrivals.recv_many(&mut arrived, EVENTS), if !self.draining => {
                    // Every handle is gone: nobody is left to serve.
                    if n == 0 {
                        self.drain();
                    }
                }
                () = due, if timer.is_some() => self.sched.handle_timeout(clock::now()),
            }
            for arriving in arrived.drain(..) {
                self.arrive(arriving);
            }
            let mut done = Vec::new();
            for control in told.drain(..) {
                self.control(control, &mut done);
            }
            // The next batch is on its way before the last one's callers are answered.
            self.carry_out();
            for (ended, inflight) in done {
                self.deliver(ended, &inflight);
            }
            self.publish();
        }
        self.refuse_the_rest();
        self.workers.into_values().filter_map(|w| w.handle).collect()
    }

    fn control(&mut self, control: Control, done: &mut Vec<(JobDone, InFlight)>) {
        match control {
            Control::Cancel(id) => {
                self.sched.handle_cancel(id, clock::now());
                if let Some(pending) = self.pending.remove(&id) {
                    pending.forget();
                }
            }
            Control::Worker(WorkerEvent::Ready { worker, samples }) => self.worker_ready(worker, &samples),
            Control::Worker(WorkerEvent::Done(job)) => done.extend(self.batch_done(job)),
            Control::Worker(WorkerEvent::Lost { worker, message }) => self.worker_lost(worker, &message),
            Control::Restart(worker) if !self.draining => {
                if let Err(error) = self.start_worker(worker) {
                    self.worker_lost(worker, &error.to_string());
                }
            }
            Control::Restart(_) => {}
            Control::Policies(policies) => {
                self.gate.set_capacity(capacity(&policies));
                self.sched.handle_policies(policies, clock::now());
            }
            Control::Drain => self.drain(),
        }
    }

    fn drain(&mut self) {
        self.draining = true;
        self.gate.close();
        self.sched.handle_drain(clock::now());
    }

    fn arrive(&mut self, arriving: Arriving) {
        // A caller that left between sending and now is not worth a row.
        if arriving.reply.is_closed() {
            return;
        }
        let now = clock::now();
        let request = &arriving.request;
        let spec = &request.model.spec;
        let items: Vec<Item> = request.items.iter().map(|p| item(p, |len| spec.token_class(len))).collect();
        let arrival = Arrival {
            request: arriving.id,
            model: request.model.id,
            tenant: &request.tenant,
            priority: request.priority,
            deadline: request.deadline,
            items: &items,
        };
        if let Err(reject) = self.sched.handle_arrival(&arrival, now) {
            let refusal = refusal::rejected(reject, &request.model.name);
            drop(arriving.reply.send(Err(refusal)));
            return;
        }
        let Some(metrics) = self.models.get(&request.model.id) else { return };
        let gauge = metrics.queue_rows(&self.metrics.tenant_label(&request.tenant));
        self.pending.insert(arriving.id, Pending::new(arriving, now, gauge));
    }

    fn worker_ready(&mut self, id: WorkerId, samples: &[crate::exec::Sample]) {
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

    fn worker_lost(&mut self, id: WorkerId, message: &str) {
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

    /// Tells the scheduler how a batch ended; its answers are delivered once the next batch is on its way.
    fn batch_done(&mut self, job: JobDone) -> Option<(JobDone, InFlight)> {
        let inflight = self.running.remove(&job.batch)?;
        let dispatch = &inflight.dispatch;
        let outcome = match &job.result {
            Ok(_) => BatchOutcome::Ok,
            Err(Failure::Failed(_)) => BatchOutcome::Failed,
            Err(Failure::OutOfMemory(_)) => BatchOutcome::OutOfMemory,
            Err(Failure::DeviceLost(_)) => BatchOutcome::DeviceLost,
        };
        if let Err(failure) = &job.result {
            tracing::warn!(batch = %job.batch, rows = dispatch.rows, len = dispatch.padded_len, "{failure}");
            if let [(only, _)] = dispatch.items[..]
                && let Some(pending) = self.pending.get_mut(&only)
            {
                pending.failure = Some(failure.to_string());
            }
        }
        if let Some(slot) = self.workers.get(&job.worker) {
            slot.metrics.batches_in_flight.dec();
            slot.metrics.busy_seconds.inc_by((job.assemble + job.compute).as_secs_f64());
        }
        let now = clock::now();
        self.sched.handle_batch_done(&BatchReport { batch: job.batch, compute: job.compute, outcome }, now);
        if outcome != BatchOutcome::DeviceLost {
            self.sched.handle_worker(job.worker, WorkerState::Ready, now);
        }
        Some((job, inflight))
    }

    /// Hands a batch's answers to their requests, and the complete requests to their callers.
    fn deliver(&mut self, job: JobDone, inflight: &InFlight) {
        let Ok(answers) = job.result else { return };
        let d = &inflight.dispatch;
        let padded = u64::from(d.rows) * u64::from(d.padded_len);
        let summary = BatchSummary {
            rows: d.rows,
            tokens: d.tokens,
            padded,
            policy: Arc::clone(&d.policy.name),
            generation: d.generation,
            batches: 1,
        };
        let now = clock::now();
        let mut queued = Vec::with_capacity(d.items.len());
        let mut last = None;
        for ((id, index), answer) in d.items.iter().zip(answers) {
            let Some(pending) = self.pending.get_mut(id) else { continue };
            let queue = inflight.started.since(pending.arrived);
            queued.push(queue);
            if last.replace(*id) != Some(*id) {
                pending.ran_in();
            }
            if !pending.answer(*index as usize, answer) {
                continue;
            }
            let Some(pending) = self.pending.remove(id) else { continue };
            if let (Some(target), Some(metrics)) = (d.policy.slo.target, self.models.get(&d.model)) {
                let met = now.since(pending.arrived) <= target;
                let result = if met { SloResult::Met } else { SloResult::Missed };
                metrics.slo(&self.metrics.tenant_label(&pending.request.tenant), result);
            }
            pending.succeed(Timing { queue, assemble: job.assemble, compute: job.compute }, &summary);
        }
        if let Some(metrics) = self.models.get(&d.model) {
            let seen = BatchObserved { rows: d.rows, tokens: d.tokens, padded, compute: job.compute, queued: &queued };
            metrics.batch_done(&seen);
        }
    }

    /// Does what the scheduler wants done.
    fn carry_out(&mut self) {
        while let Some(output) = self.sched.poll_output() {
            match output {
                Output::Dispatch(dispatch) => self.submit(dispatch),
                Output::Fail { request, reason } => self.fail(request, reason),
                Output::Suspect { worker } => self.renew(worker),
            }
        }
    }

    fn submit(&mut self, dispatch: Dispatch) {
        let mut items = Vec::with_capacity(dispatch.items.len());
        for (id, index) in &dispatch.items {
            if let Some(pending) = self.pending.get_mut(id) {
                pending.dispatched(*index as usize);
                items.push(JobItem { request: Arc::clone(&pending.request), index: *index as usize });
            }
        }
        let Some(slot) = self.workers.get(&dispatch.worker) else { return };
        let (worker, why) = (dispatch.worker, dispatch.why.label());
        tracing::debug!(
            batch = %dispatch.batch, %worker, rows = dispatch.rows, tokens = dispatch.tokens,
            len = dispatch.padded_len, policy = %dispatch.policy.name, why, "dispatch"
        );
        if let Some(metrics) = self.models.get(&dispatch.model) {
            metrics.batch_released(why);
        }
        slot.metrics.batches_in_flight.inc();
        let job = Job { batch: dispatch.batch, padded_len: dispatch.padded_len, items };
        let submitted = slot.handle.as_ref().is_some_and(|h| h.submit(job).is_ok());
        self.running.insert(dispatch.batch, InFlight { dispatch, started: clock::now() });
        if !submitted {
            self.worker_lost(worker, "its thread has ended");
        }
    }

    fn fail(&mut self, id: RequestId, reason: FailReason) {
        if let Some(pending) = self.pending.remove(&id) {
            let error = refusal::failed(reason, &pending.request.model.name, pending.failure.as_deref());
            pending.fail(error);
        }
    }

    /// Starts a worker anew that failed on everything of late.
    fn renew(&mut self, worker: WorkerId) {
        self.worker_lost(worker, "it failed on every row of a batch");
    }

    /// Brings gauges and the gate up to date.
    fn publish(&mut self) {
        let (mut waiting, mut all_full, mut longest) = (0, !self.models.is_empty(), Duration::ZERO);
        for (id, metrics) in &self.models {
            let (rows, bytes, drain) = self.sched.queue(*id);
            waiting += i64::from(rows);
            longest = longest.max(drain);
            all_full &= self.sched.is_full(*id);
            metrics.queue_bytes().set(i64::try_from(bytes).unwrap_or(i64::MAX));
            if let Some((_, cost)) = self.sched.costs(*id).first() {
                metrics.cost_error().set(cost.error_ratio());
            }
        }
        self.gate.set_full(all_full, longest);
        self.metrics.inflight_rows().set(waiting + i64::from(self.sched.rows_running()));
    }

    fn refuse_the_rest(&mut self) {
        self.arrivals.close();
        while let Ok(arriving) = self.arrivals.try_recv() {
            drop(arriving.reply.send(Err(super::gate::draining())));
        }
    }
}

/// Bytes that may be in flight: twice what the largest queue holds, for what is being decoded or answered.
fn capacity(policies: &PolicySet) -> u64 {
    policies.policies().iter().map(|p| p.queue.max_bytes).max().unwrap_or(0).saturating_mul(2)
}
