//! Health: whether each model still answers, by what ended well of late or, where nothing did, by a canary.
//!
//! Decides when an idle worker runs a made-up row and when a model counts as unwell. Neither starts nor
//! ends workers, and refuses nothing: a full queue is no ailment.

use super::driver::Driver;
use crate::clock;
use crate::exec;
use crate::model::{Model, ModelState};
use crate::sched::WorkerState;
use crate::types::{BatchId, ModelId, WorkerId};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// Between two looks at the models.
const EVERY: Duration = Duration::from_secs(5);
/// Looks that one batch or canary may be met in. Past them it has run for 30 s: its worker is stuck.
const LOOKS: u32 = 6;
/// Canaries that fail in a row before their model is unwell.
const FAILURES: u32 = 2;

/// The looks at all models.
pub(super) struct Checks {
    /// Asks for a look. What is asked twice before it is done is done once.
    due: Arc<Notify>,
    models: HashMap<ModelId, Health>,
    /// Workers that run a canary, and for which model.
    canaries: HashMap<WorkerId, ModelId>,
    /// What ran at the last look. Counted in looks: time in which this process was stopped is no fault.
    met: HashMap<Work, Met>,
}

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Work {
    Batch(BatchId),
    Canary(WorkerId),
}

/// Work that had not ended at the last look.
struct Met {
    model: ModelId,
    looks: u32,
}

/// What is known of one model's health.
struct Health {
    model: Arc<Model>,
    /// Whether something ended well since the last look.
    well: bool,
    /// Canaries that failed since something ended well.
    failures: u32,
    /// Whether a made-up row ever ran: then it must run always.
    proved: bool,
    /// Whether a caller's batch ever ran.
    served: bool,
    /// Whether this model just does not take what is made up for it.
    mute: bool,
    /// Who ran the last canary: workers take turns.
    last: Option<WorkerId>,
}

/// Completes when a look is due; never without checks. Cancel safe.
pub(super) async fn due(checks: Option<&Checks>) {
    match checks {
        Some(checks) => checks.due.notified().await,
        None => std::future::pending().await,
    }
}

impl Driver {
    /// Has the driver look after the health of its models. Must be called within a runtime.
    pub fn check_health(&mut self) {
        let due = self.check_when_asked();
        tokio::spawn(async move {
            loop {
                sleep(EVERY).await;
                // The driver has ended.
                let Some(due) = due.upgrade() else { return };
                due.notify_one();
            }
        });
    }

    /// Has the driver look whenever the answer is notified.
    pub(super) fn check_when_asked(&mut self) -> Weak<Notify> {
        let due = Arc::new(Notify::new());
        let asks = Arc::downgrade(&due);
        let models = self.workers.values().map(|w| (w.plan.model.id, Health::new(&w.plan.model))).collect();
        self.checks = Some(Checks { due, models, canaries: HashMap::new(), met: HashMap::new() });
        asks
    }

    /// Looks at every model.
    pub(super) fn look(&mut self) {
        let Some(checks) = self.checks.as_mut().filter(|_| !self.draining) else { return };
        let batches = self.running.iter().map(|(id, run)| (Work::Batch(*id), run.dispatch.model));
        let canaries = checks.canaries.iter().map(|(id, model)| (Work::Canary(*id), *model));
        let before = &checks.met;
        let meet = |(work, model)| (work, Met { model, looks: before.get(&work).map_or(1, |met| met.looks + 1) });
        checks.met = batches.chain(canaries).map(meet).collect();
        let models: Vec<ModelId> = checks.models.keys().copied().collect();
        for model in models {
            self.look_at(model);
        }
    }

