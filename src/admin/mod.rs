//! The admin plane: a listener of its own, for probes, scrapers and operators.
//!
//! Decides the routes and forms of the admin plane (docs/interface.md). Does not decide what ready means.

mod busy;
mod decisions;
mod gpus;
mod history;
mod page;
mod policies;
mod probes;
mod serve;
mod stats;
mod trace;

pub use history::History;

use crate::dispatch::Handle;
use crate::error::{Error, Reason, retry_seconds};
use crate::gpu::Shown;
use crate::metrics::Metrics;
use crate::model::Registry;
use crate::readiness::Readiness;
use crate::reload::Live;
use crate::types::Time;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What the admin plane shows.
#[derive(Debug, Clone)]
pub struct Admin {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For `/readyz`.
    pub readiness: Arc<Readiness>,
    /// For whether a model is known.
    pub registry: Arc<Registry>,
    /// For `/policies` and `/strategy`.
    pub live: Arc<Live>,
    /// For what the scheduler does.
    pub handle: Handle,
    /// Whether a canary stands behind readiness.
    pub health_checks: bool,
    /// When the program started.
    pub started: Time,
    /// For `/stats/history`.
    pub history: Arc<History>,
    /// The GPUs, for `/stats`.
    pub gpus: Shown,
}

impl Admin {
    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/", get(page::page))
            .route("/metrics", get(metrics))
            .route("/livez", get(probes::livez))
            .route("/readyz", get(probes::readyz))
            .route("/policies", get(policies::show))
            .route("/strategy", put(policies::set).delete(policies::clear))
            .route("/trace", post(trace::record))
            .route("/stats", get(stats::stats))
            .route("/stats/history", get(history::history))
            .route("/decisions", get(decisions::decisions))
            .method_not_allowed_fallback(async |method: Method| {
                refuse(&Error::new(Reason::MethodNotAllowed, format!("method {method} is not allowed here")))
            })
            .fallback(async |uri: Uri| {
                refuse(&Error::new(Reason::NotFound, format!("there is nothing at {}", uri.path())))
            })
            .layer(from_fn(serve::whole_body))
            .with_state(self)
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], Body::from(text)).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("metrics cannot be written: {e}\n")).into_response(),
    }
}

/// An answer of 200 in JSON.
fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("the answer cannot be written: {e}\n")).into_response(),
    }
}

/// RFC 3339, in UTC.
fn date(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// Milliseconds.
fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A refusal in JSON, with its status.
fn refuse(error: &Error) -> Response {
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: &'a str,
        reason: &'static str,
    }
    let status = error.reason.status();
    let mut response = json(&Refusal { error: &error.message, reason: error.reason.label() });
    *response.status_mut() = StatusCode::from_u16(status.http).unwrap_or_default();
    if let Some(after) = error.retry_after.filter(|_| status.retryable) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_seconds(after)));
    }
    response
}

#[cfg(test)]
mod tests;
