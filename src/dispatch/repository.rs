//! The models that are served, loaded anew and unloaded while requests come.
//!
//! Decides the order of a load: the source is read again, the new model starts beside the old one and takes its place
//! once it answers; the old one goes when the last of its callers has an answer. Of one name there is one change at a
//! time, and an unload overtakes every load that was asked for before. Does not know how a source is read.

use super::changes::{Newcomer, not_loaded, overtaken};
use super::{CostState, Handle, LearnedCost, WorkerPlan, gate};
use crate::clock;
use crate::error::{Error, Reason};
use crate::exec::WorkerHandle;
use crate::model::{Earlier, Model, Registry};
use crate::types::{DeviceId, locked};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use tokio::sync::{Mutex as Turns, oneshot, watch};
use tokio::task::spawn_blocking;

/// Where models come from.
pub trait Source: fmt::Debug + Send + Sync {
    /// Reads a model's source again. Blocks. `before` is the model as it is served now; `learned` is what was learned of
    /// it, and of others.
    ///
    /// # Errors
    /// Why it cannot be served, in words that name the file and the fault.
    fn read(&self, before: &Model, learned: &[LearnedCost]) -> Result<Fresh, String>;
}

/// What a model's source holds.
pub struct Fresh {
    /// The model, under a number that no model had before.
    pub model: Arc<Model>,
    /// Its workers, likewise.
    pub plans: Vec<WorkerPlan>,
    /// What is known of its cost.
    pub learned: Vec<(DeviceId, CostState)>,
    /// Called once it is served, and only then.
    pub placed: Box<dyn FnOnce() + Send>,
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("model", &self.model.id).finish_non_exhaustive()
    }
}

/// The live table of models, and the changes that it takes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repository {
    handle: Handle,
    registry: Arc<Registry>,
    /// `None` where no model is configured: then there is none to load.
    source: Option<Arc<dyn Source>>,
    lines: Arc<Mutex<BTreeMap<Arc<str>, Arc<Line>>>>,
}

/// Those who change one model.
#[derive(Debug, Default)]
struct Line {
    /// Held from the start of a load until the model that it replaced is gone.
    turn: Turns<()>,
    /// Counts unloads. A model takes another's place while this is held.
    unloads: Mutex<watch::Sender<u64>>,
}

impl Line {
    fn unloads(&self) -> watch::Receiver<u64> {
        locked(&self.unloads).subscribe()
    }
}

/// Where the end of a load is told.
type Reply = oneshot::Sender<Result<(), Error>>;

impl Repository {
    /// Builds one over the live table.
    #[must_use]
    pub fn new(handle: Handle, registry: Arc<Registry>, source: Option<Arc<dyn Source>>) -> Self {
        Self { handle, registry, source, lines: Arc::default() }
    }

    /// Where requests are handed in.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Reads a model's source again and serves what it holds from then on; completes once that answers. A load that is
    /// under way is waited for. Must be called within a runtime.
    ///
    /// # Errors
    /// `unknown_model`; `not_ready` with the reason when it cannot be loaded, or is unloaded meanwhile: what was served before goes on
    /// then. `draining` during shutdown.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the load.
    pub async fn load(&self, name: &str) -> Result<(), Error> {
        let name = Arc::clone(&self.get(name)?.name);
        let (line, this) = (self.line(&name), self.clone());
        let unloads = line.unloads();
        let (reply, answer) = oneshot::channel();
        tokio::spawn(async move {
            let _turn = line.turn.lock().await;
            this.reload(&name, &line, unloads, reply).await;
        });
        answer.await.unwrap_or_else(|_| Err(gate::draining()))
    }

    /// Takes a model out of service: its requests are refused from then on, what waits and runs is answered, then its
    /// sessions end. Completes once they are refused.
    ///
    /// # Errors
    /// `unknown_model`, and `draining` once the driver has ended.
    pub async fn unload(&self, name: &str) -> Result<(), Error> {
        let line = self.line(&self.get(name)?.name);
        let model = {
            let unloads = locked(&line.unloads);
            unloads.send_modify(|count| *count += 1);
            self.get(name)?
        };
        self.handle.unload(model).await
    }

    fn line(&self, name: &Arc<str>) -> Arc<Line> {
        Arc::clone(locked(&self.lines).entry(Arc::clone(name)).or_default())
    }

    fn get(&self, name: &str) -> Result<Arc<Model>, Error> {
        let unknown = || Error::new(Reason::UnknownModel, format_args!("model `{name}` is not known"));
        self.registry.get(name).ok_or_else(unknown)
    }

    /// Has what a model's source holds take its place, and tells; then sees the model off that was there.
    async fn reload(&self, name: &str, line: &Line, unloads: watch::Receiver<u64>, reply: Reply) {
        let begun = clock::now();
        match self.place(name, line, unloads).await {
            Ok((old, earlier)) => {
                tracing::info!(model = name, took = ?clock::now().since(begun), "loaded anew");
                // The caller may have disconnected.
                drop(reply.send(Ok(())));
                earlier.ended().await;
                self.see_off(old).await;
            }
            Err(error) => {
                tracing::warn!(model = name, "what was served goes on: {}", error.message);
                drop(reply.send(Err(error)));
            }
        }
    }

    /// Has what a model's source holds take its place. Returns what was there, and who may still use that.
    async fn place(
        &self,
        name: &str,
        line: &Line,
        mut unloads: watch::Receiver<u64>,
    ) -> Result<(Arc<Model>, Earlier), Error> {
        let old = self.get(name)?;
        // It may be starting, with the program. Whatever comes of it, it is read again.
        if let Err(error @ Error { reason: Reason::Draining, .. }) = self.handle.started(Arc::clone(&old)).await {
            return Err(error);
        }
        if unloads.has_changed().unwrap_or(true) {
            return Err(overtaken(name));
        }
        let Fresh { model, plans, learned, placed } = self.read(&old).await?;
        let newcomer = Newcomer { before: old.id, model: Arc::clone(&model), plans, learned };
        let started = tokio::select! {
            biased;
            _ = unloads.changed() => Err(overtaken(name)),
            started = self.handle.enlist(newcomer) => started,
        };
        let taken = started.and_then(|()| {
            let _no_unload = locked(&line.unloads);
            match unloads.has_changed() {
                Ok(false) => Ok(self.registry.replace(&model)),
                Ok(true) | Err(_) => Err(overtaken(name)),
            }
        });
        match taken {
            Ok(earlier) => {
                placed();
                Ok((old, earlier))
            }
            Err(error) => {
                self.see_off(model).await;
                Err(error)
            }
        }
    }

    /// Reads a model's source, off the runtime.
    async fn read(&self, old: &Arc<Model>) -> Result<Fresh, Error> {
        let Some(source) = self.source.clone() else {
            return Err(not_loaded(&old.name, "this program was started without a model"));
        };
        let (learned, before) = (self.handle.learned().await, Arc::clone(old));
        let read = spawn_blocking(move || source.read(&before, &learned)).await;
        let read = read.unwrap_or_else(|error| Err(format!("reading its source failed: {error}")));
        read.map_err(|why| not_loaded(&old.name, &why))
    }

    /// Ends a model that callers are sent to no more.
    async fn see_off(&self, model: Arc<Model>) {
        let workers = self.handle.retire(model).await;
        let joined = spawn_blocking(|| workers.into_iter().for_each(WorkerHandle::join));
        // A panic has been told of.
        drop(joined.await);
    }
}
