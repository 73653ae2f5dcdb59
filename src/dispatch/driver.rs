//! The driver: feeds events to the scheduler and carries out what it decides.

use super::changes::Changes;
use super::decisions::{Decisions, Member};
use super::fallbacks::Fallbacks;
use super::health::{self, Checks};
use super::pending::{Pending, item};
use super::workers::{WorkerPlan, WorkerSlot};
use super::{ARRIVALS, Arriving, Control, Gate, Handle, LearnedCost, record, refusal};
use crate::clock;
use crate::exec::{Job, JobDone, JobItem, WorkerHandle};
use crate::metrics::{Metrics, ModelMetrics};
use crate::policy::{PolicySet, QueueBytes};
use crate::sched::{Arrival, Dispatch, FailReason, Item, Output, Scheduler};
use crate::trace::Recorder;
use crate::types::{BatchId, ModelId, RequestId, Time, WorkerId};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;

/// Events taken in before the scheduler is asked what to do, so that what arrives together is seen together.
const EVENTS: usize = 256;

/// A batch that runs.
pub(super) struct InFlight {
    pub(super) dispatch: Dispatch,
    pub(super) started: Time,
    /// Workers of its device that ran then, its own included; 1 where nobody records.
    pub(super) busy: u32,
    /// When its worker was free again; zero while it runs.
    pub(super) ended: Time,
    /// For the record; empty where none is kept.
    pub(super) members: Vec<Member>,
}

