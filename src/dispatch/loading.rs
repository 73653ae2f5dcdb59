//! Models that are taken out of service and brought back while the program runs.
//!
//! Decides when the sessions of an unloaded model go: once what waits and runs has its answer. What was
//! learned of its cost stays. Does not know who may ask for it.

use super::driver::Driver;
use super::gate;
use crate::clock;
use crate::error::{Error, Reason};
use crate::model::{Model, ModelState};
use crate::sched::WorkerState;
use crate::types::{ModelId, WorkerId};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Where the end of a change is told.
pub(super) type Reply = oneshot::Sender<Result<(), Error>>;

/// Changes under way.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Unloaded models whose sessions are still there.
    leaving: BTreeSet<ModelId>,
    /// Who waits for a model to answer.
    coming: Vec<(Arc<Model>, Reply)>,
}

impl Driver {
    /// Takes a model out of service: from now on its requests are refused.
    pub(super) fn unload(&mut self, model: &Arc<Model>, reply: Reply) {
        if model.state() != ModelState::Unloaded {
            tracing::info!(model = %model.name, "unloading");
            model.set_state(ModelState::Unloaded);
            model.set_ailment(None);
            self.changes.leaving.insert(model.id);
        }
        // Who asked may have gone.
        drop(reply.send(Ok(())));
    }

    /// Brings an unloaded model back; tells once it answers, or cannot.
    pub(super) fn load(&mut self, model: &Arc<Model>, reply: Reply) {
        if self.draining {
            return drop(reply.send(Err(gate::draining())));
        }
        if model.state() == ModelState::Unloaded {
            tracing::info!(model = %model.name, "loading");
            model.set_state(ModelState::Loading);
            self.changes.leaving.remove(&model.id);
            for worker in self.workers_of(model.id) {
                if let Err(error) = self.start_worker(worker) {
                    self.worker_lost(worker, &error.to_string(), false);
                }
            }
            self.judge(model);
        }
        self.changes.coming.push((Arc::clone(model), reply));
    }

    /// Ends what has come to its end: sessions that nobody needs any more, and waits for a model.
    pub(super) fn settle(&mut self) {
        if self.changes.leaving.is_empty() && self.changes.coming.is_empty() {
            return;
        }
        let leaving = |id: &ModelId| self.changes.leaving.contains(id) && self.is_done_with(*id);
        let gone: Vec<ModelId> = self.models.keys().copied().filter(leaving).collect();
        for model in gone {
            self.changes.leaving.remove(&model);
            for worker in self.workers_of(model) {
                self.dismiss(worker);
            }
        }
        let (coming, over) = std::mem::take(&mut self.changes.coming)
            .into_iter()
            .partition(|(model, _)| model.state() == ModelState::Loading);
        self.changes.coming = coming;
        for (model, reply) in over {
            drop(reply.send(outcome(&model)));
        }
    }

    /// Whether nothing of a model waits or runs, a made-up row included.
    fn is_done_with(&self, model: ModelId) -> bool {
        self.sched.is_idle_for(model)
            && self.running.values().all(|run| run.dispatch.model != model)
            && !self.has_canary(model)
    }

    fn workers_of(&self, model: ModelId) -> Vec<WorkerId> {
        let mut own: Vec<WorkerId> =
            self.workers.iter().filter(|(_, w)| w.plan.model.id == model).map(|(id, _)| *id).collect();
        own.sort_unstable();
        own
    }

    /// Lets an idle worker's thread end, and its session with it.
    fn dismiss(&mut self, id: WorkerId) {
        if let Some(handle) = self.workers.get_mut(&id).and_then(super::workers::WorkerSlot::dismiss) {
            handle.retire();
            self.sched.handle_worker(id, WorkerState::Lost, clock::now());
        }
    }
}

fn outcome(model: &Model) -> Result<(), Error> {
    let why = match model.state() {
        ModelState::Ready => return Ok(()),
        ModelState::Unloaded => "was unloaded again",
        ModelState::Loading | ModelState::Failed => "could not be loaded: the log says why",
    };
    Err(Error::new(Reason::NotReady, format_args!("model `{}` {why}", model.name)))
}
