//! What every request passes, and what only an inference passes.
//!
//! Decides their order. What goes to the upstream passes [`answer`] alone, so that no limit or decoding of ours
//! touches it. An inference passes plain functions, around the router and around its handler: each layer of the
//! router would put the request's futures on the heap, and a copy of itself with them.

use super::call::{Call, CallId, REQUEST_ID};
use super::respond::Form;
use super::{Front, auth, body};
use crate::clock;
use crate::error::Error;
use crate::listener::holding;
use crate::metrics::{Outcome, Protocol, RequestObserved};
use crate::model::Model;
use crate::telemetry::{Finished, TRACEPARENT, TRACESTATE, TraceContext};
use crate::types::Time;
use axum::Router;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;
use tower::Service;
use tracing::field::{Empty, display};
use tracing::{Instrument, error_span};

/// An inference that is admitted, as its handler takes it.
pub(super) struct Inference {
    pub(super) front: Arc<Front>,
    pub(super) call: Arc<Call>,
    /// What the variable parts of the path are; `None` where they are not UTF-8.
    pub(super) path: Option<RawPathParams>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A route that runs a model. A wrong method is refused without reading a body.
pub(super) fn inference<F>(protocol: Protocol, run: fn(Inference) -> F) -> MethodRouter<Arc<Front>>
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    post(move |State(front): State<Arc<Front>>, request: Request| observe(front, protocol, request, run))
}

/// Wraps the routes that tell about the server and its models: where there are keys, it takes one to ask.
pub(super) fn guarded(front: &Arc<Front>, routes: Router<Arc<Front>>) -> Router<Arc<Front>> {
    routes.route_layer(from_fn_with_state(Arc::clone(front), auth::guard))
}

/// Answers a request. Whatever is answered or logged carries its ids, and refusals are written out here, outside of all
/// that can refuse.
pub(super) async fn answer(mut router: Router, mut request: Request) -> Response {
    let id = CallId::of(request.headers());
    let value = id.header();
    // The upstream sees the id as well.
    request.headers_mut().insert(REQUEST_ID, value.clone());
    let (path, trace_id) = (request.uri().path(), Empty);
    let form = Form::of(request.method(), path);
    // Errors and warnings within it name the request whatever the level of the log.
    let span = error_span!(target: "inferneo::request", "request", id = &*id.0, trace_id, path);
    if let Some(context) = context(request.headers()) {
        span.record("trace_id", display(context.trace));
        request.extensions_mut().insert(Arc::new(context));
    }
    request.extensions_mut().insert(id);
    let Ok(response) = router.call(request).instrument(span).await;
    let mut response = form.write_out(response);
    response.headers_mut().entry(REQUEST_ID).or_insert(value);
    response
}

fn context(headers: &HeaderMap) -> Option<TraceContext> {
    let values = |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    TraceContext::read(values(TRACEPARENT), values(TRACESTATE))
}

/// Has an inference run: read, counted and told of, whatever comes of it, once and under its outcome. One whose client
/// goes away has none and is not.
async fn observe<F>(
    front: Arc<Front>,
    protocol: Protocol,
    request: Request,
    run: fn(Inference) -> F,
) -> Result<Response, Error>
where
    F: Future<Output = Result<Response, Error>>,
{
    let arrived = clock::now();
    // A model that is looked up in here takes the request, whatever is loaded in its place meanwhile.
    let _reading = front.registry.read();
    let (mut parts, body) = request.into_parts();
    let path = RawPathParams::from_request_parts(&mut parts, &()).await.ok();
    // Known before the body, so that a body's refusal is counted under it.
    let model = path.as_ref().and_then(|path| front.registry.get(in_path(path, "model")?));
    let id = parts.extensions.remove::<CallId>().unwrap_or_else(|| CallId::of(&parts.headers));
    let caller = parts.extensions.remove::<Arc<TraceContext>>();
    let told = Told { front: &front, protocol, id: &id, caller: caller.as_deref(), arrived };
    let call = match Call::read(&id, arrived, model.clone(), front.keys.as_deref(), &parts.headers) {
        Ok(call) => Arc::new(call),
        Err(error) => {
            told.done(None, model.as_ref(), Outcome::Refused(error.reason));
            body::linger(&parts.headers, body);
            return Err(error);
        }
    };
    // Room is reserved before a byte is read, and held until the answer is written.
    let answer = match body::receive(&front, &parts.headers, body).await {
        Ok((body, held)) => {
            let (front, call, headers) = (Arc::clone(&front), Arc::clone(&call), parts.headers);
            let answer = run(Inference { front, call, path, headers, body }).await;
            answer.map(|response| response.map(|inner| holding(inner, held)))
        }
        Err(error) => Err(error),
    };
    let outcome = answer.as_ref().map_or_else(|error| Outcome::Refused(error.reason), |_| Outcome::Ok);
    told.done(Some(&call), call.model.get(), outcome);
    answer
}

/// Of a call: what is told of it beside its outcome.
struct Told<'a> {
    front: &'a Front,
    protocol: Protocol,
    id: &'a CallId,
    caller: Option<&'a TraceContext>,
    arrived: Time,
}

impl Told<'_> {
    /// Counts a call that has its outcome, and traces it.
    fn done(&self, call: Option<&Call>, model: Option<&Arc<Model>>, outcome: Outcome) {
        let Self { front, protocol, arrived, .. } = *self;
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
            id: &self.id.0,
            caller: self.caller,
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
    }
}

/// What a variable part of the path is.
pub(super) fn in_path<'p>(path: &'p RawPathParams, key: &str) -> Option<&'p str> {
    path.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}
