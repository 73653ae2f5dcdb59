//! The admin plane: a listener of its own, for probes, scrapers and operators.
//!
//! Decides the routes and forms of the admin plane (docs/interface.md). Does not decide what ready means.

mod refusal;
mod trace;

use crate::metrics::Metrics;
use crate::model::ModelState;
use crate::readiness::Readiness;
use crate::trace::Recorder;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{StatusCode, header};
use serde::Serialize;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;

/// What the admin plane shows.
#[derive(Debug, Clone)]
pub struct Admin {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For `/readyz`.
    pub readiness: Arc<Readiness>,
    /// For `/trace`.
    pub recorder: Arc<Recorder>,
}

impl Admin {
    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/trace", post(trace::record))
            .fallback(async || (StatusCode::NOT_FOUND, "not found: there are /metrics, /livez, /readyz and /trace\n"))
            .with_state(self)
    }

    /// Serves until `shutdown` completes and the last answer is written.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        axum::serve(listener, self.router()).with_graceful_shutdown(shutdown).await
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], Body::from(text)).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("metrics cannot be written: {e}\n")).into_response(),
    }
}

/// What `/readyz` says: enough for an operator to see what is missing.
#[derive(Serialize)]
struct Ready {
    ready: bool,
    draining: bool,
    missing: BTreeMap<String, &'static str>,
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let draining = admin.readiness.is_draining();
    let missing: BTreeMap<_, _> =
        admin.readiness.missing().into_iter().map(|(model, state)| (model.name.to_string(), word(state))).collect();
    let ready = !draining && missing.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_string(&Ready { ready, draining, missing }) {
        Ok(json) => (status, [(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

fn word(state: ModelState) -> &'static str {
    match state {
        ModelState::Loading => "loading",
        ModelState::Ready => "ready",
        ModelState::Failed => "failed",
    }
}

#[cfg(test)]
mod tests;
