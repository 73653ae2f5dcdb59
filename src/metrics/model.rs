//! One model's handles: what has no label but the model is resolved once, so that nothing is hashed for it.

use super::device::DeviceMetrics;
use super::families::Families;
use super::labels::{Outcome, SloResult, TenantLabel};
use super::seen::{self, BatchesSeen, Lengths, Requests, Seen, Waits};
use crate::types::{Time, locked};
use prometheus::{Gauge, Histogram, IntCounter, IntGauge};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// One model's metrics.
#[derive(Debug)]
pub struct ModelMetrics {
    name: Arc<str>,
    families: Families,
    request_duration: Histogram,
    queue_duration: Histogram,
    compute_duration: Histogram,
    batch_rows: Histogram,
    useful_tokens: IntCounter,
    padding_tokens: IntCounter,
    reused_rows: IntCounter,
    queue_bytes: IntGauge,
    cost_error: Gauge,
    /// Absent until there is something to say.
    cost_coverage: OnceLock<Gauge>,
    /// Likewise.
    cost_margin: OnceLock<Gauge>,
    devices: Mutex<HashMap<Box<str>, DeviceMetrics>>,
    lengths: Lengths,
    requests: Mutex<Requests>,
    /// `None` where nothing about batches is recorded.
    waits: Option<Mutex<Waits>>,
}

/// One batch that ended well.
#[derive(Debug, Clone, Copy)]
pub struct BatchObserved<'a> {
    /// Its rows.
    pub rows: u32,
    /// Sum of the rows' own lengths.
    pub tokens: u64,
    /// Rows × padded length, ≥ `tokens`.
    pub padded: u64,
    /// The run.
    pub compute: Duration,
    /// How long its items waited, each with how many rows.
    pub queued: &'a [(Duration, u32)],
    /// When it ended.
    pub now: Time,
}

/// How often something was observed, and the sum of what was.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Total {
    /// Observations.
    pub count: u64,
    /// Their sum; durations in seconds.
    pub sum: f64,
}

fn total(histogram: &Histogram) -> Total {
    Total { count: histogram.get_sample_count(), sum: histogram.get_sample_sum() }
}

