//! The tower stacks: what every request passes, and what only an inference passes.
//!
//! Decides their order. What goes to the upstream passes [`everything`] alone, so that no limit or
//! decoding of ours touches it.

use super::call::{Call, CallId, REQUEST_ID};
use super::{Front, auth, body, respond};
use crate::clock;
use crate::error::Error;
use crate::metrics::{Outcome, Protocol, RequestObserved};
use crate::model::Model;
use crate::telemetry::{Finished, TRACEPARENT, TRACESTATE, TraceContext};
use axum::extract::{RawPathParams, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{RequestExt, Router};
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;
use tower::ServiceBuilder;
use tracing::field::{Empty, display};
use tracing::{Instrument, error_span};

/// Wraps every route.
pub(super) fn everything(routes: Router<Arc<Front>>) -> Router<Arc<Front>> {
    routes.layer(
        ServiceBuilder::new()
            // Whatever is answered or logged carries its ids; inside of that, and outside of all that can refuse,
            // refusals are written out: only there are the protocols' error shapes known. The two are one layer,
            // because each layer of its own puts every request's futures on the heap.
            .layer(from_fn(identify)),
    )
}

/// Wraps the routes that run a model.
pub(super) fn inference(front: &Arc<Front>, protocol: Protocol, routes: Router<Arc<Front>>) -> Router<Arc<Front>> {
    // `route_layer`, so that a wrong method is refused without reading a body.
    routes.route_layer(
        ServiceBuilder::new()
            // Reads the headers all others need, and sees every answer, so every call is counted and told of once,
            // under its outcome; one whose client goes away has none and is not. Inside of that, room is reserved
            // before a byte is read, and held until the answer is written. One layer again.
            .layer(from_fn_with_state((Arc::clone(front), protocol), observe)),
    )
}

/// Wraps the routes that tell about the server and its models: where there are keys, it takes one to ask.
pub(super) fn guarded(front: &Arc<Front>, routes: Router<Arc<Front>>) -> Router<Arc<Front>> {
    routes.route_layer(from_fn_with_state(Arc::clone(front), auth::guard))
}

async fn identify(mut request: Request, next: Next) -> Response {
    let id = CallId::of(request.headers());
    let value = id.header();
    // The upstream sees the id as well.
    request.headers_mut().insert(REQUEST_ID, value.clone());
    // Errors and warnings within it name the request whatever the level of the log.
    let (path, trace_id) = (request.uri().path(), Empty);
    let span = error_span!(target: "inferneo::request", "request", id = &*id.0, trace_id, path);
    if let Some(context) = context(request.headers()) {
        span.record("trace_id", display(context.trace));
        request.extensions_mut().insert(Arc::new(context));
    }
    request.extensions_mut().insert(id);
    let mut response = respond::shape(request, next).instrument(span).await;
    response.headers_mut().entry(REQUEST_ID).or_insert(value);
    response
}

fn context(headers: &HeaderMap) -> Option<TraceContext> {
    let values = |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    TraceContext::read(values(TRACEPARENT), values(TRACESTATE))
}

async fn observe(
    State((front, protocol)): State<(Arc<Front>, Protocol)>,
    mut request: Request,
    next: Next,
) -> Response {
    let arrived = clock::now();
    let model = model_of_path(&front, &mut request).await;
    let id = request.extensions().get::<CallId>().cloned().unwrap_or_else(|| CallId::of(request.headers()));
    let caller = request.extensions().get::<Arc<TraceContext>>().cloned();
    let done = |call: Option<&Call>, model: Option<&Arc<Model>>, outcome: Outcome| {
        let (ended, tenant) = (clock::now(), call.map_or("", |call| &call.tenant));
        let counted = model.map(|model| front.metrics.model(&model.name));
        let duration = ended.since(arrived);
        front.metrics.request_done(&RequestObserved {
            model: counted.as_deref(),
            tenant,
            protocol,
            outcome,
            duration,
            now: ended,
        });
        front.tracer.finished(&Finished {
            id: &id.0,
            caller: caller.as_deref(),
            protocol: protocol.label(),
            model: model.map(|model| &*model.name),
            tenant,
            outcome: outcome.label(),
            failed: matches!(outcome, Outcome::Refused(reason) if reason.status().http >= 500),
            arrived,
            decoded: call.and_then(|call| call.decoded.get().copied()),
            ran: call.and_then(|call| call.ran.get()),
            ended,
        });
    };
    let call = match Call::read(&id, arrived, model.clone(), front.keys.as_deref(), request.headers()) {
        Ok(call) => Arc::new(call),
        Err(error) => {
            done(None, model.as_ref(), Outcome::Refused(error.reason));
            let (parts, body) = request.into_parts();
            body::linger(&parts.headers, body);
            return error.into_response();
        }
    };
    request.extensions_mut().insert(Arc::clone(&call));
    let response = body::receive(&front, request, next).await;
    let outcome = respond::refused(&response).map_or(Outcome::Ok, Outcome::Refused);
    done(Some(&call), call.model.get(), outcome);
    response
}

/// The model that the path names, if it is served: known before the body, so that a body's refusal is
/// counted under it.
async fn model_of_path(front: &Front, request: &mut Request) -> Option<Arc<Model>> {
    let names = request.extract_parts::<RawPathParams>().await.ok()?;
    let (_, name) = names.iter().find(|(key, _)| *key == "model")?;
    front.registry.get(name)
}

/// The call a handler works for.
///
/// # Errors
/// `execution_failed` when the route was built without [`inference`]: a mistake in this room.
pub(super) fn call(request: &Request) -> Result<Arc<Call>, Error> {
    let missing = || Error::new(crate::error::Reason::ExecutionFailed, "the route has no call");
    request.extensions().get::<Arc<Call>>().cloned().ok_or_else(missing)
}
