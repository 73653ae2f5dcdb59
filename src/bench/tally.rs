//! The running count of one measurement.
//!
//! Decides what an average over batches is. An answer describes the batch it ran in, and a batch of
//! n rows is described n times; so each answer weighs 1/n, and every batch weighs one.

use super::client::{Answer, Failure};
use super::report::{BatchReport, LatencyMs, Report, ServerMs};
use super::{ANSWER_TIMEOUT, Protocol};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// Three digits: a percentile is within 0.1 % of the true one.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Counts of everything that came back within the measured time.
#[derive(Debug)]
pub(super) struct Tally {
    /// Microseconds, of good answers.
    latencies: Histogram<u64>,
    errors: BTreeMap<String, u64>,
    batches: Batches,
    server: Server,
}

/// Sums over batches, each answer weighing one over the rows of its batch.
#[derive(Debug, Default)]
struct Batches {
    answers: f64,
    batches: f64,
    tokens: f64,
    padded: f64,
}

/// Sums of the server's own times, in milliseconds.
#[derive(Debug, Default)]
struct Server {
    answers: f64,
    queue: f64,
    assemble: f64,
    compute: f64,
}

impl Default for Tally {
    #[expect(clippy::expect_used, reason = "constant bounds that the histogram supports")]
    fn default() -> Self {
        let longest = u64::try_from(ANSWER_TIMEOUT.as_micros()).unwrap_or(u64::MAX);
        let latencies = Histogram::new_with_max(longest, SIGNIFICANT_DIGITS).expect("a minute at three digits");
        Self { latencies, errors: BTreeMap::new(), batches: Batches::default(), server: Server::default() }
    }
}

impl Tally {
    /// Good answers so far.
    pub(super) fn requests(&self) -> u64 {
        self.latencies.len()
    }

    /// Errors so far.
    pub(super) fn errors(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Counts one answer or failure.
    pub(super) fn record(&mut self, latency: Duration, outcome: &Result<Answer, Failure>) {
        match outcome {
            Ok(answer) => self.answered(latency, answer),
            Err(failure) => *self.errors.entry(failure.reason.clone()).or_default() += 1,
        }
    }

    fn answered(&mut self, latency: Duration, answer: &Answer) {
        self.latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        if let Some(batch) = answer.batch {
            let weight = 1.0 / f64::from(batch.rows);
            self.batches.answers += 1.0;
            self.batches.batches += weight;
            self.batches.tokens += weight * batch.tokens as f64;
            self.batches.padded += weight * batch.padded as f64;
        }
        if let Some(timing) = answer.timing {
            self.server.answers += 1.0;
            self.server.queue += timing.queue;
            self.server.assemble += timing.assemble;
            self.server.compute += timing.compute;
        }
    }

    /// The figures, of `duration` of measured time.
    pub(super) fn report(&self, protocol: Protocol, duration: Duration) -> Report {
        let requests = self.requests();
        let duration_s = duration.as_secs_f64();
        let Batches { answers, batches, tokens, padded } = self.batches;
        Report {
            protocol: protocol.name(),
            requests,
            errors: self.errors(),
            errors_by_reason: self.errors.clone(),
            duration_s,
            throughput_rps: ratio(requests as f64, duration_s).unwrap_or(0.0),
            latency_ms: (requests > 0).then(|| self.latency_ms()),
            server_ms: self.server.means(),
            batch: BatchReport { avg_rows: ratio(answers, batches) },
            padding_efficiency: ratio(tokens, padded),
        }
    }

    fn latency_ms(&self) -> LatencyMs {
        let quantile = |q| round(self.latencies.value_at_quantile(q) as f64 / 1000.0);
        let max = round(self.latencies.max() as f64 / 1000.0);
        // A bucket's upper edge may lie above the largest value in it.
        LatencyMs { p50: quantile(0.5).min(max), p90: quantile(0.9).min(max), p99: quantile(0.99).min(max), max }
    }
}

impl Server {
    fn means(&self) -> Option<ServerMs> {
        let mean = |sum| ratio(sum, self.answers);
        Some(ServerMs { queue: mean(self.queue)?, assemble: mean(self.assemble)?, compute: mean(self.compute)? })
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| round(part / whole))
}

/// Three decimals: what a measurement of seconds can carry.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
