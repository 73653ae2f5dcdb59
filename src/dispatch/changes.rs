//! Models that come and go while the program runs, as the driver sees them.
//!
//! Decides when the sessions of a model that goes end: once what waits and runs has its answer. An unloaded model stays
//! known, with what was learned of its cost; a retired one is forgotten. Does not know where a new model comes from, nor
//! who is sent to which: that is `repository`'s.

use super::driver::Driver;
use super::workers::{WorkerPlan, WorkerSlot};
use super::{Control, Handle, gate};
use crate::clock;
use crate::error::{Error, Reason};
use crate::exec::WorkerHandle;
use crate::model::{Model, ModelState};
use crate::sched::{CostState, WorkerState};
use crate::types::{DeviceId, ModelId, WorkerId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Where the end of a change is told.
pub(super) type Reply = oneshot::Sender<Result<(), Error>>;

/// A model that is to take another's place.
pub(super) struct Newcomer {
    /// The one whose place it takes.
    pub(super) before: ModelId,
    /// It, under a number of its own.
    pub(super) model: Arc<Model>,
    /// Its workers.
    pub(super) plans: Vec<WorkerPlan>,
    /// What is known of its cost.
    pub(super) learned: Vec<(DeviceId, CostState)>,
}

impl fmt::Debug for Newcomer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Newcomer").field("before", &self.before).field("model", &self.model.id).finish_non_exhaustive()
    }
}

/// Changes under way.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Models whose sessions end once nothing of them is left to do.
    leaving: BTreeMap<ModelId, End>,
    /// Models that are waited for.
    coming: Vec<Coming>,
    /// Models of one name: one that goes, and the one that takes its place.
    twins: Vec<(ModelId, ModelId)>,
}

/// How a model ends that goes.
#[derive(Debug)]
enum End {
    /// It may be asked about still.
    Unloaded,
    /// It is forgotten; its workers are to be joined by whoever is told.
    Retired(oneshot::Sender<Vec<WorkerHandle>>),
}

/// A model that is waited for.
#[derive(Debug)]
struct Coming {
    model: Arc<Model>,
    /// Why the worker that was lost last was lost.
    why: Option<String>,
    reply: Reply,
}

impl Changes {
    /// The other model of the same name, if there are two.
    pub(super) fn twin(&self, model: ModelId) -> Option<ModelId> {
        let other = |&(old, new)| if old == model { Some(new) } else { (new == model).then_some(old) };
        self.twins.iter().find_map(other)
    }

    /// Whether callers are sent to a model, or will be once it has started.
    pub(super) fn is_current(&self, model: ModelId) -> bool {
        let is_new = self.twins.iter().any(|(_, new)| *new == model);
        let waits = is_new && self.coming.iter().any(|coming| coming.model.id == model);
        !waits && !matches!(self.leaving.get(&model), Some(End::Retired(_)))
    }

    /// Takes note of why a worker was lost, for whoever waits for its model.
    pub(super) fn lost(&mut self, model: ModelId, why: &str) {
        for coming in self.coming.iter_mut().filter(|coming| coming.model.id == model) {
            coming.why = Some(why.to_owned());
        }
    }
}

impl Driver {
    /// Tells once every worker of a model has started or failed to.
    pub(super) fn tell_started(&mut self, model: Arc<Model>, reply: Reply) {
        match self.draining {
            true => drop(reply.send(Err(gate::draining()))),
            false => self.changes.coming.push(Coming { model, why: None, reply }),
        }
    }

    /// Starts a model beside the one whose place it is to take; tells once it is ready, or was dropped because it cannot
    /// be.
    pub(super) fn enlist(&mut self, newcomer: Newcomer, reply: Reply) {
        if self.draining {
            return drop(reply.send(Err(gate::draining())));
        }
        let Newcomer { before, model, plans, learned } = newcomer;
        self.changes.twins.push((before, model.id));
        self.changes.coming.push(Coming { model: Arc::clone(&model), why: None, reply });
        for plan in plans {
            let worker = plan.id;
            if let Err(error) = self.add_worker(plan) {
                self.worker_lost(worker, &error.to_string(), false);
            }
        }
        for (device, cost) in &learned {
            if let Err(error) = self.restore(model.id, *device, cost) {
                tracing::warn!(model = %model.name, "learned costs are learned anew: {error}");
            }
        }
        self.look_after(&model);
        self.judge(&model);
    }

    /// Takes a model out of service: from now on its requests are refused.
    pub(super) fn unload(&mut self, model: &Arc<Model>, reply: Reply) {
        if model.state() != ModelState::Unloaded {
            tracing::info!(model = %model.name, "unloading");
            model.set_state(ModelState::Unloaded);
            model.set_ailment(None);
            self.changes.leaving.entry(model.id).or_insert(End::Unloaded);
        }
        // The caller may have disconnected.
        drop(reply.send(Ok(())));
    }

    /// Takes a model out of service for good; what is left of its workers is told once they have nothing to do.
    pub(super) fn retire(&mut self, model: &Arc<Model>, reply: oneshot::Sender<Vec<WorkerHandle>>) {
        model.set_state(ModelState::Unloaded);
        model.set_ailment(None);
        for worker in self.workers_of(model.id) {
            if let Some(handle) = self.workers.get(&worker).and_then(|slot| slot.handle.as_ref()) {
                handle.retire();
            }
        }
        self.changes.leaving.insert(model.id, End::Retired(reply));
    }

