//! The HTTP client that spans are sent by: the program's own stack, so that no second one is linked.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
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
}

impl Client {
    /// A client whose exchanges may take as long as `limit` each. To be called within a runtime.
    pub(super) fn new(limit: Duration) -> Self {
        let connections = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { connections, runtime: Handle::current(), limit }
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
        self.runtime.spawn(async move { timeout(limit, exchange).await? }).await?
    }
}
