//! The routes of the protocol.

use super::infer::{self, Prepared};
use super::{VERSION, answer, binary, encode, metadata, repository};
use crate::error::{Error, Reason};
use crate::front::layers::Inference;
use crate::front::pool::{INLINE_TENSORS, INLINE_TEXT};
use crate::front::{Front, layers, respond};
use crate::metrics::Protocol;
use crate::model::{Model, ModelState};
use crate::readiness;
use crate::request::InferReply;
use axum::Router;
use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, header};
use serde::Serialize;
use std::sync::Arc;

/// Routes that run a model.
pub(in crate::front) fn inference_routes() -> Router<Arc<Front>> {
    Router::new()
        .route("/v2/models/{model}/infer", layers::inference(Protocol::V2, run))
        .route("/v2/models/{model}/versions/{version}/infer", layers::inference(Protocol::V2, run))
}

/// Routes that say whether the server lives and is ready. They are everybody's: what probes a server has no key.
pub(in crate::front) fn health_routes() -> Router<Arc<Front>> {
    Router::new().route("/v2/health/live", get(live)).route("/v2/health/ready", get(ready))
}

/// Routes that tell about the server and its models.
pub(in crate::front) fn plain_routes() -> Router<Arc<Front>> {
    Router::new()
        .route("/v2", get(server))
        .route("/v2/", get(server))
        .route("/v2/models/{model}", get(describe))
        .route("/v2/models/{model}/versions/{version}", get(describe))
        .route("/v2/models/{model}/ready", get(model_ready))
        .route("/v2/models/{model}/versions/{version}/ready", get(model_ready))
        .route("/v2/models/{model}/stats", get(stats))
        .route("/v2/models/{model}/versions/{version}/stats", get(stats))
        .route("/v2/repository/index", post(repository::index))
        .route("/v2/repository/models/{model}/load", post(load))
        .route("/v2/repository/models/{model}/unload", post(unload))
}

async fn server() -> Result<Response, Error> {
    respond::json(&metadata::SERVER)
}

async fn live(State(front): State<Arc<Front>>) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Live {
        live: bool,
    }
    match front.readiness.beyond_help().first() {
        None => respond::json(&Live { live: true }),
        Some(model) => Err(Error::new(Reason::NotReady, format_args!("every GPU is lost to model `{}`", model.name))),
    }
}

async fn ready(State(front): State<Arc<Front>>) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Ready {
        ready: bool,
    }
    respond::check_ready(&front)?;
    respond::json(&Ready { ready: true })
}

async fn describe(Named(model): Named) -> Result<Response, Error> {
    respond::json(&metadata::describe(&model))
}

async fn stats(State(front): State<Arc<Front>>, Named(model): Named) -> Result<Response, Error> {
    let metrics = front.metrics.model(&model.name);
    respond::json(&repository::statistics(&model, &metrics))
}

async fn model_ready(State(front): State<Arc<Front>>, Named(model): Named) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Ready<'a> {
        name: &'a str,
        ready: bool,
    }
    check_state(&model)?;
    if front.readiness.is_draining() {
        return Err(Error::new(Reason::Draining, "shutting down"));
    }
    if readiness::why_not(&model).is_some() {
        return Err(Error::new(Reason::NotReady, format!("model `{}` is not ready", &*model.name)));
    }
    respond::json(&Ready { name: &model.name, ready: true })
}

async fn run(Inference { front, call, path, headers, body }: Inference) -> Result<Response, Error> {
    let model = named(&front, path.as_ref())?;
    check_state(&model)?;
    let limit = if model.tokenizer.is_some() { INLINE_TEXT } else { INLINE_TENSORS };
    let inline = infer::bytes_to_read(&model, &headers, body.len()) <= limit;
    let (shared, max_rows) = (Arc::clone(&model), front.backend.max_rows());
    let prepared = front.pool.run(inline, move || infer::prepare(&shared, &headers, body, max_rows)).await?;
    let Prepared { items, want, plan, priority, timeout } = prepared;
    let request = call.request(Arc::clone(&model), items, want, priority, timeout);
    let reply = front.infer(&call, request).await?;
    finish(&front, model, plan, reply).await
}

async fn finish(
    front: &Front,
    model: Arc<Model>,
    plan: answer::Plan,
    mut reply: InferReply,
) -> Result<Response, Error> {
    let tensors = answer::tensors(&plan.kind, std::mem::take(&mut reply.answers))?;
    let inline = encode::bytes_to_write(&plan, &tensors) <= INLINE_TENSORS;
    let encoded = front.pool.run(inline, move || encode::encode(&model.name, &plan, &tensors)).await?;
    let mut response = Response::new(respond::parts(encoded.parts));
    let headers = response.headers_mut();
    match encoded.json_length {
        Some(length) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            headers.insert(binary::HEADER_LENGTH, HeaderValue::from(length));
        }
        None => {
            headers.insert(header::CONTENT_TYPE, respond::JSON);
        }
    }
    respond::describe(headers, &reply);
    Ok(response)
}

/// Loads a model again from its folder; responds once the new model is served.
async fn load(State(front): State<Arc<Front>>, Named(model): Named, body: Bytes) -> Result<Response, Error> {
    repository::no_changes(&body)?;
    front.backend.load(model).await?;
    respond::json(&Empty {})
}

/// Takes a model out of service; what waits and runs is still answered.
async fn unload(State(front): State<Arc<Front>>, Named(model): Named) -> Result<Response, Error> {
    front.backend.unload(model).await?;
    respond::json(&Empty {})
}

/// What there is to say of a change that was made.
#[derive(Serialize)]
struct Empty {}

/// Refuses while a model cannot answer.
pub(in crate::front) fn check_state(model: &Model) -> Result<(), Error> {
    let what = match model.state() {
        ModelState::Ready => return Ok(()),
        ModelState::Loading => "is loading",
        ModelState::Failed => "has no device left",
        ModelState::Unloaded => "is unloaded",
    };
    Err(Error::new(Reason::NotReady, format!("model `{}` {what}", &*model.name)))
}

/// The model a path names.
struct Named(Arc<Model>);

impl FromRequestParts<Arc<Front>> for Named {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, front: &Arc<Front>) -> Result<Self, Error> {
        let path = RawPathParams::from_request_parts(parts, front).await.ok();
        named(front, path.as_ref()).map(Self)
    }
}

/// The model, in the version, that a path names.
fn named(front: &Front, path: Option<&RawPathParams>) -> Result<Arc<Model>, Error> {
    let path = path.ok_or_else(|| Error::invalid("the path is not valid UTF-8"))?;
    let name = layers::in_path(path, "model").unwrap_or_default();
    let model = front.registry.get(name).ok_or_else(|| unknown(name))?;
    match layers::in_path(path, "version") {
        Some(version) if version != VERSION => Err(Error::new(
            Reason::UnknownModel,
            format!("model `{}` has no version {version:?}: there is version {VERSION:?}", &*model.name),
        )),
        _ => Ok(model),
    }
}

/// The refusal of a model that is not served.
pub(in crate::front) fn unknown(name: &str) -> Error {
    Error::new(Reason::UnknownModel, format!("model `{name}` is not known"))
}
