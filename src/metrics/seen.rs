//! What a model's metrics come to: figures for people, beside the text for scrapers.
//!
//! Decides how the figures are made from what was counted. Does not know where they are shown.

use super::model::Total;
use super::window::{Percentiles, Rate, Window};
use crate::types::Time;
use prometheus::Histogram;
use prometheus::core::Metric;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where the lengths' buckets end, in tokens; a last bucket takes the rest.
const LENGTHS: [u64; 11] = [8, 16, 32, 48, 64, 96, 128, 256, 512, 1024, 4096];

/// A model's figures at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Requests since the start, by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// When a request was last answered well.
    pub last_used: Option<Time>,
    /// Requests answered well a second, over the last ten seconds.
    pub throughput: f64,
    /// From head to answer, of the recent requests that were answered well.
    pub latency: Option<Percentiles>,
    /// What is known of its batches; `None` where that is not recorded.
    pub batches: Option<BatchesSeen>,
}

/// What is known of a model's batches.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchesSeen {
    /// Batches that ended well, since the start.
    pub batches: u64,
    /// Their rows.
    pub rows: u64,
    /// Sum of the rows' own lengths.
    pub tokens: u64,
    /// Sum of rows × padded length.
    pub padded: u64,
    /// Waits of the recent rows.
    pub queue: Option<Percentiles>,
    /// Runs of the recent batches.
    pub compute: Option<Percentiles>,
    /// Batches by their rows.
    pub batch_sizes: Vec<Bucket>,
    /// Rows by their length.
    pub lengths: Vec<Bucket>,
}

/// How many lie above the bucket before and up to `le`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The end of the bucket, inclusive; the last has none.
    pub le: Option<u64>,
    /// How many.
    pub count: u64,
}

/// What is kept of a model's requests.
#[derive(Debug, Default)]
pub(super) struct Requests {
    pub(super) outcomes: BTreeMap<&'static str, u64>,
    pub(super) last_used: Option<Time>,
    pub(super) rate: Rate,
    pub(super) latency: Window,
    /// Those that ended well, and all others.
    pub(super) ended: [Total; 2],
}

impl Requests {
    /// Takes in a request that ended now.
    pub(super) fn record(&mut self, now: Time, outcome: &'static str, ok: bool, took: Duration) {
        *self.outcomes.entry(outcome).or_default() += 1;
        let total = &mut self.ended[usize::from(!ok)];
        (total.count, total.sum) = (total.count + 1, total.sum + took.as_secs_f64());
        if ok {
            self.last_used = self.last_used.max(Some(now));
            self.rate.count(now);
            self.latency.record(now, took, 1);
        }
    }
}

/// The waits and runs of a model's recent batches.
#[derive(Debug, Default)]
pub(super) struct Waits {
    pub(super) queue: Window,
    pub(super) compute: Window,
}

/// Rows counted by length.
#[derive(Debug, Default)]
pub(super) struct Lengths([AtomicU64; LENGTHS.len() + 1]);

impl Lengths {
    pub(super) fn record(&self, len: u32, rows: u32) {
        let bucket = LENGTHS.partition_point(|le| *le < u64::from(len));
        self.0[bucket].fetch_add(u64::from(rows), Ordering::Relaxed);
    }

    pub(super) fn buckets(&self) -> Vec<Bucket> {
        let ends = LENGTHS.into_iter().map(Some).chain([None]);
        ends.zip(&self.0).map(|(le, count)| Bucket { le, count: count.load(Ordering::Relaxed) }).collect()
    }
}

/// The buckets of a histogram whose bounds are whole numbers.
pub(super) fn buckets(histogram: &Histogram) -> Vec<Bucket> {
    let metric = histogram.metric();
    let histogram = metric.get_histogram();
    let ends = histogram.get_bucket().iter().map(|b| (Some(b.upper_bound() as u64), b.cumulative_count()));
    let mut before = 0;
    let bucket = |(le, upto): (Option<u64>, u64)| {
        let count = upto.saturating_sub(before);
        before = upto;
        Bucket { le, count }
    };
    ends.chain([(None, histogram.get_sample_count())]).map(bucket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_fall_into_the_first_bucket_that_holds_them() {
        let lengths = Lengths::default();
        for (len, rows) in [(1, 1), (8, 2), (9, 3), (4096, 1), (4097, 5)] {
            lengths.record(len, rows);
        }
        let buckets = lengths.buckets();
        assert_eq!((buckets[0].le, buckets[0].count), (Some(8), 3));
        assert_eq!((buckets[1].le, buckets[1].count), (Some(16), 3));
        assert_eq!((buckets[10].le, buckets[10].count), (Some(4096), 1));
        assert_eq!((buckets[11].le, buckets[11].count), (None, 5));
    }

    #[test]
    fn a_histograms_buckets_are_taken_apart() {
        let opts = prometheus::HistogramOpts::new("h", "h").buckets(vec![1.0, 4.0]);
        let histogram = Histogram::with_opts(opts).unwrap();
        [1.0, 2.0, 3.0, 9.0].into_iter().for_each(|v| histogram.observe(v));
        let counts: Vec<_> = buckets(&histogram).iter().map(|b| (b.le, b.count)).collect();
        assert_eq!(counts, [(Some(1), 1), (Some(4), 2), (None, 1)]);
    }

    #[test]
    fn refusals_are_counted_and_leave_the_figures_alone() {
        let mut requests = Requests::default();
        requests.record(Time::from_millis(20_000), "ok", true, Duration::from_millis(50));
        requests.record(Time::from_millis(21_000), "overloaded", false, Duration::ZERO);
        assert_eq!(requests.outcomes, BTreeMap::from([("ok", 1), ("overloaded", 1)]));
        assert_eq!(requests.last_used, Some(Time::from_millis(20_000)));
        let latency =
            requests.latency.recent(Time::from_millis(21_000), super::super::window::MINUTE).percentiles().unwrap();
        assert!(latency.p50 >= Duration::from_millis(49));
    }
}
