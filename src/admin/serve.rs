//! The admin plane's listener, which must never be able to hurt the data plane.
//!
//! Decides what the admin plane may use: one thread, so many connections, so long a body. Knows no route.

use super::{Admin, refuse};
use crate::clock::{self, Seldom};
use crate::error::{Error, Reason};
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::{AbortHandle, JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

/// Most connections at a time, each of which costs the process a file descriptor.
const CONNECTIONS: usize = 128;
/// Longest a connection is kept without a request's head: longer than scrapers keep theirs.
const IDLE: Duration = Duration::from_secs(75);
/// Most bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;
/// Most bytes of a request's body.
pub(super) const BODY_BYTES: usize = 64 << 10;
/// Longest a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Warns of too many connections.
static TOO_MANY: Seldom = Seldom::new(Duration::from_secs(60));
/// Pause after an accept that failed for want of file descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// That lasts as long as the descriptors are missing.
static NOT_ACCEPTED: Seldom = Seldom::new(Duration::from_secs(10));

impl Admin {
    /// Serves as [`serve`](Self::serve) does and takes the samples of `/stats/history`, on a thread of its
    /// own: however busy that is, requests on the data plane only ever share the machine with it.
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

    /// Serves HTTP/1.1 until `shutdown` completes and the last answer is written. The caller bounds that
    /// wait by dropping it.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let service = TowerToHyperService::new(self.router());
        let graceful = GracefulShutdown::new();
        let mut connections = Connections::default();
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let task = tokio::spawn(converse(stream, service.clone(), graceful.watcher()));
                    connections.admit(task.abort_handle());
                }
                Err(error) => {
                    if let Some(withheld) = NOT_ACCEPTED.pass(clock::now()) {
                        tracing::warn!(%error, withheld, "a connection to the admin plane could not be accepted");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        graceful.shutdown().await;
    }
}

/// The connections there are.
#[derive(Default)]
struct Connections {
    /// Oldest first.
    open: VecDeque<AbortHandle>,
}

impl Connections {
    /// Makes room for a connection: the oldest goes, so that nobody who holds many keeps a probe out.
    fn admit(&mut self, new: AbortHandle) {
        self.open.retain(|connection| !connection.is_finished());
        if self.open.len() >= CONNECTIONS
            && let Some(oldest) = self.open.pop_front()
        {
            oldest.abort();
            if TOO_MANY.pass(clock::now()).is_some() {
                tracing::warn!(limit = CONNECTIONS, "too many connections to the admin plane: the oldest are closed");
            }
        }
        self.open.push_back(new);
    }
}

async fn converse(stream: TcpStream, service: TowerToHyperService<axum::Router>, watcher: Watcher) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "an admin connection ended");
    }
}

/// Reads a request's body before anything is done with it, so that no handler can be kept waiting.
pub(super) async fn whole_body(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > BODY_BYTES as u64 {
        return too_large();
    }
    match timeout(BODY_TIME, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, Body::from(body.to_bytes()))).await,
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
