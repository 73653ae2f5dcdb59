//! OpenAI's API: embeddings and the list of models.
//!
//! Decides how its words map to a model's rows. Unknown fields are ignored, as OpenAI does.

mod decode;
mod encode;

use super::layers::Inference;
use super::pool::{INLINE_TENSORS, INLINE_TEXT};
use super::{Front, layers, oip, respond, tokens};
use crate::error::{Error, Reason};
use crate::metrics::Protocol;
use crate::model::{Model, Task};
use crate::request::{Payload, Want};
use crate::text::Overflow;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use decode::{Body, Input};
use http::header;
use serde::Serialize;
use std::sync::Arc;

/// Most inputs of one request.
const MAX_INPUTS: usize = 2048;

/// Routes that run a model.
pub(super) fn inference_routes() -> Router<Arc<Front>> {
    Router::new().route("/v1/embeddings", layers::inference(Protocol::OpenAi, embeddings))
}

/// Routes that tell about models.
pub(super) fn plain_routes() -> Router<Arc<Front>> {
    Router::new().route("/v1/models", get(list)).route("/v1/models/{model}", get(one))
}

#[derive(Serialize)]
struct Described<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

fn described(model: &Model) -> Described<'_> {
    Described { id: &model.name, object: "model", created: model.created, owned_by: "inferneo" }
}

async fn list(State(front): State<Arc<Front>>) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct List<'a> {
        object: &'static str,
        data: Vec<Described<'a>>,
    }
    let models = front.registry.list();
    respond::json(&List { object: "list", data: models.iter().map(|model| described(model)).collect() })
}

async fn one(State(front): State<Arc<Front>>, name: Result<Path<String>, PathRejection>) -> Result<Response, Error> {
    let Path(name) = name.map_err(|_| Error::invalid("the path is not valid UTF-8"))?;
    let model = front.registry.get(&name).ok_or_else(|| oip::unknown(&name))?;
    respond::json(&described(&model))
}

/// A request ready to run, and how it wants to be answered.
struct Prepared {
    model: Arc<Model>,
    items: Vec<Payload>,
    tokens: usize,
    /// Length of the vectors, where a shorter one is asked for.
    dimensions: Option<usize>,
    base64: bool,
}

async fn embeddings(Inference { front, call, body, .. }: Inference) -> Result<Response, Error> {
    let (inline, shared, seen) = (body.len() <= INLINE_TEXT, Arc::clone(&front), Arc::clone(&call));
    let prepared = front
        .pool
        .run(inline, move || {
            let body = decode::parse(&body)?;
            let model = choose(&shared, body.model.as_deref())?;
            seen.model.get_or_init(|| Arc::clone(&model));
            prepare(model, body, shared.backend.max_rows())
        })
        .await?;
    let Prepared { model, items, tokens, dimensions, base64 } = prepared;
    let request = call.request(Arc::clone(&model), items, Want::Embedding, None, None);
    let mut reply = front.infer(&call, request).await?;
    let answers = std::mem::take(&mut reply.answers);
    let inline = answers.len() * width(&model) * size_of::<f32>() <= INLINE_TENSORS;
    let encode = move || encode::encode(&model.name, answers, tokens, dimensions, base64);
    let encoded = front.pool.run(inline, encode).await?;
    let mut response = ([(header::CONTENT_TYPE, respond::JSON)], encoded).into_response();
    respond::describe(response.headers_mut(), &reply);
    Ok(response)
}

/// The model that is named, or the only one that takes text.
fn choose(front: &Front, name: Option<&str>) -> Result<Arc<Model>, Error> {
    if let Some(name) = name {
        return front.registry.get(name).ok_or_else(|| oip::unknown(name));
    }
    let models = front.registry.list();
    let mut texts = models.iter().filter(|model| tokens::is_text_model(model));
    match (texts.next(), texts.next()) {
        (Some(only), None) => Ok(Arc::clone(only)),
        (None, _) => Err(Error::new(Reason::Unsupported, "no model here takes text")),
        (Some(_), Some(_)) => {
            let names: Vec<&str> = models.iter().filter(|m| tokens::is_text_model(m)).map(|m| &*m.name).collect();
            Err(Error::invalid(format!("model is missing: there are {names:?}")))
        }
    }
}

fn prepare(model: Arc<Model>, body: Body, max_rows: u32) -> Result<Prepared, Error> {
    let Task::Embedding { dimensions: width, .. } = model.spec.task else {
        return Err(Error::new(Reason::Unsupported, format!("model `{}` makes no embeddings", &*model.name)));
    };
    oip::check_state(&model)?;
    let base64 = match body.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(other) => {
            return Err(Error::invalid(format!("encoding_format is {other:?}: allowed are \"float\" and \"base64\"")));
        }
    };
    let dimensions = match body.dimensions.map(|n| (n, usize::try_from(n))) {
        None => None,
        Some((_, Ok(n))) if (1..=width).contains(&n) => Some(n),
        Some((n, _)) => return Err(Error::invalid(format!("dimensions is {n}: allowed are 1 to {width}"))),
    };
    let input = body.input.ok_or_else(|| Error::invalid("input is missing"))?;
    let items = rows(&model, input, max_rows)?;
    let tokens = items.iter().map(|item| if let Payload::Tokens(row) = item { row.ids.len() } else { 0 }).sum();
    Ok(Prepared { model, items, tokens, dimensions, base64 })
}

/// The rows of a request, its answer's form and the model it names left aside.
pub(super) fn decoded(model: Arc<Model>, body: &[u8]) -> Result<Vec<Payload>, Error> {
    prepare(model, decode::parse(body)?, u32::MAX).map(|prepared| prepared.items)
}

fn rows(model: &Model, input: Input, max_rows: u32) -> Result<Vec<Payload>, Error> {
    let tokenizer = tokens::tokenizer(model)?;
    let text = |index: Option<usize>, text: &str| {
        let name = || index.map_or_else(|| "input".to_owned(), |index| format!("input[{index}]"));
        if text.is_empty() {
            return Err(Error::invalid(format!("{} is an empty string", name())));
        }
        tokens::encode(tokenizer, model, text, Overflow::Error, name)
    };
    let count = input.len();
    if count == 0 {
        return Err(Error::invalid("input is empty"));
    }
    if count > MAX_INPUTS {
        return Err(Error::invalid(format!("input has {count} elements: at most {MAX_INPUTS} are allowed")));
    }
    tokens::check_count(count, max_rows)?;
    match input {
        Input::Text(one) => Ok(vec![text(None, &one)?]),
        Input::Texts(many) => many.iter().enumerate().map(|(index, one)| text(Some(index), one)).collect(),
        Input::Tokens(ids) => Ok(vec![tokens::take(tokenizer, model, ids, || "input".to_owned())?]),
        Input::TokenRows(rows) => rows
            .into_iter()
            .enumerate()
            .map(|(index, ids)| tokens::take(tokenizer, model, ids, || format!("input[{index}]")))
            .collect(),
    }
}

fn width(model: &Model) -> usize {
    if let Task::Embedding { dimensions, .. } = model.spec.task { dimensions } else { 0 }
}

#[cfg(test)]
mod tests;
