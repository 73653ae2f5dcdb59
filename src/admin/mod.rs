//! The admin plane: a listener of its own, for probes and scrapers.
//!
//! Decides the routes and forms of the admin plane (docs/interface.md). Does not decide what ready means.

mod probes;
mod serve;

use crate::metrics::Metrics;
use crate::readiness::Readiness;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use std::sync::Arc;

/// What the admin plane shows.
#[derive(Debug, Clone)]
pub struct Admin {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For `/readyz`.
    pub readiness: Arc<Readiness>,
}

impl Admin {
    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(probes::livez))
            .route("/readyz", get(probes::readyz))
            .fallback(async || (StatusCode::NOT_FOUND, "not found: there are /metrics, /livez and /readyz\n"))
            .with_state(self)
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], Body::from(text)).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("metrics cannot be written: {e}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
