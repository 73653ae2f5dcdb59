//! What is counted of a run of the virtual world, and the figures made of it.

use super::server::Batch;
use crate::sched::{FailReason, Reject};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The figures of one run. The keys that `bench` has as well mean the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Requests answered.
    pub requests: u64,
    /// Requests refused, at the door or later.
    pub errors: u64,
    /// The same by reason.
    pub errors_by_reason: BTreeMap<&'static str, u64>,
    /// From the start of the recording to its end, or to the last answer if that is later.
    pub duration_s: f64,
    /// Answers a second.
    pub throughput_rps: f64,
    /// Answers a second that came within the SLO of their policy, where it has one, and within their deadline.
    pub goodput_rps: f64,
    /// From arrival to answer; `None` without any.
    pub latency_ms: Option<LatencyMs>,
    /// About the batches.
    pub batch: BatchFigures,
    /// The share of computed tokens that was asked for, not padding; `None` without any.
    pub padding_efficiency: Option<f64>,
    /// The share of the time that workers ran batches, on average.
    pub busy_ratio: Option<f64>,
    /// Rows waiting and running, on average, of requests that were answered.
    pub inflight_rows: f64,
    /// Decisions made as `adaptive` makes them, for a policy's script failed.
    pub fallbacks: u64,
    /// By tenant; the empty name stands for requests without one.
    pub tenants: BTreeMap<Arc<str>, TenantReport>,
}

/// One tenant's part of the figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "as in `Report`")]
pub struct TenantReport {
    pub requests: u64,
    pub errors: u64,
    pub errors_by_reason: BTreeMap<&'static str, u64>,
    pub throughput_rps: f64,
    pub goodput_rps: f64,
    pub latency_ms: Option<LatencyMs>,
    /// Of the time that workers ran batches, what went to this tenant's rows, by their tokens.
    pub busy_share: Option<f64>,
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "percentiles, named as everywhere")]
pub struct LatencyMs {
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// About the batches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BatchFigures {
    /// How many ran.
    pub count: u64,
    /// Their mean size.
    pub avg_rows: Option<f64>,
}

/// The running count.
#[derive(Debug, Default)]
pub(super) struct Tally {
    tenants: BTreeMap<Arc<str>, Count>,
    batches: u64,
    rows: u64,
    tokens: u64,
    padded: u64,
    busy: Duration,
    /// Seconds from arrival to answer, summed over rows.
    row_seconds: f64,
    fallbacks: u64,
}

/// Of one tenant, or of all.
#[derive(Debug, Default)]
struct Count {
    latencies: Vec<Duration>,
    good: u64,
    refused: BTreeMap<&'static str, u64>,
    busy: f64,
}

/// The stable word of docs/interface.md for a request refused at the door.
pub(super) fn refusal(reject: &Reject) -> &'static str {
    match reject {
        Reject::UnknownModel => "unknown_model",
        Reject::NotReady => "not_ready",
        Reject::Draining => "draining",
        Reject::RowsOverBatch { .. }
        | Reject::TokensOverBatch { .. }
        | Reject::OverQueue { .. }
        | Reject::OverRate { .. }
        | Reject::OverTenant { .. }
        | Reject::BytesOverQueue { .. } => "too_large",
        Reject::RateLimited { .. } | Reject::TenantFull { .. } => "rate_limited",
        Reject::QueueFull { .. } | Reject::BytesFull { .. } | Reject::PredictedMiss { .. } => "overloaded",
        Reject::DeadlinePassed => "deadline_exceeded",
    }
}

/// The same for one that was accepted.
pub(super) fn failure(reason: FailReason) -> &'static str {
    match reason {
        FailReason::DeadlineExceeded => "deadline_exceeded",
        FailReason::PredictedMiss { .. } => "overloaded",
        FailReason::ExecutionFailed => "execution_failed",
        FailReason::NotReady => "not_ready",
        FailReason::UnknownModel => "unknown_model",
    }
}

