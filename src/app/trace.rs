//! The recording that lasts as long as the program, where one is set.

use super::AppError;
use crate::clock;
use crate::config::Config;
use crate::dispatch::{Handle, recorded_models};
use crate::model::Registry;
use crate::trace::{Files, Models, Writer};
use std::sync::Arc;

/// A recording, and whom it asks what the models are.
pub(super) struct Tracing {
    writer: Writer,
    handle: Handle,
    registry: Arc<Registry>,
}

/// Begins to record. Must be called within a runtime.
pub(super) fn begin(config: &Config, handle: &Handle, registry: &Arc<Registry>) -> Result<Option<Tracing>, AppError> {
    let Some(files) = &config.trace else { return Ok(None) };
    let files = Files { path: files.path.clone(), max_bytes: files.max_bytes, keep: files.keep };
    let (path, runtime) = (files.path.clone(), tokio::runtime::Handle::current());
    let (asked, known) = (handle.clone(), Arc::clone(registry));
    let models = move || runtime.block_on(models(&asked, &known));
    let writer = files.record(handle.recorder(), clock::now(), clock::wall_now(), models);
    let writer = writer.map_err(|source| AppError::Trace { path, source })?;
    Ok(Some(Tracing { writer, handle: handle.clone(), registry: Arc::clone(registry) }))
}

/// The models as they are; none once the driver has ended.
async fn models(handle: &Handle, registry: &Registry) -> Models {
    handle.report().await.map(|report| recorded_models(&registry.list(), &report)).unwrap_or_default()
}

impl Tracing {
    /// What the trace is to say of the models. To be asked for while the driver still runs.
    pub(super) async fn models(&self) -> Models {
        models(&self.handle, &self.registry).await
    }

    /// Writes what is left, with these models. Blocks until it is written.
    pub(super) fn finish(self, models: Models) {
        self.writer.finish(models, clock::now());
    }
}
