//! One model's handles: what has no label but the model is resolved once, so that nothing is hashed for it.

use super::families::Families;
use super::labels::{SloResult, TenantLabel};
use prometheus::{Counter, Gauge, Histogram, IntCounter, IntGauge};
use std::sync::Arc;
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
    queue_bytes: IntGauge,
    cost_error: Gauge,
}

/// One model's metrics on one device.
#[derive(Debug, Clone)]
pub struct DeviceMetrics {
    /// Batches running.
    pub batches_in_flight: IntGauge,
    /// Seconds spent running batches.
    pub busy_seconds: Counter,
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
    /// How long each row waited.
    pub queued: &'a [Duration],
}

/// How often something was observed, and the sum of what was.
#[derive(Debug, Clone, Copy, PartialEq)]
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
    pub(super) fn new(name: Arc<str>, families: &Families) -> Self {
        let model = [&*name];
        Self {
            request_duration: families.request_duration.with_label_values(&model),
            queue_duration: families.queue_duration.with_label_values(&model),
            compute_duration: families.compute_duration.with_label_values(&model),
            batch_rows: families.batch_rows.with_label_values(&model),
            useful_tokens: families.tokens.with_label_values(&[&*name, "useful"]),
            padding_tokens: families.tokens.with_label_values(&[&*name, "padding"]),
            queue_bytes: families.queue_bytes.with_label_values(&model),
            cost_error: families.cost_error.with_label_values(&model),
            families: families.clone(),
            name,
        }
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Requests answered or refused so far, from head to answer.
    #[must_use]
    pub fn requests(&self) -> Total {
        total(&self.request_duration)
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

    pub(super) fn request_duration(&self, duration: Duration) {
        self.request_duration.observe(duration.as_secs_f64());
    }

    /// Counts a batch's release, by the scheduler's own word for why.
    pub fn batch_released(&self, reason: &'static str) {
        self.families.batch_release.with_label_values(&[&*self.name, reason]).inc();
    }

    /// Records a batch that ended well.
    pub fn batch_done(&self, batch: &BatchObserved<'_>) {
        self.batch_rows.observe(f64::from(batch.rows));
        self.compute_duration.observe(batch.compute.as_secs_f64());
        self.useful_tokens.inc_by(batch.tokens);
        self.padding_tokens.inc_by(batch.padded.saturating_sub(batch.tokens));
        for queued in batch.queued {
            self.queue_duration.observe(queued.as_secs_f64());
        }
    }

    /// Counts a request against its policy's target.
    pub fn slo(&self, tenant: &TenantLabel, result: SloResult) {
        self.families.slo.with_label_values(&[&*self.name, tenant.as_str(), result.label()]).inc();
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

    /// Recent mean of |predicted − real| / real.
    #[must_use]
    pub fn cost_error(&self) -> &Gauge {
        &self.cost_error
    }

    /// The handles on one device, such as `cpu` or `cuda:0`. Keep them.
    #[must_use]
    pub fn device(&self, device: &str) -> DeviceMetrics {
        let labels = [&*self.name, device];
        DeviceMetrics {
            batches_in_flight: self.families.batches_in_flight.with_label_values(&labels),
            busy_seconds: self.families.device_busy.with_label_values(&labels),
        }
    }
}
