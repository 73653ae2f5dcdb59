//! What a recording measures beside the arrivals: how long answers and batches took.
//!
//! Keeps histograms to 1 %, so it stays small however long it lasts. Knows of requests by their model alone.

use super::flow::{Flow, Load};
use super::models::Models;
use super::runs::{Run, Runs};
use crate::types::Time;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Longest time told apart, in microseconds.
const LONGEST: u64 = 600_000_000;

/// What was measured of the models, by name.
pub type Measured = BTreeMap<Arc<str>, Figures>;

/// One model's figures over a recording: of the requests that arrived and were answered while it lasted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Requests answered.
    pub requests: u64,
    /// Of these, within the target of their policy, where it has one, and their deadline.
    pub good: u64,
    /// Requests refused or failed.
    pub errors: u64,
    /// From the end of decoding to the answer handed out, in milliseconds.
    pub latency_ms: Option<Percentiles>,
    /// Of that, from arrival at the scheduler to the release of its last batch.
    pub queue_ms: Option<Percentiles>,
    /// The runs.
    pub compute_ms: Option<Percentiles>,
    /// Batches that ended well.
    pub batches: u64,
    /// Their rows.
    pub rows: u64,
    /// Sum of the rows' own lengths.
    pub tokens: u64,
    /// Rows × padded length.
    pub padded_tokens: u64,
    /// Seconds that workers were busy with them.
    pub busy_s: f64,
}

/// Milliseconds that so many of a hundred stay under, to 1 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "percentiles, named as everywhere")]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Its model.
    pub model: &'a Arc<str>,
    /// When it arrived at the scheduler.
    pub arrived: Time,
    /// From the end of decoding to the answer handed out.
    pub latency: Duration,
    /// From its arrival to the release of its last batch.
    pub queue: Duration,
    /// How long that batch kept its worker.
    pub batch: Duration,
    /// Whether it was in time.
    pub good: bool,
}

/// A batch that ended well.
#[derive(Debug, Clone, Copy)]
pub struct Ran<'a> {
    /// Its model.
    pub model: &'a Arc<str>,
    /// Where it ran.
    pub device: &'a Arc<str>,
    /// When it was released.
    pub started: Time,
    /// Its rows.
    pub rows: u32,
    /// Sum of the rows' own lengths.
    pub tokens: u64,
    /// Their padded length.
    pub len: u32,
    /// Workers of the device that ran when it was released, its own included.
    pub busy: u32,
    /// How long it took.
    pub compute: Duration,
    /// From its release to its end as the scheduler saw them: how long it kept its worker.
    pub occupied: Duration,
}

/// The running count of one recording.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) flow: Flow,
    models: BTreeMap<Arc<str>, Count>,
}

#[derive(Debug)]
struct Count {
    good: u64,
    errors: u64,
    batches: [u64; 4],
    busy: Duration,
    latency: Micros,
    queue: Micros,
    compute: Micros,
    /// What requests take besides waiting and their batch.
    overhead: Micros,
    devices: BTreeMap<Arc<str>, Worked>,
}

/// On one device.
#[derive(Debug, Default)]
struct Worked {
    /// What batches keep a worker for besides computing.
    handover: Micros,
    runs: Runs,
}

#[derive(Debug)]
struct Micros(Histogram<u32>);

impl Default for Micros {
    #[expect(clippy::expect_used, reason = "constant bounds that the histogram supports")]
    fn default() -> Self {
        Self(Histogram::new_with_max(LONGEST, 2).expect("ten minutes at two digits"))
    }
}

impl Default for Count {
    fn default() -> Self {
        let [latency, queue, compute, overhead] = std::array::from_fn(|_| Micros::default());
        let (good, errors, batches, busy, devices) = Default::default();
        Self { good, errors, batches, busy, latency, queue, compute, overhead, devices }
    }
}

impl Meter {
    pub(super) fn new(now: Time) -> Self {
        Self { flow: Flow::new(now), models: BTreeMap::new() }
    }

    fn count(&mut self, model: &Arc<str>) -> &mut Count {
        if !self.models.contains_key(model) {
            self.models.insert(Arc::clone(model), Count::default());
        }
        self.models.entry(Arc::clone(model)).or_default()
    }

    pub(super) fn answered(&mut self, answered: &Answered<'_>) {
        let count = self.count(answered.model);
        count.good += u64::from(answered.good);
        count.latency.record(answered.latency);
        count.queue.record(answered.queue);
        count.overhead.record(answered.latency.saturating_sub(answered.queue + answered.batch));
    }

    pub(super) fn refused(&mut self, model: &Arc<str>) {
        self.count(model).errors += 1;
    }

    pub(super) fn ran(&mut self, ran: &Ran<'_>) {
        let count = self.count(ran.model);
        let &Ran { rows, len, busy, compute, .. } = ran;
        let figures = [1, u64::from(rows), ran.tokens, u64::from(rows) * u64::from(len)];
        count.batches.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
        count.busy += ran.occupied;
        count.compute.record(compute);
        let worked = count.devices.entry(Arc::clone(ran.device)).or_default();
        worked.handover.record(ran.occupied.saturating_sub(compute));
        worked.runs.push(Run { at: ran.started, busy, rows, len, compute });
    }

    pub(super) fn load(&self) -> Load {
        self.flow.load()
    }

    pub(super) fn measured(&self) -> Measured {
        self.models.iter().map(|(model, count)| (Arc::clone(model), count.figures())).collect()
    }

    /// Adds what a replay must know to the models it is about, of a recording that began then and lasted so long.
    pub(super) fn add_to(&self, models: &mut Models, began: Time, lasted: Duration) {
        for (model, count) in &self.models {
            let Some(served) = models.get_mut(model) else { continue };
            served.overhead_ms = count.overhead.percentiles().map(|p| p.p50);
            for place in &mut served.devices {
                let Some(worked) = count.devices.get(&place.device) else { continue };
                place.handover_ms = worked.handover.quantiles();
                worked.runs.add_to(place, began, lasted);
            }
        }
    }
}

impl Count {
    fn figures(&self) -> Figures {
        let [batches, rows, tokens, padded_tokens] = self.batches;
        Figures {
            requests: self.latency.0.len(),
            good: self.good,
            errors: self.errors,
            latency_ms: self.latency.percentiles(),
            queue_ms: self.queue.percentiles(),
            compute_ms: self.compute.percentiles(),
            batches,
            rows,
            tokens,
            padded_tokens,
            busy_s: (self.busy.as_secs_f64() * 1e3).round() / 1e3,
        }
    }
}

impl Micros {
    fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST));
    }

    /// A hundred and one of them, in milliseconds; none of nothing.
    fn quantiles(&self) -> Vec<f64> {
        let most = if self.0.is_empty() { 0 } else { 101 };
        (0..most).map(|percent| self.0.value_at_quantile(f64::from(percent) / 100.0) as f64 / 1e3).collect()
    }

    fn percentiles(&self) -> Option<Percentiles> {
        let ms = |micros: u64| micros as f64 / 1e3;
        let at = |quantile| ms(self.0.value_at_quantile(quantile));
        (!self.0.is_empty()).then(|| Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            max: ms(self.0.max()),
        })
    }
}
