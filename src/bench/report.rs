//! The figures of one measurement, as a program reads them.
//!
//! Decides the keys of the JSON. What is not known is `null`, never invented.

use serde::Serialize;
use std::collections::BTreeMap;

/// The figures of one measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How requests were put to the server.
    pub protocol: &'static str,
    /// When requests were sent.
    pub load: LoadReport,
    /// Counted requests that were answered with 2xx.
    pub requests: u64,
    /// Counted requests that failed or were refused.
    pub errors: u64,
    /// The same errors by the server's reason, or `http <status>`, `connection`, `timeout`.
    pub errors_by_reason: BTreeMap<String, u64>,
    /// The measured time.
    pub duration_s: f64,
    /// Of an open loop, requests a second as the plan had them within the measured time.
    pub offered_rps: Option<f64>,
    /// Good answers a second that arrived within the measured time.
    pub throughput_rps: f64,
    /// From sending a request, or in an open loop its planned time, to the end of its good answer or to a timeout;
    /// `None` without any.
    pub latency_ms: Option<LatencyMs>,
    /// Where the server says the time went; `None` where it does not say.
    pub server_ms: Option<ServerMs>,
    /// About the batches that the answers came from.
    pub batch: BatchReport,
    /// The share of computed tokens that was text, not padding, over all batches.
    pub padding_efficiency: Option<f64>,
    /// What the generator itself cost.
    pub generator: GeneratorReport,
    /// Latencies by percentile, closer together towards the tail.
    pub latency_curve: Vec<Percentile>,
    /// The same over time.
    pub windows: Vec<Window>,
    /// The steps of a ramp, of which the figures above are the best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp: Option<RampReport>,
}

/// When requests were sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "loop", rename_all = "lowercase")]
pub enum LoadReport {
    /// Each connection sent its next request as soon as it had its answer.
    Closed {
        /// Connections.
        connections: usize,
    },
    /// By a plan.
    Open {
        /// Requests a second that were asked for.
        rate: f64,
        /// Of the plan.
        seed: u64,
        /// The most connections that were open at a time.
        connections: usize,
    },
}

/// Percentiles and the mean, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "percentiles, named as everywhere")]
pub struct LatencyMs {
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    pub mean: f64,
}

/// Means of the `server-timing` header, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ServerMs {
    /// Waiting for a batch.
    pub queue: f64,
    /// Padding and copying.
    pub assemble: f64,
    /// The model's run.
    pub compute: f64,
}

/// About the batches that the answers came from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchReport {
    /// Mean size of a batch, over batches.
    pub avg_rows: Option<f64>,
    /// How many batches there were of each size, by size.
    pub sizes: Vec<BatchSize>,
}

/// The batches of one size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BatchSize {
    /// Rows.
    pub rows: u32,
    /// Answers divided by rows: a fraction where others had a share in a batch, or it was cut by the measured time.
    pub batches: f64,
}

/// What the generator itself cost within the measured time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GeneratorReport {
    /// Processor time divided by time.
    pub cpu_cores: f64,
    /// Microseconds of processor time for each request that ended; `None` without any.
    pub cpu_us_per_request: Option<f64>,
    /// Of an open loop, how late the generator sent what had a connection; part of the latency.
    pub late_ms: Option<LateMs>,
}

/// How late requests were sent, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "percentiles, named as everywhere")]
pub struct LateMs {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// One point of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentile {
    /// From 0 to 100.
    pub percentile: f64,
    /// Milliseconds that so many per cent of the requests took at most.
    pub ms: f64,
}

/// A part of the measured time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Window {
    /// Seconds from the start of the measured time.
    pub from_s: f64,
    /// Good answers among the requests that count in it.
    pub requests: u64,
    /// Errors among them.
    pub errors: u64,
    /// Good answers a second that arrived in it.
    pub throughput_rps: f64,
    /// The median latency, of two digits.
    pub p50_ms: Option<f64>,
    /// The 99th percentile, of two digits.
    pub p99_ms: Option<f64>,
}

/// What a ramp found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RampReport {
    /// What the 99th percentile was to be at most.
    pub slo_ms: f64,
    /// The highest rate that held; `None` where not even the first did.
    pub highest_rate: Option<f64>,
    /// In the order in which they were measured.
    pub steps: Vec<Step>,
}

/// One rate of a ramp.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Requests a second that were asked for.
    pub rate: f64,
    /// Requests a second as the plan had them.
    pub offered_rps: f64,
    /// Good answers a second.
    pub throughput_rps: f64,
    /// As in [`Report`].
    pub latency_ms: Option<LatencyMs>,
    /// As in [`Report`].
    pub errors: u64,
    /// Whether the objective held.
    pub held: bool,
    /// By what it did not: `errors`, `p99`, `throughput` or `nothing to measure`.
    pub failed_by: Option<&'static str>,
}

impl Step {
    /// Takes a step's figures from its report.
    pub(super) fn of(rate: f64, report: &Report, failed_by: Option<&'static str>) -> Self {
        Self {
            rate: round(rate),
            offered_rps: report.offered_rps.unwrap_or_default(),
            throughput_rps: report.throughput_rps,
            latency_ms: report.latency_ms,
            errors: report.errors,
            held: failed_by.is_none(),
            failed_by,
        }
    }
}

/// `None` where there is nothing to divide by.
pub(super) fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| round(part / whole))
}

/// Three decimals: what a measurement of seconds can carry.
pub(super) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
