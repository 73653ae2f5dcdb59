//! The admin plane's listener, which must never be able to hurt the data plane.
//!
//! Decides what the admin plane may use: one thread, so many connections, so long a body. Knows no route.

mod connections;

use super::{Admin, refuse};
use crate::error::{Error, Reason};
use crate::listener::{Explained, FirstRequest, accept, holding};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use connections::{Activity, Connections};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tower::ServiceExt;

/// Longest a connection is kept without a request's head: longer than scrapers keep theirs.
const IDLE: Duration = Duration::from_secs(75);
/// Most bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;
/// Most bytes of a request's body.
pub(super) const BODY_BYTES: usize = 64 << 10;
/// Longest a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

impl Admin {
    /// Serves as [`serve`](Self::serve) does and takes the samples of `/stats/history`, on a thread of its
    /// own: however busy that is, no thread of the data plane waits its turn behind it. What it asks of
    /// others (a report of the driver, a swap of policies, the metrics) costs them as much as anybody's asking.
    ///
    /// Aborting the task does nothing: whoever waits for it bounds that wait, and the process ends without it.
    pub fn spawn(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<io::Result<()>> {
        spawn_blocking(move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                // Its readiness is told by the runtime it was made in, until it changes hands.
                let listener = TcpListener::from_std(listener.into_std()?)?;
                let admin = self.clone();
                tokio::select! {
                    () = self.serve(listener, shutdown) => Ok(()),
                    () = admin.sample() => Ok(()),
                }
            })
        })
    }

    /// Serves HTTP/1.1 until `shutdown` completes and the last answer is written.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let router = self.router();
        let graceful = GracefulShutdown::new();
        let mut connections = Connections::default();
        // These make room for themselves.
        let take = |stream, _, _| {
            let activity = Activity::new();
            let task = tokio::spawn(converse(stream, router.clone(), activity.clone(), graceful.watcher()));
            connections.admit(task.abort_handle(), activity);
        };
        accept(listener, usize::MAX, shutdown, take).await;
        graceful.shutdown().await;
    }
}

async fn converse(stream: TcpStream, router: Router, activity: Activity, watcher: Watcher) {
    let first = FirstRequest::default();
    let io = TokioIo::new(Explained::new(stream, first.clone(), HEAD_BYTES));
    let service = service_fn(move |request: http::Request<Incoming>| {
        first.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(activity.clone());
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(io, service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "an admin connection ended");
    }
}

/// Reads a request's body before anything is done with it, so that no handler can be kept waiting. From
/// then on until its answer is handed over, its connection is at work.
pub(super) async fn whole_body(request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    if body.size_hint().lower() > BODY_BYTES as u64 {
        return too_large();
    }
    match timeout(BODY_TIME, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(body)) => {
            // Before this it was the client's turn.
            let working = head.extensions.remove::<Activity>().map(Activity::begin);
            let response = next.run(Request::from_parts(head, Body::from(body.to_bytes()))).await;
            response.map(|body| holding(body, working))
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => too_large(),
        Ok(Err(error)) => refuse(&Error::invalid(format!("the body did not arrive: {error}"))),
        Err(_) => {
            let message = format!("the body did not arrive within {} s", BODY_TIME.as_secs());
            refuse(&Error::new(Reason::BodyTimeout, message))
        }
    }
}

fn too_large() -> Response {
    refuse(&Error::new(Reason::TooLarge, format!("the body is larger than {BODY_BYTES} bytes")))
}

#[cfg(test)]
mod tests;
