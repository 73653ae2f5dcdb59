//! The admin plane: a listener of its own, for probes and scrapers.
//!
//! Decides the routes and forms of the admin plane (docs/interface.md). Does not decide what ready means.

use crate::dispatch::Handle;
use crate::error::{Error, Reason};
use crate::metrics::Metrics;
use crate::model::Registry;
use crate::readiness::Readiness;
use crate::reload::Live;
use crate::types::Time;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use http::{Method, StatusCode, Uri, header};
use serde::Serialize;
use std::sync::Arc;

mod decisions;
mod history;
mod policies;
mod probes;
mod serve;
mod stats;

pub use history::History;

/// Longest body of a request, in bytes.
const MOST_BODY: usize = 64 << 10;

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
}

impl Admin {
    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(probes::livez))
            .route("/readyz", get(probes::readyz))
            .route("/policies", get(policies::show))
            .route("/strategy", put(policies::set).delete(policies::clear).layer(DefaultBodyLimit::max(MOST_BODY)))
            .route("/stats", get(stats::stats))
            .route("/stats/history", get(history::history))
            .route("/decisions", get(decisions::decisions))
            .method_not_allowed_fallback(async |method: Method| {
                refuse(&Error::new(Reason::MethodNotAllowed, format!("method {method} is not allowed here")))
            })
            .fallback(async |uri: Uri| {
                refuse(&Error::new(Reason::NotFound, format!("there is nothing at {}", uri.path())))
            })
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

/// A refusal in JSON, with its status.
fn refuse(error: &Error) -> Response {
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: &'a str,
        reason: &'static str,
    }
    let mut response = json(&Refusal { error: &error.message, reason: error.reason.label() });
    *response.status_mut() = StatusCode::from_u16(error.reason.status().http).unwrap_or_default();
    response
}

#[cfg(test)]
mod tests;
