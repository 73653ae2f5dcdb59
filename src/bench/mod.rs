//! The load generator: keeps a server busy with texts and measures what comes back.
//!
//! Decides what is sent when, which answers count, and what the figures mean. Knows a server only
//! through its port: the same client measures this program, another version of it, or any server
//! of the same protocols.

mod client;
mod progress;
mod report;
mod tally;
#[cfg(test)]
mod tests;
mod workload;

use crate::clock;
use crate::remote::Target;
use crate::types::{Time, locked};
use client::{Client, Failure};
use http::HeaderMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tally::Tally;
use tokio::task::JoinSet;

pub use report::{BatchReport, LatencyMs, Report, ServerMs, table};
pub use workload::{SHIPPED_TEXTS, Workload, parse_texts};

/// The longest wait for one answer; past it the request counts as an error named `timeout`.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The pause before a lost connection is made again, so that a dead server is not hammered.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// How a text is put to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `POST /v1/embeddings`, one string a request.
    OpenAi,
    /// `POST /v2/models/M/infer` with the BYTES input `text` as JSON, one row a request.
    V2,
}

impl Protocol {
    /// The word for flags and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::V2 => "v2",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When the next request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Each of `connections` connections sends its next request as soon as it has its answer.
    Closed {
        /// Connections, ≥ 1.
        connections: usize,
    },
}

/// What to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub target: Target,
    /// The model's name.
    pub model: String,
    /// How a text is put to the server.
    pub protocol: Protocol,
    /// Sent in this order, over and over; not empty.
    pub texts: Vec<String>,
    /// When the next request is sent.
    pub load: Load,
    /// Load before the measured time; its answers are not counted.
    pub warm_up: Duration,
    /// The measured time.
    pub duration: Duration,
    /// Sent with every request.
    pub headers: HeaderMap,
    /// Draw a progress bar on stderr where that is a terminal.
    pub progress: bool,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options cannot make a request.
    #[error("{0}")]
    Usage(String),
    /// No connection could be made.
    #[error("cannot reach {target}: {source}")]
    Unreachable {
        /// Host and port.
        target: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server refused the first request in a way that no repetition mends.
    #[error("the server refused the first request: {0}")]
    Refused(String),
}

/// Measures a server.
///
/// An answer counts when it arrives within the measured time. Requests still under way at its end
/// are awaited, uncounted, so that the server is idle when this returns.
///
/// # Errors
/// [`Error::Usage`] where the options cannot make a request, [`Error::Unreachable`] where a
/// connection cannot be made, [`Error::Refused`] where the first request is answered with a 4xx
/// other than 429. Later refusals are counted in the report instead.
pub async fn run(options: Options) -> Result<Report, Error> {
    let Load::Closed { connections } = options.load;
    let workload = Arc::new(Workload::new(&options)?);
    let clients = connect(&workload, connections).await?;

    let start = clock::now();
    let measured = Window { start, from: start + options.warm_up, until: start + options.warm_up + options.duration };
    let run = Arc::new(Run { measured, tally: Mutex::default() });
    let bar = options.progress.then(|| progress::Bar::start(&run));
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn(closed_loop(client, Arc::clone(&run)));
    }
    tasks.join_all().await;
    drop(bar);
    Ok(run.tally().report(options.protocol, options.duration))
}

/// Opens all connections and proves on the first that the server takes these requests.
async fn connect(workload: &Arc<Workload>, connections: usize) -> Result<Vec<Client>, Error> {
    let mut clients: Vec<_> = (0..connections.max(1)).map(|_| Client::new(Arc::clone(workload))).collect();
    for client in &mut clients {
        let reached = client.connect().await;
        reached.map_err(|source| Error::Unreachable { target: workload.target().to_string(), source })?;
    }
    match clients[0].exchange().await {
        Err(failure) if failure.is_permanent() => Err(Error::Refused(failure.to_string())),
        _ => Ok(clients),
    }
}

async fn closed_loop(mut client: Client, run: Arc<Run>) {
    while clock::now() < run.measured.until {
        let sent = clock::now();
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, client.exchange()).await;
        let answer = answer.unwrap_or_else(|_| {
            client.disconnect();
            Err(Failure::timeout())
        });
        let finished = clock::now();
        if run.measured.contains(finished) {
            run.tally().record(finished.since(sent), &answer);
        }
        if !client.is_connected() {
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }
}

/// What the connections of one measurement share.
#[derive(Debug)]
struct Run {
    measured: Window,
    tally: Mutex<Tally>,
}

impl Run {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        locked(&self.tally)
    }
}

/// The warm-up is `start..from`, the measured time `from..=until`.
#[derive(Debug)]
struct Window {
    start: Time,
    from: Time,
    until: Time,
}

impl Window {
    fn contains(&self, time: Time) -> bool {
        self.from <= time && time <= self.until
    }
}
