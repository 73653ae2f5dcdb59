//! What is loaded, and what it has done: the repository index and the statistics of a model, in the
//! shapes of Triton's `extension_model_repository.md` and `extension_statistics.md`.

use super::VERSION;
use crate::clock;
use crate::error::{Error, Reason};
use crate::front::json::object;
use crate::front::{Front, respond};
use crate::metrics::{ModelMetrics, Total};
use crate::model::{Model, ModelState};
use crate::types::Time;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// One model of the index.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    version: &'static str,
    state: &'static str,
    reason: &'static str,
}

/// What a client may ask of the index.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Wanted {
    ready: bool,
}

/// Answers `POST /v2/repository/index`.
pub(super) async fn index(State(front): State<Arc<Front>>, body: Bytes) -> Result<Response, Error> {
    let wanted: Wanted = read(&body)?;
    let models = front.registry.list();
    let entries: Vec<_> = models.iter().map(|m| entry(m)).filter(|e| !wanted.ready || e.state == "READY").collect();
    respond::json(&entries)
}

/// Refuses a load that asks for another configuration or other files than the model's own.
pub(super) fn no_changes(body: &[u8]) -> Result<(), Error> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Asked {
        parameters: BTreeMap<String, IgnoredAny>,
    }
    let asked: Asked = read(body)?;
    match asked.parameters.keys().next() {
        None => Ok(()),
        Some(name) => {
            let message = format!("parameters.{name}: a model is loaded as its folder says, without parameters");
            Err(Error::new(Reason::Unsupported, message))
        }
    }
}

/// A body, of which none is as good as an empty object.
fn read<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Error> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    object(body, "what is asked of the repository")
}

fn entry(model: &Model) -> Entry<'_> {
    let (state, reason) = match model.state() {
        ModelState::Ready if model.ailment().is_some() => ("UNAVAILABLE", "not well"),
        ModelState::Loading => ("LOADING", ""),
        ModelState::Ready => ("READY", ""),
        ModelState::Failed => ("UNAVAILABLE", "no device left"),
        ModelState::Unloaded => ("UNAVAILABLE", "unloaded"),
    };
    Entry { name: &model.name, version: VERSION, state, reason }
}

/// The answer to `GET /v2/models/M/stats`.
#[derive(Serialize)]
pub(super) struct Statistics<'a> {
    model_stats: [ModelStats<'a>; 1],
}

#[derive(Serialize)]
struct ModelStats<'a> {
    name: &'a str,
    version: &'static str,
    /// Milliseconds since 1970 when a request last ended well; zero before.
    last_inference: u64,
    /// Rows answered.
    inference_count: u64,
    /// Batches run.
    execution_count: u64,
    inference_stats: InferenceStats,
}

#[derive(Serialize)]
struct InferenceStats {
    success: Duration,
    fail: Duration,
    queue: Duration,
    compute_infer: Duration,
}

#[derive(Serialize)]
struct Duration {
    count: u64,
    ns: u64,
}

impl From<Total> for Duration {
    fn from(total: Total) -> Self {
        Self { count: total.count, ns: (total.sum * 1e9) as u64 }
    }
}

/// Milliseconds since 1970.
fn millis(time: Time) -> u64 {
    let since = clock::date(time).duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Describes what `model` has done since the start.
pub(super) fn statistics<'a>(model: &'a Model, metrics: &ModelMetrics) -> Statistics<'a> {
    let rows = metrics.batch_rows();
    let [success, fail] = metrics.requests();
    let inference_stats = InferenceStats {
        success: success.into(),
        fail: fail.into(),
        queue: metrics.queued().into(),
        compute_infer: metrics.computed().into(),
    };
    let stats = ModelStats {
        name: &model.name,
        version: VERSION,
        last_inference: metrics.last_used().map_or(0, millis),
        inference_count: rows.sum as u64,
        execution_count: rows.count,
        inference_stats,
    };
    Statistics { model_stats: [stats] }
}