    /// Ends what has come to its end: sessions that nobody needs any more, and waits for a model.
    pub(super) fn settle(&mut self) {
        if self.changes.leaving.is_empty() && self.changes.coming.is_empty() {
            return;
        }
        self.end_waits();
        let mut gone: Vec<ModelId> = self.changes.leaving.keys().copied().collect();
        gone.retain(|model| self.is_done_with(*model));
        for model in gone {
            match self.changes.leaving.remove(&model) {
                // Nobody may wait to join them: then they end by themselves.
                Some(End::Retired(reply)) => drop(reply.send(self.forget(model))),
                Some(End::Unloaded) => self.workers_of(model).into_iter().for_each(|worker| self.dismiss(worker)),
                None => {}
            }
        }
    }

    /// Tells those who wait for a model what became of it. One that cannot take the place it was for is dropped.
    fn end_waits(&mut self) {
        let is_starting = |coming: &Coming| coming.model.state() == ModelState::Loading;
        let (coming, over): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.changes.coming).into_iter().partition(is_starting);
        self.changes.coming = coming;
        for Coming { model, why, reply } in over {
            let is_new = self.changes.twins.iter().any(|(_, new)| *new == model.id);
            if is_new && model.state() == ModelState::Failed {
                model.set_state(ModelState::Unloaded);
                drop(self.forget(model.id));
                drop(reply.send(Err(not_loaded(&model.name, why.as_deref().unwrap_or("it has no worker")))));
            } else {
                drop(reply.send(outcome(&model)));
            }
        }
    }

    /// Whether nothing of a model waits or runs, a made-up row included.
    fn is_done_with(&self, model: ModelId) -> bool {
        self.sched.is_idle_for(model)
            && self.running.values().all(|run| run.dispatch.model != model)
            && !self.has_canary(model)
    }

    fn workers_of(&self, model: ModelId) -> Vec<WorkerId> {
        self.workers.iter().filter(|(_, w)| w.plan.model.id == model).map(|(id, _)| *id).collect()
    }

    /// Lets an idle worker's thread end, and its session with it.
    fn dismiss(&mut self, id: WorkerId) {
        if let Some(handle) = self.workers.get_mut(&id).and_then(WorkerSlot::dismiss) {
            handle.retire();
            self.sched.handle_worker(id, WorkerState::Lost, clock::now());
        }
    }

    /// Forgets a model that nothing is left of; hands out its workers.
    fn forget(&mut self, model: ModelId) -> Vec<WorkerHandle> {
        let mut left = Vec::new();
        for id in self.workers_of(model) {
            let Some(mut slot) = self.workers.remove(&id) else { continue };
            left.extend(slot.dismiss());
            // How busy a device was is counted over its workers: what one did stays done.
            if let Some(heir) = self.workers.values_mut().find(|heir| heir.plan.device == slot.plan.device) {
                heir.busy += slot.busy;
            }
        }
        self.sched.handle_model(model, None, clock::now());
        self.models.remove(&model);
        self.changes.twins.retain(|(old, new)| *old != model && *new != model);
        self.look_no_more_after(model);
        left
    }
}

impl Handle {
    /// Completes once every worker of a model has started or failed to, one way or the other.
    pub(super) async fn started(&self, model: Arc<Model>) -> Result<(), Error> {
        self.change(|reply| Control::Started(model, reply)).await
    }

    /// Starts a model beside the one whose place it is to take; completes once it answers. One that cannot is dropped.
    pub(super) async fn enlist(&self, newcomer: Newcomer) -> Result<(), Error> {
        self.change(|reply| Control::Enlist(newcomer, reply)).await
    }

    /// Takes a model out of service: its requests are refused from then on, what waits and runs is answered, then its
    /// sessions end.
    pub(super) async fn unload(&self, model: Arc<Model>) -> Result<(), Error> {
        self.change(|reply| Control::Unload(model, reply)).await
    }

    /// The same for good: the model is forgotten. Completes once it is; what is left of its workers is to be joined.
    pub(super) async fn retire(&self, model: Arc<Model>) -> Vec<WorkerHandle> {
        let (reply, answer) = oneshot::channel();
        self.tell(Control::Retire(model, reply));
        // A driver that has ended handed them to whoever stops the program.
        answer.await.unwrap_or_default()
    }

    async fn change(&self, control: impl FnOnce(Reply) -> Control) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.tell(control(reply));
        answer.await.unwrap_or_else(|_| Err(gate::draining()))
    }
}

fn outcome(model: &Model) -> Result<(), Error> {
    match model.state() {
        ModelState::Ready => Ok(()),
        ModelState::Unloaded => Err(overtaken(&model.name)),
        ModelState::Loading | ModelState::Failed => Err(not_loaded(&model.name, "the log says why")),
    }
}

/// The refusal of a load that an unload overtook.
pub(super) fn overtaken(model: &str) -> Error {
    Error::new(Reason::NotReady, format_args!("model `{model}` was unloaded again"))
}

/// The refusal of a load that came to nothing.
pub(super) fn not_loaded(model: &str, why: &str) -> Error {
    Error::new(Reason::NotReady, format_args!("model `{model}` could not be loaded: {why}"))
}
