//! The HTTP client that spans are sent by: the program's own stack, so that no second one is linked.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// Most bytes of a collector's answer.
const MOST_ANSWER: usize = 64 << 10;

/// Sends on the runtime it was made in: the exporter's thread has none.
#[derive(Debug)]
pub(super) struct Client {
    connections: legacy::Client<HttpConnector, Full<Bytes>>,
    runtime: Handle,
    limit: Duration,
    /// Whether the last exchange failed.
    away: AtomicBool,
}

impl Client {
    /// A client whose exchanges may take as long as `limit` each. To be called within a runtime.
    pub(super) fn new(limit: Duration) -> Self {
        let connections = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { connections, runtime: Handle::current(), limit, away: AtomicBool::new(false) }
    }

    /// Logs that the collector went away, or is back.
    fn tell(&self, exchange: &Result<Response<Bytes>, HttpError>) {
        let fault = match exchange {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        match (&fault, self.away.swap(fault.is_some(), Ordering::Relaxed)) {
            (Some(fault), false) => tracing::warn!(%fault, "the collector takes no spans"),
            (None, true) => tracing::info!("the collector takes spans again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.connections.request(request.map(Full::new));
        let exchange = async move {
            let (parts, body) = answer.await?.into_parts();
            let body = Limited::new(body, MOST_ANSWER).collect().await?.to_bytes();
            Ok(Response::from_parts(parts, body))
        };
        let limit = self.limit;
        let answer = self.runtime.spawn(async move { timeout(limit, exchange).await? }).await?;
        self.tell(&answer);
        answer
    }
}
