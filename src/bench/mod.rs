//! The load generator: keeps a server busy and measures what comes back.
//!
//! Decides what is sent when, which answers count, and what the figures mean. Knows a server only
//! through its port: the same client measures this program, another version of it, or any server
//! of the same protocols.

mod client;
mod closed;
mod head;
mod html;
mod meter;
mod open;
mod plan;
mod progress;
mod ramp;
mod report;
mod sample;
mod table;
mod tally;
mod tensor;
#[cfg(test)]
mod tests;
mod timeline;
mod timer;
mod wire;
mod workload;

use crate::clock;
use crate::remote::Target;
use crate::types::{Time, locked};
use client::Client;
use http::HeaderMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tally::Tally;
use workload::Workload;

pub use html::page;
pub use plan::DEFAULT_SEED;
pub use report::{
    BatchReport, BatchSize, GeneratorReport, LateMs, LatencyMs, LoadReport, Percentile, RampReport, Report, ServerMs,
    Step, Window,
};
pub use table::{answer, own_cost, table};
pub use tensor::Tensor;
pub use workload::{SHIPPED_TEXTS, parse_texts, read_texts};

/// The longest wait for one answer; past it the request counts as an error named `timeout`.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How a request is put to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `POST /v1/embeddings`, one string a request.
    OpenAi,
    /// `POST /v2/models/M/infer` with the BYTES input `text` as JSON, one row a request.
    V2,
    /// The same with inputs and outputs as binary tensor data.
    V2Binary,
}

impl Protocol {
    /// The word for flags and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::V2 => "v2",
            Self::V2Binary => "v2-binary",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When the next request is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// Each of `connections` connections sends its next request as soon as it has its answer.
    Closed {
        /// Connections, ≥ 1.
        connections: usize,
    },
    /// Requests come by a plan, whether or not earlier ones have been answered.
    Open {
        /// Requests a second, > 0.
        rate: f64,
        /// The most connections, ≥ 1; without a free one a planned request waits, and its latency with it.
        connections: usize,
    },
    /// Open loops at rising rates, for the highest that holds an objective.
    Ramp {
        /// The first rate, > 0.
        from: f64,
        /// The highest rate tried, ≥ `from`.
        to: f64,
        /// What the 99th percentile may be at most.
        slo: Duration,
        /// As of an open loop.
        connections: usize,
    },
}

/// What is put into the requests.
#[derive(Debug, Clone)]
pub enum Payload {
    /// One text a request, in this order, over and over; not empty.
    Texts(Vec<String>),
    /// All of these tensors in every request; not empty, and over [`Protocol::V2Binary`] only.
    Tensors(Vec<Tensor>),
}

/// What to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub target: Target,
    /// The model's name.
    pub model: String,
    /// How a request is put to the server.
    pub protocol: Protocol,
    /// What is put into the requests.
    pub payload: Payload,
    /// When the next request is sent.
    pub load: Load,
    /// The same seed is the same plan of an open loop, and the same made-up tensors.
    pub seed: u64,
    /// Load before the measured time; its answers are not counted.
    pub warm_up: Duration,
    /// The measured time; of a ramp, that of each step.
    pub duration: Duration,
    /// Sent with every request.
    pub headers: HeaderMap,
    /// Say on stderr how it is going: a progress bar where that is a terminal, a line for each step of a ramp.
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
    /// The system has no timer left.
    #[error("cannot keep time: {0}")]
    Timer(#[from] std::io::Error),
}

/// Measures a server.
///
/// Requests still under way at the end of the measured time are awaited, so that the server is idle when this
/// returns. Under [`Load::Closed`] an answer counts when it arrives within the measured time; under [`Load::Open`] a
/// request counts when it is planned for it, wherever its answer arrives. The report of a [`Load::Ramp`] is that of
/// the highest rate that held, else of the first.
///
/// # Errors
/// [`Error::Usage`] where the options cannot make a request, [`Error::Unreachable`] where a
/// connection cannot be made, [`Error::Refused`] where the first request is answered with a 4xx
/// other than 429. Later refusals are counted in the report instead.
pub async fn run(options: Options) -> Result<Report, Error> {
    let options = sample::fit(options).await?;
    let workload = Arc::new(Workload::new(&options)?);
    let mut first = Client::new(Arc::clone(&workload));
    prove(&mut first, &workload).await?;
    match options.load {
        Load::Closed { connections } => closed::run(&options, &workload, first, connections).await,
        Load::Open { rate, connections } => open::run(&options, &workload, rate, connections).await,
        Load::Ramp { from, to, slo, connections } => {
            ramp::run(&options, &workload, first, &ramp::Terms { from, to, slo, connections }).await
        }
    }
}

/// Opens a connection and proves on it that the server takes these requests.
async fn prove(client: &mut Client, workload: &Workload) -> Result<(), Error> {
    let reached = client.connect().await;
    reached.map_err(|source| Error::Unreachable { target: workload.target().to_string(), source })?;
    match client.exchange(0, clock::now() + ANSWER_TIMEOUT).await {
        Err(failure) if failure.is_permanent() => Err(Error::Refused(failure.to_string())),
        _ => Ok(()),
    }
}

/// What the connections of one measurement share.
#[derive(Debug)]
struct Run {
    measured: Measured,
    tally: Mutex<Tally>,
}

impl Run {
    /// Starts the clock.
    fn start(options: &Options) -> Arc<Self> {
        let start = clock::now();
        let from = start + options.warm_up;
        let measured = Measured { start, from, until: from + options.duration };
        Arc::new(Self { measured, tally: Mutex::new(Tally::new(measured)) })
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        locked(&self.tally)
    }
}

/// The warm-up is `start..from`, the measured time `from..=until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Measured {
    start: Time,
    from: Time,
    until: Time,
}

impl Measured {
    fn contains(&self, time: Time) -> bool {
        self.from <= time && time <= self.until
    }
}
