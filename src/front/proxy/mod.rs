//! Everything that is not ours, passed to the upstream as it is: streamed both ways, unbuffered,
//! without limits of ours.
//!
//! Decides which headers stop here and which are added. Knows nothing of what it carries.

mod headers;
mod upgrade;

use super::{Front, respond};
use crate::clock::{self, Seldom};
use crate::error::{Error, Reason};
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::UPGRADE;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error as ClientError, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Longest a connection to the upstream may take. The stream itself has no time limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection to the upstream is kept.
const IDLE: Duration = Duration::from_secs(60);

/// An upstream that is down fails every request.
static FAILED: Seldom = Seldom::new(Duration::from_secs(1));

/// Where everything goes that is not ours, with its pooled connections.
#[derive(Debug, Clone)]
pub struct Upstream {
    authority: Authority,
    /// The base path, without its last slash.
    base: String,
    client: Client<HttpConnector, Body>,
    /// Keeps no connection: each request has a new one.
    fresh: Client<HttpConnector, Body>,
}

impl Upstream {
    /// The server at `authority`, below `base`: a path without its last slash, or nothing.
    #[must_use]
    pub fn new(authority: Authority, base: String) -> Self {
        Self { authority, base, client: client(usize::MAX), fresh: client(0) }
    }

    /// The same path and query, below the upstream's base.
    fn uri(&self, path: &str) -> Result<Uri, Error> {
        let path = format!("{}{path}", self.base);
        let path = PathAndQuery::try_from(path).map_err(|e| Error::invalid(format!("the path is not valid: {e}")))?;
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone()).path_and_query(path).build();
        uri.map_err(|e| Error::invalid(format!("the path is not valid: {e}")))
    }
}

fn client(most_idle: usize) -> Client<HttpConnector, Body> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(most_idle)
        .build(connector)
}

/// Answers every path that is not ours: from the upstream, else not at all.
pub(super) async fn fallback(State(front): State<Arc<Front>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let answer = match &front.upstream {
        Some(upstream) if request.method() != Method::CONNECT => pass(upstream, request).await,
        Some(_) => Err(respond::method_not_allowed(Method::CONNECT).await),
        None => Err(respond::not_found(&path)),
    };
    answer.unwrap_or_else(IntoResponse::into_response)
}

async fn pass(upstream: &Upstream, mut request: Request) -> Result<Response, Error> {
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let uri = upstream.uri(path)?;
    let client_upgrade = upgrade::wanted(&mut request);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let protocol = client_upgrade.as_ref().map(|(_, protocol)| protocol);
    headers::outgoing(&mut request, peer, protocol);
    *request.uri_mut() = uri;
    // The upstream is spoken to in HTTP/1.1, whatever the client speaks.
    *request.version_mut() = Version::HTTP_11;
    request.extensions_mut().clear();
    let mut response = ask(upstream, request).await.map_err(|e| failed(&e))?;
    let switched = upgrade::accepted(&mut response, client_upgrade)?;
    headers::incoming(&mut response, switched.as_ref());
    *response.version_mut() = Version::HTTP_11;
    Ok(response.map(Body::new))
}

/// Sends a request. An upstream may end a connection that it kept just when the next request is on its way: one that may be
/// sent twice (RFC 9110, section 9.2.2), and has no body that is gone, is sent once more, on a new connection.
async fn ask(upstream: &Upstream, request: Request) -> Result<http::Response<Incoming>, ClientError> {
    let again = may_be_repeated(&request).then(|| repeated(&request));
    match (upstream.client.request(request).await, again) {
        (Err(error), Some(again)) if ended_unanswered(&error) => upstream.fresh.request(again).await,
        (ended, _) => ended,
    }
}

fn may_be_repeated(request: &Request) -> bool {
    request.method().is_idempotent() && request.body().is_end_stream() && !request.headers().contains_key(UPGRADE)
}

/// The same request, which has no body.
fn repeated(request: &Request) -> Request {
    let mut again = Request::new(Body::empty());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.version_mut() = request.version();
    again.headers_mut().clone_from(request.headers());
    again
}

/// Whether the connection ended before a byte of an answer came.
fn ended_unanswered(error: &ClientError) -> bool {
    of_http(error).is_some_and(|e| e.is_incomplete_message() || e.is_canceled() || e.is_closed() || was_reset(e))
}

/// What the connection itself has to say of a failed exchange.
fn of_http(error: &ClientError) -> Option<&hyper::Error> {
    let mut source: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(cause) = source {
        if let Some(http) = cause.downcast_ref() {
            return Some(http);
        }
        source = cause.source();
    }
    None
}

fn was_reset(error: &hyper::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    let io = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| matches!(io.kind(), BrokenPipe | ConnectionReset))
}

/// Whose fault a failed exchange is: a client's broken body, or the upstream.
fn failed(error: &ClientError) -> Error {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user) {
            return Error::invalid("the request's body could not be read");
        }
        source = cause.source();
    }
    match FAILED.pass(clock::now()) {
        Some(withheld) => tracing::warn!(error = %chain(error), withheld, "the upstream failed"),
        None => tracing::debug!(error = %chain(error), "the upstream failed"),
    }
    let what = match of_http(error) {
        _ if error.is_connect() => "could not be reached",
        Some(http) if http.is_parse_too_large() => "answered with a head that is too large, or of more than 100 fields",
        Some(http) if http.is_parse() => "answered with what is not HTTP",
        Some(http) if http.is_incomplete_message() => "ended the connection before it answered",
        _ => "did not answer properly",
    };
    Error::new(Reason::UpstreamFailed, format!("the upstream {what}"))
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
