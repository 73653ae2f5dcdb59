//! Refusals of the admin plane: `{"error": …, "reason": …}`, with the status of the reason.

use crate::error::Error;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// The answer that says why a request is refused.
pub(super) fn answer(error: &Error) -> Response {
    let status = error.reason.status();
    let body = json!({"error": error.message, "reason": error.reason.label()}).to_string();
    let code = StatusCode::from_u16(status.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (code, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    if let Some(after) = error.retry_after.filter(|_| status.retryable) {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}