    /// Judges a model of which nothing ended well since the last look. What runs will tell by its end,
    /// unless it is stuck; otherwise somebody idle is asked; with nobody to ask the model is stuck.
    fn look_at(&mut self, id: ModelId) {
        let Some(checks) = &mut self.checks else { return };
        let Some(health) = checks.models.get_mut(&id) else { return };
        if std::mem::take(&mut health.well) || health.model.state() != ModelState::Ready {
            return;
        }
        let mut runs = checks.met.iter().filter(|(_, met)| met.model == id);
        let stuck = runs.clone().next().map(|(work, _)| *work);
        if runs.any(|(_, met)| met.looks <= LOOKS) {
            return;
        }
        if health.mute && self.sched.has_free_worker(id) {
            return;
        }
        match (self.sched.lend(id, health.last), stuck) {
            (Some(worker), _) => {
                health.last = Some(worker);
                checks.canaries.insert(worker, id);
                self.probe(worker);
            }
            (None, Some(Work::Canary(_))) => health.unwell("canary failed: it has not ended for 30 s".to_owned()),
            (None, Some(Work::Batch(_))) => health.unwell("a batch has not ended for 30 s".to_owned()),
            (None, None) => {}
        }
    }

    /// Takes note of a canary's end; false if this worker ran none.
    pub(super) fn canary_ended(&mut self, worker: WorkerId, failure: Option<&str>) -> bool {
        let Some(checks) = &mut self.checks else { return false };
        let Some(model) = checks.canaries.remove(&worker) else { return false };
        if let Some(metrics) = self.models.get(&model) {
            metrics.health_check(failure.is_none());
        }
        if let Some(health) = checks.models.get_mut(&model) {
            match failure {
                Some(words) => health.failed(words),
                None => health.made_up_ran(),
            }
        }
        self.sched.handle_worker(worker, WorkerState::Ready, clock::now());
        true
    }

    /// Looks after one more model, if after any.
    pub(super) fn look_after(&mut self, model: &Arc<Model>) {
        if let Some(checks) = &mut self.checks {
            checks.models.insert(model.id, Health::new(model));
        }
    }

    /// Forgets what is known of a model's health.
    pub(super) fn look_no_more_after(&mut self, model: ModelId) {
        if let Some(checks) = &mut self.checks {
            checks.models.remove(&model);
            checks.canaries.retain(|_, of| *of != model);
            checks.met.retain(|_, met| met.model != model);
        }
    }

    /// Whether a worker of this model runs a canary.
    pub(super) fn has_canary(&self, model: ModelId) -> bool {
        self.checks.as_ref().is_some_and(|checks| checks.canaries.values().any(|of| *of == model))
    }

    /// Takes note of a made-up run outside the looks that ended well.
    pub(super) fn made_up_ran(&mut self, model: ModelId) {
        if let Some(health) = self.checks.as_mut().and_then(|checks| checks.models.get_mut(&model)) {
            health.made_up_ran();
        }
    }

    /// Takes note of a batch that ended well.
    pub(super) fn batch_ran(&mut self, model: ModelId) {
        if let Some(health) = self.checks.as_mut().and_then(|checks| checks.models.get_mut(&model)) {
            health.served = true;
            health.ran();
        }
    }
}

impl Health {
    fn new(model: &Arc<Model>) -> Self {
        let model = Arc::clone(model);
        Self { model, well: false, failures: 0, proved: false, served: false, mute: false, last: None }
    }

    fn made_up_ran(&mut self) {
        self.proved = true;
        self.ran();
    }

    fn ran(&mut self) {
        (self.well, self.failures) = (true, 0);
        if self.model.ailment().is_some() {
            self.model.set_ailment(None);
            tracing::info!(model = %self.model.name, "well again");
        }
    }

    /// Counts a failed canary, if it says anything of this model.
    fn failed(&mut self, words: &str) {
        // Input that never ran and may be no input at all says nothing, nor does it against callers' that ran.
        if !self.proved && (self.served || !exec::is_sound(&self.model.spec)) {
            self.mute = true;
            let model = &self.model.name;
            return tracing::warn!(%model, "health is known by callers' batches alone: a made-up row fails: {words}");
        }
        self.failures += 1;
        match self.failures {
            FAILURES => self.unwell(format!("canary failed: {words}")),
            1 => tracing::warn!(model = %self.model.name, "canary failed: {words}"),
            _ => {}
        }
    }

    /// Takes the model out of readiness until something of it ends well.
    fn unwell(&self, why: String) {
        if self.model.ailment().is_none() {
            tracing::error!(model = %self.model.name, "not ready: {why}");
        }
        self.model.set_ailment(Some(why));
    }
}
