//! Whether the program wants traffic, and whether it lives.
//!
//! Decides the answer of every readiness probe: all models ready and well but those that were unloaded on
//! request, no drain begun; and of every liveness probe: no model that only another process could bring back.
//! Knows no protocol.

use crate::model::{Model, ModelState, Registry};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by both planes and by whoever stops the program.
#[derive(Debug)]
pub struct Readiness {
    registry: Arc<Registry>,
    draining: AtomicBool,
}

impl Readiness {
    /// Builds one over the live table, not draining.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry, draining: AtomicBool::new(false) }
    }

    /// Turns every probe to "not ready", for good.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether a drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The models that should be ready and are not, and why.
    #[must_use]
    pub fn missing(&self) -> Vec<(Arc<Model>, String)> {
        let why = |model: &Arc<Model>| Some((Arc::clone(model), why_not(model)?));
        self.registry.list().iter().filter(|model| model.state() != ModelState::Unloaded).filter_map(why).collect()
    }

    /// The models that are not served any more, and will not be until the program is started anew.
    ///
    /// A drain ends the program anyway: none then.
    #[must_use]
    pub fn beyond_help(&self) -> Vec<Arc<Model>> {
        let is_lost = |model: &&Arc<Model>| model.state() == ModelState::Failed && model.is_beyond_help();
        let all = self.registry.list();
        all.iter().filter(|_| !self.is_draining()).filter(is_lost).map(Arc::clone).collect()
    }

    /// Whether traffic is wanted.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.is_draining() && self.missing().is_empty()
    }
}

/// Why a model is not ready, for operators; `None` if it is.
#[must_use]
pub fn why_not(model: &Model) -> Option<String> {
    match model.state() {
        ModelState::Ready => model.ailment().map(|why| why.to_string()),
        state => Some(state.name().to_owned()),
    }
}
