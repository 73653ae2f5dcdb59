//! A front over a backend that answers by echo, and models to ask it for.

mod echo;
mod models;

use super::{Backend, Front, Limits, Pool, Upstream, layers};
use crate::error::{Error, Reason};
use crate::keys::{KeySet, Keys};
use crate::metrics::Metrics;
use crate::model::Registry;
use crate::readiness::Readiness;
use crate::telemetry::Tracer;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use echo::Echo;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use models::models;
use std::sync::Arc;
use std::time::Duration;

/// A front over an [`Echo`], and both ends of it.
pub(super) struct World {
    pub(super) echo: Arc<Echo>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) registry: Arc<Registry>,
    pub(super) limits: Limits,
    pub(super) upstream: Option<Upstream>,
    pub(super) keys: Option<Arc<Keys>>,
}

impl World {
    pub(super) fn new() -> Self {
        let registry = Arc::new(Registry::new(models()));
        Self {
            echo: Arc::default(),
            metrics: Arc::new(Metrics::new().unwrap()),
            readiness: Arc::new(Readiness::new(Arc::clone(&registry))),
            registry,
            limits: Limits {
                max_body_bytes: Some(64 << 10),
                header_timeout: Duration::from_secs(10),
                body_timeout: Duration::from_secs(30),
                connections: 1024,
            },
            upstream: None,
            keys: None,
        }
    }

    /// The same with the keys of a file's text.
    pub(super) fn with_keys(self, text: &str) -> Self {
        Self { keys: Some(Arc::new(Keys::new(KeySet::read("keys.toml", text).unwrap()))), ..self }
    }

    pub(super) fn front(&self) -> Front {
        Front {
            registry: Arc::clone(&self.registry),
            backend: Arc::clone(&self.echo) as Arc<dyn Backend>,
            metrics: Arc::clone(&self.metrics),
            readiness: Arc::clone(&self.readiness),
            tracer: Tracer::default(),
            limits: self.limits.clone(),
            pool: Pool::new(2),
            upstream: self.upstream.clone(),
            keys: self.keys.clone(),
        }
    }

    pub(super) async fn answer(&self, request: Request<Body>) -> Response {
        layers::answer(self.front().router(), request).await
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answered {
        let response = self.answer(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answered { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn get(&self, path: &str) -> Answered {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<Body>) -> Answered {
        self.send(Request::post(path).body(body.into()).unwrap()).await
    }

    pub(super) fn refuse(&self, reason: Reason) {
        *self.echo.refuse.lock().unwrap() = Some(Error::new(reason, "because"));
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answered {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The message of a refusal, which must have this status and reason.
    pub(super) fn refusal(&self, status: u16, reason: &str) -> String {
        let text = self.text();
        assert_eq!((self.status.as_u16(), self.header("x-inferneo-reason")), (status, reason), "{text}");
        let json = self.json();
        match &json["error"] {
            serde_json::Value::String(message) => {
                assert_eq!(json["reason"], reason);
                message.clone()
            }
            error => {
                assert_eq!(error["code"], reason);
                error["message"].as_str().unwrap().to_owned()
            }
        }
    }
}
