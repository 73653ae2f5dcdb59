//! Whether the program wants traffic.
//!
//! Decides the answer of every readiness probe: all models ready, no drain begun. Knows no protocol.

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

    /// The models that cannot answer now, with their states.
    #[must_use]
    pub fn missing(&self) -> Vec<(Arc<Model>, ModelState)> {
        let state = |m: &Arc<Model>| (Arc::clone(m), m.state());
        self.registry.list().iter().map(state).filter(|(_, s)| *s != ModelState::Ready).collect()
    }

    /// Whether traffic is wanted.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.is_draining() && self.registry.list().iter().all(|m| m.state() == ModelState::Ready)
    }
}