/// The task that owns the scheduler.
pub struct Driver {
    pub(super) sched: Scheduler,
    arrivals: mpsc::Receiver<Arriving>,
    control: mpsc::UnboundedReceiver<Control>,
    /// Kept for workers' events; never the reason to go on running.
    pub(super) tell: mpsc::UnboundedSender<Control>,
    pub(super) gate: Arc<Gate>,
    pub(super) decisions: Arc<Decisions>,
    pub(super) recorder: Arc<Recorder>,
    last_learned: Arc<OnceLock<Vec<LearnedCost>>>,
    pub(super) metrics: Arc<Metrics>,
    policies: Arc<PolicySet>,
    pub(super) models: BTreeMap<ModelId, Arc<ModelMetrics>>,
    pub(super) workers: BTreeMap<WorkerId, WorkerSlot>,
    /// In order of arrival, as their numbers are.
    pub(super) pending: BTreeMap<RequestId, Pending>,
    pub(super) running: HashMap<BatchId, InFlight>,
    /// One of those, which was run on this thread and has ended.
    ended_here: Option<JobDone>,
    /// `None`: nobody looks after the models' health.
    pub(super) checks: Option<Checks>,
    pub(super) changes: Changes,
    fallbacks: Fallbacks,
    pub(super) draining: bool,
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
        let gate = Arc::new(Gate::new(0));
        set_gate(&gate, &policies);
        let decisions = Arc::new(Decisions::default());
        let recorder = Arc::new(Recorder::default());
        let last_learned = Arc::default();
        let handle = Handle {
            arrivals: arrivals_in,
            control: tell.clone(),
            gate: Arc::clone(&gate),
            decisions: Arc::clone(&decisions),
            recorder: Arc::clone(&recorder),
            last_learned: Arc::clone(&last_learned),
            next: Arc::new(AtomicU64::new(1)),
        };
        let mut driver = Self {
            sched: Scheduler::new(Arc::clone(&policies)),
            arrivals,
            control,
            tell,
            gate,
            decisions,
            recorder,
            last_learned,
            metrics,
            policies,
            models: BTreeMap::new(),
            workers: BTreeMap::new(),
            pending: BTreeMap::new(),
            running: HashMap::new(),
            ended_here: None,
            checks: None,
            changes: Changes::default(),
            fallbacks: Fallbacks::default(),
            draining: false,
        };
        for plan in plans {
            driver.add_worker(plan)?;
        }
        Ok((driver, handle))
    }

    /// Runs until a drain has ended. Answers the workers' handles, to be joined off the runtime.
    pub async fn run(mut self) -> Vec<WorkerHandle> {
        let (mut arrived, mut told) = (Vec::with_capacity(EVENTS), Vec::with_capacity(EVENTS));
        let mut open = true;
        while !(self.draining && self.sched.is_idle()) {
            let timer = self.sched.poll_timeout();
            let due = tokio::time::sleep_until(clock::deadline(timer.unwrap_or_default()));
            tokio::select! {
                biased;
                () = health::due(self.checks.as_ref()) => self.look(),
                _ = self.control.recv_many(&mut told, EVENTS) => {}
                n = self.arrivals.recv_many(&mut arrived, EVENTS), if open => {
                    // Every handle is gone: nobody is left to serve.
                    open = n > 0;
                    if !open {
                        self.drain();
                    }
                }
                () = due, if timer.is_some() => self.sched.handle_timeout(clock::now()),
            }
            // What lies in the channels by now belongs to the next decision.
            take(|| self.arrivals.try_recv().ok(), &mut arrived);
            take(|| self.control.try_recv().ok(), &mut told);
            for arriving in arrived.drain(..) {
                self.arrive(arriving);
            }
            let mut done = Vec::new();
            for control in told.drain(..) {
                self.control(control, &mut done);
            }
            // The next batch is on its way before the last one's callers are answered.
            self.carry_out();
            while let Some(job) = self.ended_here.take() {
                done.extend(self.batch_done(job));
                self.carry_out();
            }
            for (ended, inflight) in done {
                self.deliver(ended, inflight);
            }
            self.settle();
            self.publish();
        }
        self.refuse_the_rest();
        // It is set once, here.
        drop(self.last_learned.set(self.learned()));
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
            Control::Worker { worker, start, event } => done.extend(self.heard(worker, start, event)),
            Control::Restart(worker) if !self.draining => {
                if let Err(error) = self.start_worker(worker) {
                    self.worker_lost(worker, &error.to_string(), false);
                }
            }
            Control::Restart(_) => {}
            Control::Device(device, condition) => self.device_is(device, condition),
            Control::DeviceLost(device, message) => self.device_lost(device, &message),
            Control::Policies(policies) => {
                set_gate(&self.gate, &policies);
                self.policies = Arc::clone(&policies);
                self.fallbacks.reset();
                self.sched.handle_policies(policies, clock::now());
            }
            Control::Tenants(tenants) => self.sched.handle_tenants(tenants, clock::now()),
            Control::Started(model, reply) => self.tell_started(model, reply),
            Control::Enlist(newcomer, reply) => self.enlist(newcomer, reply),
            Control::Unload(model, reply) => self.unload(&model, reply),
            Control::Retire(model, reply) => self.retire(&model, reply),
            // The caller may have disconnected.
            Control::Report(reply) => drop(reply.send(self.report())),
            Control::Learned(reply) => drop(reply.send(self.learned())),
            Control::Drain => self.drain(),
        }
    }

    fn drain(&mut self) {
        self.draining = true;
        self.gate.close();
        self.recorder.close();
        self.retire_workers();
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
        self.recorder.record(now, self.pending.len(), || record::arrival(&arrival, &request.model.name, now));
        let accepted = self.sched.handle_arrival(&arrival, now);
        let policy = self.policies.lookup(&request.model.name, &request.tenant);
        let target = self.policies.policies()[policy].slo.target;
        if let Err(reject) = accepted {
            self.recorder.refused(&request.model.name, now);
            if refusal::is_ours(&reject) {
                self.count_slo(request, target, None);
            }
            let refusal = refusal::rejected(reject, &request.model);
            drop(arriving.reply.send(Err(refusal)));
            return;
        }
        let Some(metrics) = self.models.get(&request.model.id) else { return };
        let gauge = metrics.queue_rows(&self.metrics.tenant_label(&request.tenant));
        self.pending.insert(arriving.id, Pending::new(arriving, now, target, gauge));
    }

    /// Does what the scheduler wants done.
    fn carry_out(&mut self) {
        while let Some(output) = self.sched.poll_output() {
            match output {
                Output::Dispatch(dispatch) => self.submit(dispatch),
                Output::Fail { request, reason } => self.fail(request, reason),
                Output::Suspect { worker } => self.probe(worker),
                Output::Fallback { policy, fault } => {
                    self.fallbacks.tell(&policy, &fault, &self.metrics, clock::now());
                }
            }
        }
    }

    fn submit(&mut self, mut dispatch: Dispatch) {
        let mut items = Vec::with_capacity(dispatch.items.len());
        let mut members = Vec::with_capacity(if self.metrics.performance() { dispatch.items.len() } else { 0 });
        // Answers come back in the order of the job's items: the lists are made as one.
        dispatch.items.retain(|&(id, index)| {
            let Some(pending) = self.pending.get_mut(&id) else { return false };
            pending.dispatched(index as usize);
            if self.metrics.performance() {
                members.extend(pending.member(index as usize));
            }
            items.push(JobItem { request: Arc::clone(&pending.request), index: index as usize });
            true
        });
        let Some(slot) = self.workers.get(&dispatch.worker) else { return };
        let (worker, why) = (dispatch.worker, dispatch.why.label());
        tracing::debug!(
            batch = %dispatch.batch, %worker, rows = dispatch.rows, tokens = dispatch.tokens,
            len = dispatch.padded_len, policy = %dispatch.policy.name, why, "dispatch"
        );
        if let Some(metrics) = self.models.get(&dispatch.model) {
            metrics.batch_released(why);
        }
        slot.metrics.batch_started();
        let batch = dispatch.batch;
        let job = Job { batch, padded_len: dispatch.padded_len, reuse: dispatch.policy.reuse.identical, items };
        let (started, busy) = (clock::now(), self.busy_with(worker));
        let submitted = match self.run_here(&dispatch, job) {
            Ok(done) => {
                self.ended_here = Some(done);
                true
            }
            Err(job) => {
                let handle = self.workers.get(&worker).and_then(|slot| slot.handle.as_ref());
                handle.is_some_and(|handle| handle.submit(job).is_ok())
            }
        };
        self.running.insert(batch, InFlight { dispatch, started, busy, ended: Time::default(), members });
        if !submitted {
            self.worker_lost(worker, "its thread has ended", false);
        }
    }

    /// Workers of this one's device that run once it does, as far as anybody records it.
    fn busy_with(&self, worker: WorkerId) -> u32 {
        let device = |worker| self.workers.get(&worker).map(|slot| slot.plan.device);
        let beside = |ran: &&InFlight| device(ran.dispatch.worker) == device(worker);
        if self.recorder.is_idle() { 1 } else { 1 + self.running.values().filter(beside).count() as u32 }
    }

    fn fail(&mut self, id: RequestId, reason: FailReason) {
        if let Some(pending) = self.pending.remove(&id) {
            let error = refusal::failed(reason, &pending.request, pending.failure.as_deref());
            self.recorder.refused(&pending.request.model.name, pending.arrived);
            self.count_slo(&pending.request, pending.target, None);
            pending.fail(error);
        }
    }

    /// Rows that left the queue and have no answer yet.
    pub(super) fn rows_held(&self) -> u64 {
        u64::from(self.sched.rows_running()) + u64::from(self.sched.rows_retrying())
    }

    fn refuse_the_rest(&mut self) {
        self.arrivals.close();
        while let Ok(arriving) = self.arrivals.try_recv() {
            drop(arriving.reply.send(Err(super::gate::draining())));
        }
    }
}

/// Takes what is at hand, up to a bound.
fn take<T>(mut next: impl FnMut() -> Option<T>, into: &mut Vec<T>) {
    while into.len() < EVENTS {
        let Some(event) = next() else { break };
        into.push(event);
    }
}

/// Sets the gate by the policies in use: twice the bytes that the largest queue holds, for what is being
/// decoded or answered besides, and as many rows a request as the longest queue takes.
fn set_gate(gate: &Gate, policies: &PolicySet) {
    let in_use = policies.in_use();
    let queues = || in_use.iter().map(|at| &policies.policies()[*at].queue);
    let most = queues().map(|q| q.max_bytes.limit(0)).max().unwrap_or(0);
    gate.set_capacity(most.saturating_mul(2), queues().any(|q| q.max_bytes == QueueBytes::Auto));
    gate.set_max_rows(queues().map(|q| q.max_rows).max().unwrap_or(0));
}
