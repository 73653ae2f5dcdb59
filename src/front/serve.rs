//! The listener: HTTP/1.1 and HTTP/2 without TLS (prior knowledge) on one port.
//!
//! Decides how connections begin and end: once a drain has begun, each HTTP/1.1 connection ends with its next
//! answer, so that its client comes back to another server. A client that goes away drops its request's future, and
//! with it the request.

use super::patience::{Exchange, IDLE, Patient};
use super::{Front, layers};
use crate::listener::{Explained, FirstRequest, Place, accept, holding};
use crate::readiness::Readiness;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::header::{CONNECTION, HeaderValue};
use http::{StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Most bytes of an HTTP/1.1 request's head: the library's own limit, said here because refusals name it.
const HEAD_BYTES: usize = 408 << 10;
/// Most requests in flight on one HTTP/2 connection.
const MAX_STREAMS: u32 = 1024;
/// Receive windows of HTTP/2: the default of 64 KiB would make a tensor wait for round trips.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

impl Front {
    /// Serves `listener` until `shutdown` completes; then accepts no more, tells connections to close,
    /// and returns once the last answer is written. The caller bounds that wait by dropping it.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let (header_timeout, connections) = (self.limits.header_timeout, self.limits.connections);
        let server = builder();
        let readiness = Arc::clone(&self.readiness);
        let router = self.router();
        let graceful = GracefulShutdown::new();
        let take = |stream, peer, place| {
            let (readiness, watcher) = (Arc::clone(&readiness), graceful.watcher());
            let connection = Connection { peer, header_timeout, readiness, watcher, _place: place };
            tokio::spawn(connection.run(stream, server.clone(), router.clone()));
        };
        accept(listener, connections, shutdown, take).await;
        graceful.shutdown().await;
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    server
}

struct Connection {
    peer: SocketAddr,
    header_timeout: Duration,
    readiness: Arc<Readiness>,
    watcher: Watcher,
    _place: Place,
}

impl Connection {
    async fn run(self, stream: TcpStream, server: Builder<TokioExecutor>, router: Router) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(peer = %self.peer, %error, "TCP_NODELAY was refused");
        }
        let (peer, exchange, first) = (self.peer, Exchange::default(), FirstRequest::default());
        let patient = Patient::new(stream, self.header_timeout, exchange.clone());
        let io = TokioIo::new(Explained::new(patient, first.clone(), HEAD_BYTES));
        let service = service_fn(move |request: http::Request<Incoming>| {
            first.begin();
            let (router, exchange) = (router.clone(), exchange.clone());
            let readiness = Arc::clone(&self.readiness);
            let may_close = request.version() <= Version::HTTP_11;
            let (asking, answering) = (exchange.begin(), exchange.begin());
            let mut request = request.map(|inner| holding(Body::new(inner), asking));
            request.extensions_mut().insert(ConnectInfo(peer));
            async move {
                let mut response = layers::answer(router, request).await;
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    exchange.go_on_for_ever();
                } else if may_close && readiness.is_draining() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|inner| holding(inner, answering)))
            }
        });
        let connection = server.serve_connection_with_upgrades(io, service);
        if let Err(error) = self.watcher.watch(connection.into_owned()).await {
            tracing::debug!(peer = %self.peer, %error, "connection ended");
        }
    }
}
