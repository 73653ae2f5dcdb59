//! Who a request is from.
//!
//! Decides the tenant: where API keys are configured the one that the request's key stands for, else the one it
//! says it is. What is passed to the upstream is not asked here: its `authorization` is the upstream's to judge.

use super::call::visible;
use super::{Front, body};
use crate::error::{Error, Reason};
use crate::keys::Keys;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, header};
use std::sync::Arc;

const TENANT: HeaderName = HeaderName::from_static("x-inferneo-tenant");
const SCHEME: &[u8] = b"Bearer";

/// The tenant a request is from; empty where it need not say and does not.
///
/// # Errors
/// `unauthenticated` where there are keys and it has none of them, else `invalid_request` for a name that
/// cannot be one.
pub(super) fn tenant(keys: Option<&Keys>, headers: &HeaderMap) -> Result<Arc<str>, Error> {
    let Some(keys) = keys else { return named(headers) };
    let unknown = |message| Error::new(Reason::Unauthenticated, message);
    let key =
        bearer(headers).ok_or_else(|| unknown("an API key is needed: send the header `authorization: Bearer KEY`"))?;
    keys.tenant(key).ok_or_else(|| unknown("the API key is not known"))
}

/// The layer of routes whose answers do not depend on the tenant: lets through who has a key.
pub(super) async fn guard(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    if let Some(keys) = &front.keys
        && let Err(error) = tenant(Some(keys), request.headers())
    {
        let (parts, body) = request.into_parts();
        body::linger(&parts.headers, body);
        return error.into_response();
    }
    next.run(request).await
}

fn named(headers: &HeaderMap) -> Result<Arc<str>, Error> {
    let mut all = headers.get_all(TENANT).iter();
    let Some(value) = all.next() else {
        return Ok("".into());
    };
    // One of them may be the caller's own, beside that of a proxy that means to say who it is.
    if all.next().is_some() {
        return Err(Error::invalid(format!("header {TENANT} must be given once")));
    }
    let allowed = || Error::invalid(format!("header {TENANT} must be at most 128 visible ASCII characters"));
    visible(value).map(Arc::from).ok_or_else(allowed)
}

/// The credentials of the scheme `Bearer`, in any case (RFC 6750, section 2.1, and RFC 9110, section 11.1). Of
/// several headers none counts: which of them a proxy before us looked at is not known.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return None };
    let (scheme, rest) = value.as_bytes().trim_ascii().split_at_checked(SCHEME.len())?;
    let key = rest.trim_ascii_start();
    (scheme.eq_ignore_ascii_case(SCHEME) && !key.is_empty() && key.len() < rest.len()).then_some(key)
}

#[cfg(test)]
mod tests;
