//! The probes of whoever runs the process: does it live, does it want traffic.
//!
//! Decides how readiness is written down. Does not decide what ready means.

use super::Admin;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use std::collections::BTreeMap;

/// Answers `GET /livez`: whoever can answer lives, unless only a new process can serve what is to be served.
pub(super) async fn livez(State(admin): State<Admin>) -> (StatusCode, String) {
    let lost: Vec<_> = admin.readiness.beyond_help().iter().map(|model| model.name.to_string()).collect();
    match lost.is_empty() {
        true => (StatusCode::OK, "ok\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, format!("every GPU is lost to {}\n", lost.join(", "))),
    }
}

/// What `/readyz` says: enough for an operator to see what is missing.
#[derive(Serialize)]
struct Ready {
    ready: bool,
    draining: bool,
    missing: BTreeMap<String, String>,
}

/// Answers `GET /readyz`.
pub(super) async fn readyz(State(admin): State<Admin>) -> Response {
    let draining = admin.readiness.is_draining();
    let missing: BTreeMap<_, _> =
        admin.readiness.missing().into_iter().map(|(model, why)| (model.name.to_string(), why)).collect();
    let ready = !draining && missing.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_string(&Ready { ready, draining, missing }) {
        Ok(json) => (status, [(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
