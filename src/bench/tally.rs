//! The running count of one measurement.
//!
//! Decides what an average over batches is. An answer describes the batch it ran in, and a batch of
//! n rows is described n times; so each answer weighs 1/n, and every batch weighs one.

use super::client::{Answer, Failure};
use super::head::{BatchHeader, TimingHeader};
use super::meter::Cost;
use super::report::{BatchReport, BatchSize, GeneratorReport, LateMs, LatencyMs, LoadReport, Percentile, Report};
use super::report::{ServerMs, ratio, round};
use super::timeline::Timeline;
use super::{Measured, Protocol};
use crate::types::Time;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// Three digits: a percentile is within 0.1 % of the true one.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Times that are longer count as this long.
const LONGEST: Duration = Duration::from_secs(600);

/// One request and when it came back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Counts where this is within the measured time.
    pub(super) counts_by: Time,
    pub(super) finished: Time,
    pub(super) latency: Duration,
    /// How late the generator sent it; `None` where there is no plan, or the request waited for a connection.
    pub(super) late: Option<Duration>,
}

/// Counts of what came back.
#[derive(Debug)]
pub(super) struct Tally {
    measured: Measured,
    requests: u64,
    errors: BTreeMap<String, u64>,
    /// Good answers that arrived within the measured time, and whatever else ended within it.
    arrived: u64,
    ended: u64,
    /// Microseconds, of good answers and of timeouts.
    latencies: Histogram<u64>,
    /// Nanoseconds.
    late: Histogram<u64>,
    timeline: Timeline,
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
    /// Answers by the rows of their batch.
    by_rows: BTreeMap<u32, u64>,
}

/// Sums of the server's own times, in milliseconds.
#[derive(Debug, Default)]
struct Server {
    answers: f64,
    queue: f64,
    assemble: f64,
    compute: f64,
}

#[expect(clippy::expect_used, reason = "constant bounds that the histogram supports")]
fn histogram(longest: u128) -> Histogram<u64> {
    let longest = u64::try_from(longest).unwrap_or(u64::MAX);
    Histogram::new_with_max(longest, SIGNIFICANT_DIGITS).expect("ten minutes at three digits")
}

impl Tally {
    /// Builds an empty count of one measured time.
    pub(super) fn new(measured: Measured) -> Self {
        Self {
            measured,
            requests: 0,
            errors: BTreeMap::new(),
            arrived: 0,
            ended: 0,
            latencies: histogram(LONGEST.as_micros()),
            late: histogram(LONGEST.as_nanos()),
            timeline: Timeline::new(measured),
            batches: Batches::default(),
            server: Server::default(),
        }
    }