impl ModelMetrics {
    pub(super) fn new(name: Arc<str>, families: &Families, performance: bool) -> Self {
        let model = [&*name];
        Self {
            request_duration: families.request_duration.with_label_values(&model),
            queue_duration: families.queue_duration.with_label_values(&model),
            compute_duration: families.compute_duration.with_label_values(&model),
            batch_rows: families.batch_rows.with_label_values(&model),
            useful_tokens: families.tokens.with_label_values(&[&*name, "useful"]),
            padding_tokens: families.tokens.with_label_values(&[&*name, "padding"]),
            reused_rows: families.reused_rows.with_label_values(&model),
            queue_bytes: families.queue_bytes.with_label_values(&model),
            cost_error: families.cost_error.with_label_values(&model),
            cost_coverage: OnceLock::new(),
            cost_margin: OnceLock::new(),
            devices: Mutex::default(),
            lengths: Lengths::default(),
            requests: Mutex::default(),
            waits: performance.then(Mutex::default),
            families: families.clone(),
            name,
        }
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Requests that ended well so far, and those that were refused or failed, from head to answer.
    #[must_use]
    pub fn requests(&self) -> [Total; 2] {
        locked(&self.requests).ended
    }

    /// When the last request ended well.
    #[must_use]
    pub fn last_used(&self) -> Option<Time> {
        locked(&self.requests).last_used
    }

    /// Waiting so far, by row.
    #[must_use]
    pub fn queued(&self) -> Total {
        total(&self.queue_duration)
    }

    /// Runs so far, by batch.
    #[must_use]
    pub fn computed(&self) -> Total {
        total(&self.compute_duration)
    }

    /// Batches so far, and the rows in them.
    #[must_use]
    pub fn batch_rows(&self) -> Total {
        total(&self.batch_rows)
    }

    pub(super) fn request_done(&self, now: Time, outcome: Outcome, duration: Duration) {
        self.request_duration.observe(duration.as_secs_f64());
        locked(&self.requests).record(now, outcome.label(), outcome == Outcome::Ok, duration);
    }

    /// The figures as of `now`, percentiles over the last part of a minute, `over`.
    #[must_use]
    pub fn seen(&self, now: Time, over: Duration) -> Seen {
        let batches = self.batches_seen(now, over);
        // Requests wait for this lock: what takes long is done without it.
        let (outcomes, last_used, throughput, latency) = {
            let requests = locked(&self.requests);
            let (throughput, latency) = (requests.rate.per_second(now), requests.latency.recent(now, over));
            (requests.outcomes.clone(), requests.last_used, throughput, latency)
        };
        Seen { outcomes, last_used, throughput, latency: latency.percentiles(), batches }
    }

    fn batches_seen(&self, now: Time, over: Duration) -> Option<BatchesSeen> {
        let (queue, compute) = {
            let waits = locked(self.waits.as_ref()?);
            (waits.queue.recent(now, over), waits.compute.recent(now, over))
        };
        let rows = self.batch_rows();
        let tokens = self.useful_tokens.get();
        Some(BatchesSeen {
            batches: rows.count,
            rows: rows.sum as u64,
            tokens,
            padded: tokens + self.padding_tokens.get(),
            queue: queue.percentiles(),
            compute: compute.percentiles(),
            batch_sizes: seen::buckets(&self.batch_rows),
            lengths: self.lengths.buckets(),
        })
    }

    /// Counts a batch's release, by the scheduler's own word for why.
    pub fn batch_released(&self, reason: &'static str) {
        if self.waits.is_none() {
            return;
        }
        self.families.batch_release.with_label_values(&[&*self.name, reason]).inc();
    }

    /// Counts rows that were equal to others of their batch, and not computed.
    pub fn rows_reused(&self, rows: u32) {
        self.reused_rows.inc_by(u64::from(rows));
    }

    /// Records a batch that ended well.
    pub fn batch_done(&self, batch: &BatchObserved<'_>) {
        let Some(waits) = &self.waits else { return };
        self.batch_rows.observe(f64::from(batch.rows));
        self.compute_duration.observe(batch.compute.as_secs_f64());
        self.useful_tokens.inc_by(batch.tokens);
        self.padding_tokens.inc_by(batch.padded.saturating_sub(batch.tokens));
        for (queued, rows) in batch.queued {
            (0..*rows).for_each(|_| self.queue_duration.observe(queued.as_secs_f64()));
        }
        let mut waits = locked(waits);
        waits.compute.record(batch.now, batch.compute, 1);
        for (queued, rows) in batch.queued {
            waits.queue.record(batch.now, *queued, *rows);
        }
    }

    /// Counts rows of one length that were computed.
    pub fn rows_done(&self, len: u32, rows: u32) {
        self.lengths.record(len, rows);
    }

    /// Counts a request against its policy's target.
    pub fn slo(&self, tenant: &TenantLabel, result: SloResult) {
        self.families.slo.with_label_values(&[&*self.name, tenant.as_str(), result.label()]).inc();
    }

    /// Says that it runs on `device` because not all that was `wanted` could be had.
    pub fn fell_back(&self, wanted: &str, device: &str) {
        self.families.device_fallback.with_label_values(&[&*self.name, wanted, device]).set(1);
    }

    /// Says how its requests run.
    pub fn batching(&self, mode: &str) {
        for known in ["stacked", "solo"] {
            let gauge = self.families.model_batching.with_label_values(&[&*self.name, known]);
            gauge.set(i64::from(known == mode));
        }
    }

    /// Says how many nodes of its graph an execution provider runs on a device.
    pub fn nodes(&self, device: &str, provider: &str, count: u64) {
        let gauge = self.families.model_nodes.with_label_values(&[&*self.name, device, provider]);
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a canary.
    pub fn health_check(&self, ok: bool) {
        let outcome = if ok { "ok" } else { "failed" };
        self.families.health_checks.with_label_values(&[&*self.name, outcome]).inc();
    }

    /// Rows of one tenant waiting. Keep the handle.
    #[must_use]
    pub fn queue_rows(&self, tenant: &TenantLabel) -> IntGauge {
        self.families.queue_rows.with_label_values(&[&*self.name, tenant.as_str()])
    }

    /// Payload bytes waiting.
    #[must_use]
    pub fn queue_bytes(&self) -> &IntGauge {
        &self.queue_bytes
    }

    /// Publishes how good the cost model is: the recent mean of |predicted − real| / real, the share of
    /// recent runs within its margin, and the margin.
    pub fn cost_model(&self, error: f64, coverage: Option<f64>, margin: Option<f64>) {
        self.cost_error.set(error);
        if let Some(margin) = margin {
            let gauge = || self.families.cost_margin.with_label_values(&[&*self.name]);
            self.cost_margin.get_or_init(gauge).set(margin);
        }
        if let Some(coverage) = coverage {
            let gauge = || self.families.cost_coverage.with_label_values(&[&*self.name]);
            self.cost_coverage.get_or_init(gauge).set(coverage);
        }
    }

    /// The handles on one device, such as `cpu` or `cuda:0`. Keep them.
    #[must_use]
    pub fn device(&self, device: &str) -> DeviceMetrics {
        let labels = [&*self.name, device];
        let make = || DeviceMetrics {
            batches_in_flight: self.families.batches_in_flight.with_label_values(&labels),
            busy_seconds: self.families.device_busy.with_label_values(&labels),
            shapes: self.families.shapes.with_label_values(&labels),
            seen: Arc::default(),
            performance: self.waits.is_some(),
        };
        locked(&self.devices).entry(device.into()).or_insert_with(make).clone()
    }
}
