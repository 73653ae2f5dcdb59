//! The recording that lasts as long as the program, where one is set.

use super::AppError;
use crate::clock;
use crate::config::Config;
use crate::dispatch::{Handle, recorded_models};
use crate::model::Registry;
use crate::trace::{Files, Models, Writer};
use std::sync::Arc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

/// A recording, and whom it asks what the models are.
pub(super) struct Recording {
    writer: Writer,
    handle: Handle,
    registry: Arc<Registry>,
}

/// Finds out whether a recording can be written, before anything runs that would have to be stopped.
pub(super) fn check(config: &Config) -> Result<(), AppError> {
    let Some(files) = files(config) else { return Ok(()) };
    files.check().map_err(|source| AppError::Trace { path: files.path, source })
}

fn files(config: &Config) -> Option<Files> {
    config.trace.as_ref().map(|f| Files { path: f.path.clone(), max_bytes: f.max_bytes, keep: f.keep })
}

/// Begins to record. Must be called within a runtime.
pub(super) fn begin(config: &Config, handle: &Handle, registry: &Arc<Registry>) -> Result<Option<Recording>, AppError> {
    let Some(files) = files(config) else { return Ok(None) };
    let (path, runtime) = (files.path.clone(), tokio::runtime::Handle::current());
    let (asked, known) = (handle.clone(), Arc::clone(registry));
    let models = move || runtime.block_on(models(&asked, &known));
    let writer = files.record(handle.recorder(), clock::now(), clock::wall_now(), models);
    let writer = writer.map_err(|source| AppError::Trace { path, source })?;
    Ok(Some(Recording { writer, handle: handle.clone(), registry: Arc::clone(registry) }))
}

/// The models as they are; none once the driver has ended.
async fn models(handle: &Handle, registry: &Registry) -> Models {
    handle.report().await.map(|report| recorded_models(&registry.list(), &report)).unwrap_or_default()
}

/// A recording, if there is one, with what its last line is to say of the models.
pub(super) struct Told(Option<(Writer, Models)>);

/// Asks what the models are, while the driver still runs.
pub(super) async fn told(recording: Option<Recording>) -> Told {
    let Some(Recording { writer, handle, registry }) = recording else { return Told(None) };
    Told(Some((writer, models(&handle, &registry).await)))
}

impl Told {
    /// Writes what is left, until the deadline at the longest.
    pub(super) async fn finish(self, deadline: Instant) {
        let Some((writer, models)) = self.0 else { return };
        let written = spawn_blocking(|| writer.finish(models, clock::now()));
        if timeout_at(deadline, written).await.is_err() {
            tracing::warn!("the trace is not complete: the drain ended before it was written");
        }
    }
}
