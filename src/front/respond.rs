//! Refusals in each protocol's own shape, and the headers of an answer.
//!
//! Decides the shape by the path a request came by. A handler or a layer returns an [`Error`]; it
//! travels as an empty response that carries it, and [`Form::write_out`] alone writes it out.

use super::Front;
use crate::error::{Error, Reason, retry_seconds};
use crate::request::InferReply;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use serde::Serialize;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

const REASON: HeaderName = HeaderName::from_static("x-inferneo-reason");
const BATCH: HeaderName = HeaderName::from_static("x-inferneo-batch");
const TIMING: HeaderName = HeaderName::from_static("server-timing");
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What `Retry-After` says when a retryable refusal knows no better.
const RETRY: Duration = Duration::from_secs(1);

/// A refusal on its way out, not yet in any protocol's shape.
#[derive(Debug, Clone)]
struct Refusal(Error);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(&self);
        response.extensions_mut().insert(Refusal(self));
        response
    }
}

/// The answer to a known path's unknown method; the router adds `Allow`.
pub(super) async fn method_not_allowed(method: Method) -> Error {
    Error::new(Reason::MethodNotAllowed, format!("method {method} is not allowed here"))
}

/// The answer to an unknown path where there is no upstream.
pub(super) fn not_found(path: &str) -> Error {
    Error::new(Reason::NotFound, format!("there is nothing at {path}"))
}

/// Adds what an answered inference tells about itself.
pub(super) fn describe(headers: &mut HeaderMap, reply: &InferReply) {
    let (t, b) = (&reply.timing, &reply.batch);
    let mut timing = Words::new();
    timing.text("queue;dur=").ms(t.queue).text(", assemble;dur=").ms(t.assemble).text(", compute;dur=").ms(t.compute);
    let mut batch = Words::new();
    batch.text("rows=").number(b.rows.into()).text(";tokens=").number(b.tokens).text(";padded=").number(b.padded);
    batch.text(";policy=").text(&b.policy).text(";generation=").number(b.generation);
    if b.batches > 1 {
        batch.text(";batches=").number(b.batches.into());
    }
    for (name, Words(value)) in [(TIMING, timing), (BATCH, batch)] {
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
            headers.insert(name, value);
        }
    }
}

/// A header's value while it is written: the formatting machinery would take as long as the scheduler does.
struct Words(Vec<u8>);

impl Words {
    fn new() -> Self {
        // As long as most become.
        Self(Vec::with_capacity(96))
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.text(itoa::Buffer::new().format(number))
    }

    /// Milliseconds with three places, rounded.
    fn ms(&mut self, duration: Duration) -> &mut Self {
        let us = u64::try_from(duration.saturating_add(Duration::from_nanos(500)).as_micros()).unwrap_or(u64::MAX);
        let digit = |of: u64| b'0' + (us / of % 10) as u8;
        self.number(us / 1000).0.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
        self
    }
}

/// A JSON answer.
pub(super) fn json(value: &impl Serialize) -> Result<Response, Error> {
    let broken = |_| Error::new(Reason::ExecutionFailed, "the answer cannot be written as JSON");
    Ok(([(header::CONTENT_TYPE, JSON)], serde_json::to_vec(value).map_err(broken)?).into_response())
}

/// A body that is written as the parts it is made of, without putting them together.
pub(super) fn parts(mut parts: Vec<Bytes>) -> Body {
    parts.retain(|part| !part.is_empty());
    match parts.len() {
        0 | 1 => Body::from(parts.pop().unwrap_or_default()),
        _ => {
            let left = parts.iter().map(|part| part.len() as u64).sum();
            Body::new(Parts { parts: parts.into_iter(), left })
        }
    }
}

/// A body in parts, whose length is known.
struct Parts {
    parts: std::vec::IntoIter<Bytes>,
    left: u64,
}

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.parts.next();
        self.left -= next.as_ref().map_or(0, |part| part.len() as u64);
        Poll::Ready(next.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Refuses while a model or the program cannot answer.
pub(super) fn check_ready(front: &Arc<Front>) -> Result<(), Error> {
    if front.readiness.is_draining() {
        return Err(Error::new(Reason::Draining, "shutting down"));
    }
    match front.readiness.missing().first() {
        Some((model, _)) => Err(Error::new(Reason::NotReady, format!("model `{}` is not ready", &*model.name))),
        None => Ok(()),
    }
}

/// How a refusal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    shape: Shape,
    /// Whether the client wants to know the length of a body, and none of it.
    is_head: bool,
}

/// The protocols' error shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    V2,
    OpenAi,
}

impl Form {
    /// That of an answer to such a request.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let is_openai = path == "/v1" || path.starts_with("/v1/");
        Self { shape: if is_openai { Shape::OpenAi } else { Shape::V2 }, is_head: method == Method::HEAD }
    }

    /// Writes a refusal out; any other answer is left as it is.
    pub(super) fn write_out(self, mut response: Response) -> Response {
        match response.extensions_mut().remove::<Refusal>() {
            Some(Refusal(error)) => write(self, &error, response),
            None => response,
        }
    }
}

fn write(form: Form, error: &Error, response: Response) -> Response {
    #[derive(Serialize)]
    struct V2<'a> {
        error: &'a str,
        reason: &'static str,
    }
    #[derive(Serialize)]
    struct OpenAi<'a> {
        error: Inner<'a>,
    }
    #[derive(Serialize)]
    struct Inner<'a> {
        message: &'a str,
        r#type: &'static str,
        param: Option<&'static str>,
        code: &'static str,
    }
    let (message, reason) = (&*error.message, error.reason.label());
    let body = match form.shape {
        Shape::V2 => serde_json::to_vec(&V2 { error: message, reason }),
        Shape::OpenAi => serde_json::to_vec(&OpenAi {
            error: Inner { message, r#type: openai_type(error.reason), param: None, code: reason },
        }),
    };
    let (mut parts, _) = response.into_parts();
    parts.status = status(error);
    parts.headers.insert(header::CONTENT_TYPE, JSON);
    parts.headers.insert(REASON, HeaderValue::from_static(reason));
    // The empty response that carried the refusal may have been given a length of its own.
    let body = Bytes::from(body.unwrap_or_default());
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    if error.reason == Reason::Unauthenticated {
        // RFC 9110, section 11.6.1: a 401 names the scheme that is asked for.
        parts.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if error.reason.status().retryable {
        parts.headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_seconds(error.retry_after.unwrap_or(RETRY))));
    }
    Response::from_parts(parts, if form.is_head { Body::empty() } else { Body::from(body) })
}

fn status(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.reason.status().http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// OpenAI's `type` of each refusal.
const fn openai_type(reason: Reason) -> &'static str {
    match reason {
        Reason::InvalidRequest
        | Reason::MethodNotAllowed
        | Reason::BodyTimeout
        | Reason::UnsupportedMediaType
        | Reason::Unsupported
        | Reason::UnknownModel
        | Reason::NotFound
        | Reason::TooLarge => "invalid_request_error",
        Reason::Unauthenticated => "authentication_error",
        Reason::Forbidden => "permission_error",
        Reason::RateLimited => "rate_limit_error",
        Reason::Overloaded
        | Reason::Draining
        | Reason::NotReady
        | Reason::UpstreamFailed
        | Reason::DeadlineExceeded
        | Reason::ExecutionFailed => "server_error",
    }
}

#[cfg(test)]
mod tests;