impl Tally {
    pub(super) fn answered(&mut self, tenant: &Arc<str>, rows: u64, took: Duration, good: bool) {
        self.row_seconds += rows as f64 * took.as_secs_f64();
        let count = self.tenants.entry(Arc::clone(tenant)).or_default();
        count.latencies.push(took);
        count.good += u64::from(good);
    }

    pub(super) fn refused(&mut self, tenant: &Arc<str>, reason: &'static str) {
        *self.tenants.entry(Arc::clone(tenant)).or_default().refused.entry(reason).or_default() += 1;
    }

    pub(super) fn fell_back(&mut self) {
        self.fallbacks += 1;
    }

    /// Counts a batch, made up of so many tokens of these tenants.
    pub(super) fn ran<'t>(&mut self, batch: &Batch, took: Duration, tokens: impl Iterator<Item = (&'t Arc<str>, u64)>) {
        let second = took.as_secs_f64() / batch.tokens.max(1) as f64;
        for (tenant, tokens) in tokens {
            self.tenants.entry(Arc::clone(tenant)).or_default().busy += second * tokens as f64;
        }
        self.batches += 1;
        self.rows += u64::from(batch.rows);
        self.tokens += batch.tokens;
        self.padded += u64::from(batch.rows) * u64::from(batch.padded_len);
        self.busy += took;
    }

    /// The figures of a run that lasted `duration` on so many workers.
    pub(super) fn report(self, duration: Duration, workers: usize) -> Report {
        let mut all = Count::default();
        let mut tenants = BTreeMap::new();
        for (name, count) in self.tenants {
            all.add(&count);
            tenants.insert(name, count.report(duration, self.busy));
        }
        let seconds = duration.as_secs_f64();
        let TenantReport { requests, errors, errors_by_reason, throughput_rps, goodput_rps, latency_ms, .. } =
            all.report(duration, self.busy);
        Report {
            requests,
            errors,
            errors_by_reason,
            duration_s: round(seconds),
            throughput_rps,
            goodput_rps,
            latency_ms,
            batch: BatchFigures { count: self.batches, avg_rows: ratio(self.rows as f64, self.batches as f64) },
            padding_efficiency: ratio(self.tokens as f64, self.padded as f64),
            busy_ratio: ratio(self.busy.as_secs_f64(), seconds * workers as f64),
            inflight_rows: ratio(self.row_seconds, seconds).unwrap_or(0.0),
            fallbacks: self.fallbacks,
            tenants,
        }
    }
}

impl Count {
    fn add(&mut self, other: &Count) {
        self.latencies.extend(&other.latencies);
        self.good += other.good;
        for (reason, count) in &other.refused {
            *self.refused.entry(reason).or_default() += count;
        }
    }

    fn report(mut self, duration: Duration, busy: Duration) -> TenantReport {
        self.latencies.sort_unstable();
        let a_second = |n: usize| ratio(n as f64, duration.as_secs_f64()).unwrap_or(0.0);
        TenantReport {
            requests: self.latencies.len() as u64,
            errors: self.refused.values().sum(),
            throughput_rps: a_second(self.latencies.len()),
            goodput_rps: a_second(self.good as usize),
            latency_ms: percentiles(&self.latencies),
            errors_by_reason: self.refused,
            busy_share: ratio(self.busy, busy.as_secs_f64()),
        }
    }
}

/// By nearest rank, of sorted durations.
fn percentiles(sorted: &[Duration]) -> Option<LatencyMs> {
    let last = sorted.len().checked_sub(1)?;
    let ms = |at: usize| round(sorted[at.min(last)].as_secs_f64() * 1e3);
    let rank = |percent: usize| ms((sorted.len() * percent).div_ceil(100).saturating_sub(1));
    Some(LatencyMs { p50: rank(50), p90: rank(90), p95: rank(95), p99: rank(99), max: ms(last) })
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| round(part / whole))
}

/// Three decimals.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
