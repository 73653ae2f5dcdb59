//! One connection of the load: a request at a time, and what its answer says of itself.
//!
//! Reads the status and the two headers that say how the request was run, and drains the body: the
//! generator shares the machine with the server, so what it does not need it does not decode.

use super::workload::Workload;
use crate::remote::Connection;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::fmt;
use std::io;
use std::sync::Arc;

/// How much of a refusal's body is kept for the message.
const DETAIL_BYTES: usize = 300;

/// A connection that is made again when it breaks.
#[derive(Debug)]
pub(super) struct Client {
    workload: Arc<Workload>,
    connection: Connection,
}

/// What a good answer said about how it was run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) batch: Option<BatchHeader>,
    pub(super) timing: Option<TimingHeader>,
}

/// `x-inferneo-batch`: the batch an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchHeader {
    /// Rows that shared the batch, ≥ 1.
    pub(super) rows: u32,
    /// Sum of the rows' own lengths.
    pub(super) tokens: u64,
    /// Rows × padded length.
    pub(super) padded: u64,
}

/// `server-timing`: where the server spent the time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TimingHeader {
    pub(super) queue: f64,
    pub(super) assemble: f64,
    pub(super) compute: f64,
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

    fn connection(error: impl fmt::Display) -> Self {
        Self { reason: "connection".to_owned(), status: None, detail: error.to_string() }
    }

    fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let named = headers.get("x-inferneo-reason").and_then(|value| value.to_str().ok());
        let reason = named.map_or_else(|| format!("http {}", status.as_u16()), str::to_owned);
        let detail = String::from_utf8_lossy(&body[..body.len().min(DETAIL_BYTES)]).into_owned();
        Self { reason, status: Some(status), detail }
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
        let connection = Connection::new(workload.target().clone());
        Self { workload, connection }
    }

    /// Opens the connection.
    pub(super) async fn connect(&mut self) -> io::Result<()> {
        self.connection.open().await
    }

    pub(super) fn disconnect(&mut self) {
        self.connection.close();
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_open()
    }

    /// Sends the next request and drains its answer, on a new connection where the last one broke.
    pub(super) async fn exchange(&mut self) -> Result<Answer, Failure> {
        let outcome = self.try_exchange().await;
        if outcome.as_ref().is_err_and(|failure| failure.status.is_none()) {
            self.disconnect();
        }
        outcome
    }

    async fn try_exchange(&mut self) -> Result<Answer, Failure> {
        let request = self.workload.next_request();
        let response = self.connection.send(request).await.map_err(Failure::connection)?;
        let (head, body) = response.into_parts();
        if head.status.is_success() {
            drain(body).await.map_err(Failure::connection)?;
            return Ok(Answer { batch: batch_header(&head.headers), timing: timing_header(&head.headers) });
        }
        let body = body.collect().await.map_err(Failure::connection)?.to_bytes();
        Err(Failure::refused(head.status, &head.headers, &body))
    }
}

async fn drain(mut body: Incoming) -> hyper::Result<()> {
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}

/// Reads `rows=12;tokens=410;padded=480;…`; `None` where a part is missing.
pub(super) fn batch_header(headers: &HeaderMap) -> Option<BatchHeader> {
    let value = headers.get("x-inferneo-batch")?.to_str().ok()?;
    let field = |name: &str| value.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let rows = field("rows")?.parse().ok().filter(|rows| *rows > 0)?;
    Some(BatchHeader { rows, tokens: field("tokens")?.parse().ok()?, padded: field("padded")?.parse().ok()? })
}

/// Reads `queue;dur=1.5, assemble;dur=0.1, compute;dur=7`; `None` where a part is missing.
pub(super) fn timing_header(headers: &HeaderMap) -> Option<TimingHeader> {
    let value = headers.get("server-timing")?.to_str().ok()?;
    let metric = |name: &str| {
        let entry = value.split(',').find_map(|entry| entry.trim().strip_prefix(name)?.strip_prefix(';'))?;
        entry.split(';').find_map(|part| part.trim().strip_prefix("dur="))?.parse().ok()
    };
    Some(TimingHeader { queue: metric("queue")?, assemble: metric("assemble")?, compute: metric("compute")? })
}
