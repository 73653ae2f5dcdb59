//! The data plane: bytes to [`InferRequest`] and back.
//!
//! Decides routes, decoding, limits on bytes and the shape of every answer. Does not know how batches
//! are formed or run: that is behind [`Backend`].

mod auth;
mod backend;
mod body;
mod call;
mod fields;
#[doc(hidden)]
pub mod fuzzing;
mod gzip;
mod json;
mod layers;
mod oip;
mod openai;
mod patience;
mod pool;
mod proxy;
mod respond;
mod serve;
mod tokens;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use backend::{Backend, ChangeFuture, Held, InferFuture};
pub use pool::Pool;
pub use proxy::Upstream;

use crate::clock;
use crate::error::Error;
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::model::Registry;
use crate::readiness::Readiness;
use crate::request::{InferReply, InferRequest};
use crate::telemetry::{Ran, Tracer};
use axum::Router;
use call::Call;
use std::sync::Arc;
use std::time::Duration;

/// Bounds on what a client may send, and how slowly.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most bytes of an inference body, after decompression; `None` for as many as suit the models.
    pub max_body_bytes: Option<usize>,
    /// Longest a request's head may take from its first byte.
    pub header_timeout: Duration,
    /// Longest an inference body may take to arrive.
    pub body_timeout: Duration,
    /// Most connections at a time; more wait to be accepted.
    pub connections: usize,
}

/// Everything the data plane needs.
#[derive(Debug)]
pub struct Front {
    /// The live table of models.
    pub registry: Arc<Registry>,
    /// What answers requests.
    pub backend: Arc<dyn Backend>,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// Whether traffic is wanted.
    pub readiness: Arc<Readiness>,
    /// What is told of finished requests.
    pub tracer: Tracer,
    /// Bounds on what a client may send.
    pub limits: Limits,
    /// Threads for long decoding and tokenising.
    pub pool: Pool,
    /// Where every path goes that is not one of ours.
    pub upstream: Option<Upstream>,
    /// The API keys that are asked for; `None` where none are.
    pub keys: Option<Arc<Keys>>,
}

impl Front {
    /// All routes; requests reach them through [`layers::answer`].
    fn router(self) -> Router {
        let front = Arc::new(self);
        let inference = oip::inference_routes().merge(openai::inference_routes());
        let telling = oip::plain_routes().merge(openai::plain_routes());
        Router::new()
            .merge(inference)
            .merge(layers::guarded(&front, telling))
            .merge(oip::health_routes())
            .method_not_allowed_fallback(respond::method_not_allowed)
            .fallback(proxy::fallback)
            .with_state(front)
    }

    /// Has the backend answer a call that is decoded now, and keeps with the call how it ran.
    ///
    /// # Errors
    /// The backend's.
    async fn infer(&self, call: &Call, request: InferRequest) -> Result<InferReply, Error> {
        call.decoded.get_or_init(clock::now);
        let reply = self.backend.infer(request).await?;
        call.ran.get_or_init(|| Ran { timing: reply.timing, batch: reply.batch.clone() });
        Ok(reply)
    }
}
