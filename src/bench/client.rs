//! One connection of the load: a request at a time, and what its answer says of itself.
//!
//! Reads the status and the headers that say how the request was run, and passes over the body: the
//! generator shares the machine with the server, so what it does not need it does not decode.

use super::head::{BatchHeader, Head, TimingHeader};
use super::wire::Wire;
use super::workload::Workload;
use crate::clock;
use crate::types::Time;
use http::StatusCode;
use std::fmt;
use std::io;
use std::sync::Arc;

/// A connection that is made again when it breaks.
#[derive(Debug)]
pub(super) struct Client {
    workload: Arc<Workload>,
    wire: Option<Wire>,
}

/// What a good answer said about how it was run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) batch: Option<BatchHeader>,
    pub(super) timing: Option<TimingHeader>,
}

/// Why a request was not answered with 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// The server's own word where it gave one, else `http <status>`, `connection` or `timeout`.
    pub(super) reason: String,
    status: Option<StatusCode>,
    detail: String,
}

impl Failure {
    pub(super) fn timeout() -> Self {
        Self { reason: "timeout".to_owned(), status: None, detail: String::new() }
    }

    /// Whether it is one of [`timeout`](Self::timeout).
    pub(super) fn is_timeout(&self) -> bool {
        self.status.is_none() && self.reason == "timeout"
    }

    /// Whether nothing came back: the next request needs a new connection.
    pub(super) fn is_lost(&self) -> bool {
        self.status.is_none()
    }

    fn connection(error: impl fmt::Display) -> Self {
        Self { reason: "connection".to_owned(), status: None, detail: error.to_string() }
    }

    fn refused(head: Head, body: &[u8]) -> Self {
        let reason = head.reason.unwrap_or_else(|| format!("http {}", head.status));
        let detail = String::from_utf8_lossy(body).into_owned();
        Self { reason, status: StatusCode::from_u16(head.status).ok(), detail }
    }

    /// Whether the same request would be refused again, whatever the load.
    pub(super) fn is_permanent(&self) -> bool {
        self.status.is_some_and(|status| status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(status) = self.status {
            write!(f, "{} ", status.as_u16())?;
        }
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

impl Client {
    pub(super) fn new(workload: Arc<Workload>) -> Self {
        Self { workload, wire: None }
    }

    /// Opens the connection.
    pub(super) async fn connect(&mut self) -> io::Result<()> {
        self.wire = Some(Wire::open(self.workload.target()).await?);
        Ok(())
    }

    /// Sends the request of that number and passes over its answer, on a new connection where the last one broke.
    ///
    /// A request without its whole answer by `deadline` is a timeout. Not cancel safe.
    pub(super) async fn exchange(&mut self, number: usize, deadline: Time) -> Result<Answer, Failure> {
        // The connection is back only where it can take another request.
        let wire = self.wire.take().filter(|wire| !wire.is_stale());
        let exchange = exchange(wire, &self.workload, number);
        match tokio::time::timeout_at(clock::deadline(deadline), exchange).await {
            Err(_) => Err(Failure::timeout()),
            Ok(Err(error)) => Err(Failure::connection(error)),
            Ok(Ok((outcome, wire))) => {
                self.wire = wire;
                outcome
            }
        }
    }
}

/// An exchange, and its connection where that can take another request.
async fn exchange(
    wire: Option<Wire>,
    workload: &Workload,
    number: usize,
) -> io::Result<(Result<Answer, Failure>, Option<Wire>)> {
    let mut wire = match wire {
        Some(wire) => wire,
        None => Wire::open(workload.target()).await?,
    };
    let head = wire.ask(workload.request(number)).await?;
    let good = (200..300).contains(&head.status);
    let body = wire.body(head.body, !good).await?;
    let wire = head.keep.then_some(wire);
    let outcome =
        if good { Ok(Answer { batch: head.batch, timing: head.timing }) } else { Err(Failure::refused(head, &body)) };
    Ok((outcome, wire))
}