    /// Good answers so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// Errors so far.
    pub(super) fn errors(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Counts one answer or failure.
    pub(super) fn record(&mut self, sample: &Sample, outcome: &Result<Answer, Failure>) {
        if self.measured.contains(sample.finished) {
            self.ended += 1;
            if outcome.is_ok() {
                self.arrived += 1;
                self.timeline.arrived(sample.finished);
            }
        }
        if !self.measured.contains(sample.counts_by) {
            return;
        }
        if let Some(late) = sample.late {
            self.late.saturating_record(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
        }
        // What somebody waited for in vain is part of the tail.
        let waited = outcome.as_ref().err().is_none_or(Failure::is_timeout).then_some(sample.latency);
        if let Some(latency) = waited {
            self.latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
        self.timeline.counted(sample.counts_by, waited, outcome.is_ok());
        match outcome {
            Ok(answer) => {
                self.requests += 1;
                self.batches.add(answer.batch);
                self.server.add(answer.timing);
            }
            Err(failure) => match self.errors.get_mut(&failure.reason) {
                Some(count) => *count += 1,
                None => drop(self.errors.insert(failure.reason.clone(), 1)),
            },
        }
    }

    /// The figures, and what the generator cost meanwhile.
    pub(super) fn report(&self, protocol: Protocol, load: LoadReport, cost: &Cost) -> Report {
        let duration_s = self.measured.until.since(self.measured.from).as_secs_f64();
        let all = self.requests + self.errors();
        let planned = matches!(load, LoadReport::Open { .. });
        Report {
            protocol: protocol.name(),
            load,
            requests: self.requests,
            errors: self.errors(),
            errors_by_reason: self.errors.clone(),
            duration_s,
            offered_rps: planned.then(|| ratio(all as f64, duration_s)).flatten(),
            throughput_rps: ratio(self.arrived as f64, duration_s).unwrap_or(0.0),
            latency_ms: self.latency_ms(),
            server_ms: self.server.means(),
            batch: self.batches.report(),
            padding_efficiency: ratio(self.batches.tokens, self.batches.padded),
            generator: GeneratorReport {
                cpu_cores: round(cost.cores()),
                cpu_us_per_request: ratio(cost.spent.as_secs_f64() * 1e6, self.ended as f64),
                late_ms: self.late_ms(),
            },
            latency_curve: self.latency_curve(),
            windows: self.timeline.windows(),
            ramp: None,
        }
    }

    fn latency_ms(&self) -> Option<LatencyMs> {
        let all = &self.latencies;
        let ms = |quantile| milliseconds(all, quantile, 1e3);
        (!all.is_empty()).then(|| LatencyMs {
            p50: ms(0.5),
            p90: ms(0.9),
            p95: ms(0.95),
            p99: ms(0.99),
            p999: ms(0.999),
            max: ms(1.0),
            mean: round(all.mean() / 1e3),
        })
    }

    fn late_ms(&self) -> Option<LateMs> {
        let ms = |quantile| milliseconds(&self.late, quantile, 1e6);
        (!self.late.is_empty()).then(|| LateMs { p50: ms(0.5), p99: ms(0.99), max: ms(1.0) })
    }

    /// Ten points for every nine that come before the decimals of a percentile, as far as there are answers.
    fn latency_curve(&self) -> Vec<Percentile> {
        let count = self.latencies.len() as f64;
        let rest = (0..).map(|tenth| 10_f64.powf(-f64::from(tenth) / 10.0)).take_while(|rest| rest * count >= 1.0);
        let points = rest.map(|rest| (1.0 - rest).max(0.0)).chain((count > 0.0).then_some(1.0));
        let ms = |quantile| milliseconds(&self.latencies, quantile, 1e3);
        points.map(|quantile| Percentile { percentile: quantile * 100.0, ms: ms(quantile) }).collect()
    }
}

/// A quantile of a histogram whose unit is so many of a millisecond.
fn milliseconds(histogram: &Histogram<u64>, quantile: f64, unit: f64) -> f64 {
    // A bucket's upper edge may lie above the largest value in it.
    round(histogram.value_at_quantile(quantile).min(histogram.max()) as f64 / unit)
}

impl Batches {
    fn add(&mut self, batch: Option<BatchHeader>) {
        let Some(batch) = batch else { return };
        let weight = 1.0 / f64::from(batch.rows);
        self.answers += 1.0;
        self.batches += weight;
        self.tokens += weight * batch.tokens as f64;
        self.padded += weight * batch.padded as f64;
        *self.by_rows.entry(batch.rows).or_default() += 1;
    }

    fn report(&self) -> BatchReport {
        let size = |(rows, answers): (&u32, &u64)| {
            let batches = round(*answers as f64 / f64::from(*rows));
            BatchSize { rows: *rows, batches }
        };
        BatchReport { avg_rows: ratio(self.answers, self.batches), sizes: self.by_rows.iter().map(size).collect() }
    }
}

impl Server {
    fn add(&mut self, timing: Option<TimingHeader>) {
        let Some(timing) = timing else { return };
        self.answers += 1.0;
        self.queue += timing.queue;
        self.assemble += timing.assemble;
        self.compute += timing.compute;
    }

    fn means(&self) -> Option<ServerMs> {
        let mean = |sum| ratio(sum, self.answers);
        Some(ServerMs { queue: mean(self.queue)?, assemble: mean(self.assemble)?, compute: mean(self.compute)? })
    }
}
