//! What a recording measures beside the arrivals: how long answers and batches took.
//!
//! Keeps histograms to 1 %, so it stays small however long it lasts. Knows of requests by their model alone.

use super::flow::{Flow, Load};
use super::models::Models;
use crate::types::Time;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Runs that must have been measured before their spread is told.
const FEWEST_RUNS: u64 = 32;
/// Quantiles of a spread, but for the first: each is a percent.
const PERCENTS: u32 = 100;
/// Longest time told apart, in microseconds, and the largest ratio, in ten thousandths.
const LONGEST: u64 = 600_000_000;
const LARGEST: u64 = 10_000_000;
const ONE: f64 = 10_000.0;

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
    /// Rows × padded length.
    pub padded: u64,
    /// How long the run was predicted to take.
    pub predicted: Duration,
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
    devices: BTreeMap<Arc<str>, Runs>,
}

/// Of one device.
#[derive(Debug)]
struct Runs {
    /// What batches keep a worker for besides computing.
    handover: Micros,
    /// Measured ÷ predicted.
    ratios: Histogram<u32>,
}

#[derive(Debug)]
struct Micros(Histogram<u32>);

#[expect(clippy::expect_used, reason = "constant bounds that the histogram supports")]
fn histogram(max: u64) -> Histogram<u32> {
    Histogram::new_with_max(max, 2).expect("two digits")
}

impl Default for Micros {
    fn default() -> Self {
        Self(histogram(LONGEST))
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self { handover: Micros::default(), ratios: histogram(LARGEST) }
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
        let figures = [1, u64::from(ran.rows), ran.tokens, ran.padded];
        count.batches.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
        count.busy += ran.occupied;
        count.compute.record(ran.compute);
        let runs = count.devices.entry(Arc::clone(ran.device)).or_default();
        runs.handover.record(ran.occupied.saturating_sub(ran.compute));
        let predicted = ran.predicted.as_secs_f64();
        if predicted > 0.0 {
            runs.ratios.saturating_record((ran.compute.as_secs_f64() / predicted * ONE) as u64);
        }
    }

    pub(super) fn load(&self) -> Load {
        self.flow.load()
    }

    pub(super) fn measured(&self) -> Measured {
        self.models.iter().map(|(model, count)| (Arc::clone(model), count.figures())).collect()
    }

    /// Adds what a replay must know to the models it is about.
    pub(super) fn add_to(&self, models: &mut Models) {
        for (model, count) in &self.models {
            let Some(served) = models.get_mut(model) else { continue };
            served.overhead_ms = count.overhead.percentiles().map(|p| p.p50);
            for place in &mut served.devices {
                let Some(runs) = count.devices.get(&place.device) else { continue };
                place.handover_ms = runs.handover.percentiles().map(|p| p.p50);
                place.spread = runs.spread();
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

impl Runs {
    /// The quantiles from the least to the most, a percent apart; empty of too few.
    fn spread(&self) -> Vec<f64> {
        if self.ratios.len() < FEWEST_RUNS {
            return Vec::new();
        }
        let at = |percent: u32| self.ratios.value_at_quantile(f64::from(percent) / f64::from(PERCENTS));
        (0..=PERCENTS).map(|percent| (at(percent) as f64 / ONE * 1e3).round() / 1e3).collect()
    }
}

impl Micros {
    fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST));
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
